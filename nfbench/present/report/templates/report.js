"use strict";
const NOTHING = "\u2014";

// What a cell is sorted by: its first number ("<= 85.1", "+0.3 ± 0.1"), the mean of both values of two seeds, or its text.
function order(text) {
  const pair = text.match(/^([+-]?\d+\.\d+), ([+-]?\d+\.\d+)$/);
  if (pair) return (Number(pair[1]) + Number(pair[2])) / 2;
  const number = text.match(/^[<>=~≤≥ ]*([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?![\w-])/i);
  return number ? Number(number[1].replace(/,/g, "")) : text;
}

// Numbers before texts; cells without a value always last, whichever way is up.
function compare(a, b, sign) {
  if ((a === NOTHING) !== (b === NOTHING)) return a === NOTHING ? 1 : -1;
  const [left, right] = [order(a), order(b)];
  if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
  return sign * (typeof left === "number" ? left - right : left.localeCompare(right, "en", { numeric: true }));
}

const textOf = cell => cell.textContent.trim();

function sortBy(table, head) {
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(textOf(a.cells[head.cellIndex]), textOf(b.cells[head.cellIndex]), sign));
  table.tBodies[0].append(...rows);
}

function make(tag, values = {}, ...children) {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

// A table fits its place: as it is, else with lines that break, else a card for each row. Nothing is cut off.
function fit(box) {
  const table = box.querySelector("table");
  box.classList.remove("dense", "stacked");
  if (!box.clientWidth) return;
  for (const form of ["dense", "stacked"]) {
    if (table.offsetWidth <= box.clientWidth && table.scrollWidth <= box.clientWidth) break;
    box.classList.remove("dense");
    box.classList.add(form);
  }
  const tools = box.previousElementSibling;
  if (tools && tools.classList.contains("tools")) tools.classList.toggle("cards-below", box.classList.contains("stacked"));
}

function copied(table, kind) {
  const rows = [table.tHead.rows[0], ...table.tBodies[0].rows].filter(row => !row.hidden);
  const lines = rows.map(row => [...row.cells].filter(cell => !cell.hidden).map(textOf));
  if (kind === "CSV") return lines.map(line => line.map(text => /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text).join(",")).join("\n") + "\n";
  const symbols = { "\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "±": "$\\pm$", "µ": "$\\mu$", "|": "\\textbar{}", "<": "$<$", ">": "$>$", [NOTHING]: "--" };
  const escaped = text => text.replace(/<=/g, "\u2264").replace(/[\\^~±µ|<>\u2014]/g, one => symbols[one]).replace(/\u2264/g, "$\\leq$").replace(/(?<!\\)[&%#_]/g, "\\$&").replace(/(?<![\w$\\])-(?=[\d])/g, "$-$");
  const [head, ...body] = lines.map(line => line.map(escaped).join(" & ") + " \\\\");
  const leading = Number(table.dataset.leading) || 1;
  const columns = lines[0].map((_, place) => place < leading ? "l" : "r").join("");
  return `\\begin{tabular}{${columns}}\n\\toprule\n${head}\n\\midrule\n${body.join("\n")}\n\\bottomrule\n\\end{tabular}\n`;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page from a file may have no clipboard of its own
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function equip(box) {
  const table = box.querySelector("table"), heads = [...table.tHead.rows[0].cells], rows = [...table.tBodies[0].rows];
  const leading = Number(table.dataset.leading) || 1;
  for (const head of heads) {
    const button = make("button", { type: "button", textContent: textOf(head) });
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, head));
  }
  for (const row of rows) {
    // A row's first cell links to its records; here every number of it gets that link, which the file need not repeat.
    const link = "records" in table.dataset && row.cells[0].querySelector("a");
    [...row.cells].forEach((cell, place) => {
      cell.dataset.head = textOf(heads[place]);
      cell.classList.toggle("nothing", textOf(cell) === NOTHING);
      if (link && place >= leading && textOf(cell) !== NOTHING) cell.replaceChildren(make("a", { href: link.hash }, ...cell.childNodes));
    });
  }
  if (rows.length < 4) return;
  const tools = make("div", { className: "tools" });
  tools.setAttribute("role", "group");
  tools.setAttribute("aria-label", "Tools of the table");
  const chosen = new Map();
  const count = make("span", { className: "soft" });
  const filter = () => {
    rows.forEach(row => { row.hidden = [...chosen].some(([place, value]) => value && textOf(row.cells[place]) !== value); });
    const shown = rows.filter(row => !row.hidden).length;
    count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : "";
    fit(box);
    box.dispatchEvent(new Event("filtered"));
  };
  heads.slice(0, leading).forEach((head, place) => {
    const values = [...new Set(rows.map(row => textOf(row.cells[place])))].sort((a, b) => compare(a, b, 1));
    if (values.length < 2 || values.length > 60) return;
    const select = make("select", {}, make("option", { value: "", textContent: `all` }), ...values.map(value => make("option", { value, textContent: value })));
    select.addEventListener("change", () => { chosen.set(place, select.value); filter(); });
    tools.append(make("label", {}, `${textOf(head)} `, select));
  });
  const sorts = make("select", {}, ...heads.map(head => make("option", { textContent: textOf(head) })));
  sorts.addEventListener("change", () => sortBy(table, heads[sorts.selectedIndex]));
  tools.append(make("label", { className: "narrow" }, "sort by ", sorts));
  const boxes = heads.map((head, place) => {
    const check = make("input", { type: "checkbox", checked: true });
    check.addEventListener("change", () => {
      [table.tHead.rows[0], ...rows].forEach(row => { row.cells[place].hidden = !check.checked; });
      fit(box);
    });
    return make("label", {}, check, ` ${textOf(head)}`);
  });
  tools.append(make("details", {}, make("summary", { textContent: "Columns" }), make("fieldset", {}, ...boxes.slice(leading))));
  for (const kind of ["CSV", "LaTeX"]) {
    const button = make("button", { type: "button", textContent: `Copy ${kind}` });
    button.addEventListener("click", () => { toClipboard(copied(table, kind)); count.textContent = `copied as ${kind}`; });
    tools.append(button);
  }
  const panel = explorer(box, table);
  if (panel) tools.append(panel.button);
  tools.append(count);
  box.before(tools);
  if (panel) tools.before(panel.place);
}

// A number says what it is made of, when a pointer or the keyboard's focus is on it.
function tell(event) {
  const cell = event.target.closest && event.target.closest(".wide td"), tip = document.getElementById("tip");
  if (!cell || !cell.querySelector("a")) { tip.textContent = ""; return; }
  const table = cell.closest("table"), cells = [...cell.parentNode.cells], heads = [...table.tHead.rows[0].cells].map(textOf);
  const seeds = heads.indexOf("seeds"), leading = Number(table.dataset.leading) || 1;
  const standing = cell.classList.contains("best") ? ", the best of its target" : cell.classList.contains("tied") ? ", not told from the best" : "";
  const parts = [`${cells.slice(0, leading).map(textOf).join(", ")}: ${heads[cell.cellIndex]} ${textOf(cell)}${standing}`];
  if (seeds >= 0) parts.push(`seeds: ${textOf(cells[seeds])}`);
  parts.push(table.dataset.protocol);
  tip.textContent = parts.join(". ");
}

function reveal() {
  const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let around = entry; around; around = around.parentElement) if (around.tagName === "DETAILS") around.open = true;
  if (entry) entry.scrollIntoView();
}

const tables = [...document.querySelectorAll(".wide")].filter(box => box.querySelector("table.sortable"));
tables.forEach(equip);
const refit = () => tables.forEach(fit);
refit();
document.querySelectorAll("img[data-of]").forEach(image => { image.src = document.getElementById(image.dataset.of).src; });
document.querySelectorAll("details").forEach(details => details.addEventListener("toggle", () => details.querySelectorAll(".wide").forEach(box => tables.includes(box) && fit(box))));
let waiting = 0;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(refit, 80); });
addEventListener("pointerover", tell);
addEventListener("focusin", tell);
addEventListener("keydown", event => { if (event.key === "Escape") document.getElementById("tip").textContent = ""; });
addEventListener("hashchange", reveal);
reveal();
