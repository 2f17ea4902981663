// Tables as pictures: one column against another, of the rows that are shown, drawn by Chart.js (see vendor/).
const LOOKS = JSON.parse(document.getElementById("looks").textContent);  // label of a family -> colour, mark, its rotation
const MANY = 30;  // lines in a picture
let unpacked = null;

// The library, which is packed in the page and unpacked when the first picture is asked for.
function charts() {
  unpacked ??= (async () => {
    const bytes = Uint8Array.from(atob(document.getElementById("charts").textContent.trim()), one => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    document.head.append(make("script", { textContent: await new Response(stream).text() }));
    return window.Chart;
  })();
  return unpacked;
}

// A number and the ends of what is known of it: "0.10 ± 0.02", "3.1 [2.9, 3.4]", or the values of two seeds, "1.0, 1.2".
function span(text) {
  const value = order(text);
  if (typeof value !== "number") return null;
  const pair = text.match(/^([+-]?\d+\.\d+), ([+-]?\d+\.\d+)$/), ends = text.match(/\[([^\],]+), ([^\]]+)\]/), half = text.match(/± ?(\d[\d.e-]*)/);
  const number = part => Number(part.replace(/,(?=\d{3})/g, ""));
  if (pair) return [value, Math.min(pair[1], pair[2]), Math.max(pair[1], pair[2])];
  if (ends) return [value, number(ends[1]), number(ends[2])];
  return half ? [value, value - Number(half[1]), value + Number(half[1])] : [value, value, value];
}

const intervals = {
  id: "intervals",
  afterDatasetsDraw(chart) {
    const { ctx, scales } = chart;
    chart.data.datasets.forEach((set, place) => {
      if (!chart.isDatasetVisible(place)) return;
      ctx.strokeStyle = set.borderColor;
      for (const { x, low, high } of set.data) {
        if (low === high) continue;
        ctx.beginPath();
        for (const end of [low, high]) ctx.lineTo(scales.x.getPixelForValue(x), scales.y.getPixelForValue(end));
        ctx.stroke();
      }
    });
  },
};

// The button "Plot" of a table and the place of its picture; nothing for a table with fewer than two columns of numbers.
function explorer(box, table) {
  const heads = [...table.tHead.rows[0].cells].map(textOf), leading = Number(table.dataset.leading) || 1;
  const all = [...table.tBodies[0].rows], texts = place => all.map(row => textOf(row.cells[place]));
  const numeric = heads.map((_, place) => place).filter(place => new Set(texts(place).map(span).filter(Boolean).map(String)).size > 1);
  const values = numeric.filter(place => place >= leading);
  if (!("records" in table.dataset) || !values.length || numeric.length < 2) return null;
  const choose = (label, start) => {
    const select = make("select", {}, ...numeric.map(place => make("option", { value: place, textContent: heads[place] })));
    select.value = start;
    return [select, make("label", {}, `${label} `, select)];
  };
  const check = label => { const input = make("input", { type: "checkbox" }); return [input, make("label", {}, input, ` ${label}`)]; };
  const usual = ["K", "s per cell", "parameters"].map(head => heads.indexOf(head)).find(place => numeric.includes(place));
  const [x, ofX] = choose("x axis", usual ?? numeric.find(place => place !== values[0])), [y, ofY] = choose("y axis", values[0]);
  const [logX, ofLogX] = check("logarithmic x"), [logY, ofLogY] = check("logarithmic y");
  const canvas = make("canvas"), said = make("p", { className: "soft" });
  canvas.setAttribute("role", "img");
  const place = make("div", { className: "explore", hidden: true }, make("div", { className: "tools" }, ofX, ofY, ofLogX, ofLogY), make("div", { className: "chart" }, canvas), said);
  const button = make("button", { type: "button", textContent: "Plot" });
  button.setAttribute("aria-expanded", "false");
  let chart = null;

  // Wide ranges of positive numbers are drawn on logarithmic axes, unless the reader says otherwise.
  const suggest = () => {
    for (const [select, input] of [[x, logX], [y, logY]]) {
      const known = all.filter(row => !row.hidden).map(row => span(textOf(row.cells[select.value]))).filter(Boolean).map(([value]) => value);
      input.checked = known.length > 1 && Math.min(...known) > 0 && Math.max(...known) > 8 * Math.min(...known);
    }
  };
  const draw = async () => {
    if (place.hidden) return;
    const Chart = await charts(), shown = all.filter(row => !row.hidden), [across, up] = [Number(x.value), Number(y.value)];
    const named = heads.map((_, at) => at).filter(at => at < leading && at !== across && heads[at] !== "K" && new Set(shown.map(row => textOf(row.cells[at]))).size > 1);
    const posterior = heads.indexOf("Posterior"), sets = new Map();
    let left = 0;
    for (const row of shown) {
      const [right, top] = [across, up].map(at => span(textOf(row.cells[at])));
      if (!right || !top || (logX.checked && right[0] <= 0) || (logY.checked && top[1] <= 0)) { left += 1; continue; }
      const label = named.map(at => textOf(row.cells[at])).join(", ") || textOf(row.cells[Math.max(posterior, 0)]);
      if (!sets.has(label)) sets.set(label, { label, family: textOf(row.cells[Math.max(posterior, 0)]), data: [] });
      const told = heads.map((head, at) => at < leading || at === across || at === up ? `${head} ${textOf(row.cells[at])}` : "").filter(Boolean);
      sets.get(label).data.push({ x: right[0], y: top[0], low: top[1], high: top[2], told });
    }
    const ink = getComputedStyle(document.body).color, line = getComputedStyle(document.documentElement).getPropertyValue("--line");
    const datasets = [...sets.values()].map((set, at) => {
      const [colour, mark, turn] = LOOKS[set.family] || [`hsl(${(at * 137) % 360} 60% 45%)`, "circle", 0];
      set.data.sort((a, b) => a.x - b.x);
      return { ...set, borderColor: colour, backgroundColor: colour, pointStyle: mark, rotation: turn, pointRadius: 4.5, pointHoverRadius: 7, borderWidth: 1.5, showLine: across < leading };
    });
    const points = datasets.flatMap(set => set.data), bounds = (low, high) => ({ suggestedMin: Math.min(...points.map(low)), suggestedMax: Math.max(...points.map(high)) });
    const axis = (at, log) => ({ type: log ? "logarithmic" : "linear", title: { display: true, text: heads[at], color: ink }, ticks: { color: ink }, grid: { color: line } });
    const options = {
      animation: false, maintainAspectRatio: false, interaction: { mode: "nearest", intersect: false },
      scales: { x: axis(across, logX.checked), y: { ...axis(up, logY.checked), ...bounds(logY.checked ? one => one.low > 0 ? one.low : one.y : one => one.low, one => one.high) } },
      plugins: {
        legend: { display: datasets.length <= MANY, position: place.clientWidth < 700 ? "bottom" : "right", labels: { color: ink, usePointStyle: true } },
        tooltip: { callbacks: { title: () => "", label: item => item.raw.told } },
      },
    };
    if (chart) chart.destroy();
    chart = new Chart(canvas, { type: "scatter", data: { datasets }, options, plugins: [intervals] });
    canvas.setAttribute("aria-label", `${heads[up]} against ${heads[across]} of ${shown.length - left} rows; their numbers are in the table below`);
    const missing = left ? ` ${left} of ${shown.length} rows have no place on these axes.` : "";
    said.textContent = `The rows that the table shows; a bar is the interval, or the values of two seeds. A name of the legend takes its points away or brings them back.${missing}`;
  };
  const fewer = () => {  // families have the same colours on every target: one target to begin with
    const first = box.previousElementSibling.querySelector("select");
    if (heads[0] !== "Target" || new Set(texts(0)).size < 2 || first.value) return;
    first.selectedIndex = 1;
    first.dispatchEvent(new Event("change"));
  };
  button.addEventListener("click", () => {
    place.hidden = !place.hidden;
    button.setAttribute("aria-expanded", String(!place.hidden));
    if (!place.hidden && !chart) { fewer(); suggest(); }
    draw();
  });
  for (const select of [x, y]) select.addEventListener("change", () => { suggest(); draw(); });
  for (const input of [logX, logY]) input.addEventListener("change", draw);
  box.addEventListener("filtered", draw);
  return { button, place };
}
