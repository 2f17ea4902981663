"""The report in a browser: sorted, filtered, copied, read by keyboard, narrow and printed; nothing leaves the file.

A script that is added to a copy of the page does what a reader does and leaves what it saw in the document.
"""

import html
import json
import re
import shutil
import subprocess

import pytest
from support.compared import compared
from support.synthetic import Plan, digits, figure3
from support.synthetic_timings import layers

from nfbench.present.report.build import report
from nfbench.present.results import results as read

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    figure3(Plan(root / "results", seeds=3, diverged={("u1", "planar:K=8", 1)}), targets=("u1", "u2"))
    digits(Plan(root / "results", seeds=2, revision="<script>document.title = 'broken'</script>"))
    compared(Plan(root / "results", "table2", "standard", seeds=2, spread=0.1))
    layers(root / "results")
    report(read(root / "results"), root / "report")
    report(read(root / "results"), root / "pages", folder=True)
    return root / "report"


def browse(folder, script, *options, width=1400, name="index.html"):
    """What `script` leaves in the variable `seen`, in a frame of that width, and the messages of the console."""
    page = (folder / name).read_text()
    told = f"(async () => {{ const seen = {{}}; {script}; parent.postMessage(JSON.stringify(seen), '*'); }})()"
    inner = f"<script>{told}</script></body>"
    (folder / "copy.html").write_text(page.replace("</body>", inner))
    (folder / "frame.html").write_text(FRAME.format(width=width))
    command = [BROWSER, *FLAGS, *options, "--dump-dom", (folder / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    match = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr
    return json.loads(html.unescape(match[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000"]
FRAME = """<!doctype html><body><iframe src="copy.html" style="width: {width}px; height: 1000px; border: 0"></iframe>
<pre id="seen"></pre><script>
addEventListener("message", event => {{ document.getElementById("seen").textContent = event.data; }});
</script></body>"""
OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true; }); refit();"
WIDE = """
    const root = document.documentElement, every = name => [...document.querySelectorAll(name)];
    seen.page = root.scrollWidth - root.clientWidth;
    seen.width = innerWidth;
    seen.tables = every('table').filter(one => one.offsetWidth > one.parentNode.clientWidth + 1).map(textOf);
    seen.cells = every('td').filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(textOf);
    seen.forms = every('.wide').map(one => one.className);
    seen.number = every('table').length"""
SORT = """
    const texts = ["<= 85.1 ± 0.16", "1,234 [1,200, 1,300]", "94.5, 95.5", "+0.5", "-0.5 ± 0.1", "U1", "<0.001"];
    seen.keys = texts.map(order);
    const has = one => one.textContent.includes("the paper's");
    const table = [...document.querySelectorAll('#table2 table')].find(one => has(one.tHead));
    const head = [...table.tHead.rows[0].cells].find(has), button = head.querySelector("button");
    const column = () => [...table.tBodies[0].rows].map(row => textOf(row.cells[head.cellIndex]));
    button.click(); seen.up = column(); seen.state = head.getAttribute("aria-sort");
    button.click(); seen.down = column()"""
CHOOSE = """
    const box = document.querySelector('#figure3 .wide'), table = box.querySelector('table');
    const tools = box.previousElementSibling, select = tools.querySelector('select');
    select.value = 'U1'; select.dispatchEvent(new Event('change'));
    seen.rows = [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => textOf(row.cells[0]));
    const fields = [...tools.querySelectorAll('fieldset label')];
    fields.find(one => one.textContent.includes('forward')).querySelector('input').click();
    seen.csv = copied(table, 'CSV'); seen.latex = copied(table, 'LaTeX')"""
KEYS = """
    const every = name => [...document.querySelectorAll(name)], tip = document.getElementById('tip');
    seen.heads = every('table.sortable th').every(one => one.querySelector('button'));
    seen.pictures = every('img').every(one => one.alt.length > 20 && one.src.startsWith('data:'));
    seen.fields = every('select, input').every(one => one.labels.length === 1);
    document.querySelector('#figure3 td.best a').focus(); seen.tip = tip.textContent;
    dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'})); seen.after = tip.textContent"""
CONTRAST = """
    const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const parts = text => text.match(/[\\d.]+/g).slice(0, 3).map(part => linear(part / 255));
    const light = text => parts(text).reduce((sum, part, place) => sum + [0.2126, 0.7152, 0.0722][place] * part, 0);
    const page = light(getComputedStyle(document.body).backgroundColor);
    const contrast = name => {
      const own = light(getComputedStyle(document.querySelector(name)).color);
      return (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05);
    };
    seen.page = page;
    seen.least = Math.min(...["p.soft", "nav a", "td", "summary", "h2", "figcaption", ".notes"].map(contrast))"""


PLOT = """
    const button = [...document.querySelectorAll('#figure3 .tools button')].find(one => textOf(one) === 'Plot');
    const place = document.querySelector('#figure3 .explore'), box = document.querySelector('#figure3 .wide');
    seen.hidden = place.hidden; seen.loaded = Boolean(window.Chart);
    button.click();
    const drawn = async () => {
      await charts();
      await new Promise(done => setTimeout(done, 50));
      const chart = Chart.getChart(place.querySelector('canvas'));
      const numbers = ({ x, y, low, high }) => [x, y, low, high];
      const points = chart.data.datasets.map(({ label, data }) => [label, data.map(numbers)]);
      return [points, chart.options.scales.x.type, chart.options.scales.y.type];
    };
    const shown = [...box.querySelectorAll('tbody tr')].filter(row => !row.hidden);
    [seen.points, seen.x, seen.y] = await drawn();
    seen.rows = shown.map(row => [1, 2, 3].map(at => textOf(row.cells[at])));
    seen.expanded = button.getAttribute('aria-expanded');
    seen.alt = place.querySelector('canvas').getAttribute('aria-label');
    seen.colours = Chart.getChart(place.querySelector('canvas')).data.datasets.map(one => one.borderColor);
    const select = box.previousElementSibling.querySelectorAll('select')[1];
    select.value = 'Planar flow'; select.dispatchEvent(new Event('change'));
    seen.filtered = (await drawn())[0].map(([label]) => label);
    const [x, y] = place.querySelectorAll('select');
    x.value = [...x.options].find(one => one.text === 'parameters').value; x.dispatchEvent(new Event('change'));
    seen.across = (await drawn())[0][0][1].map(point => point[0]);
    seen.spans = ["0.10 ± 0.02", "3.1 [2.9, 3.4]", "1.5, 1.0", "7", "\u2014", "<= 85.1"].map(span)"""


@pytest.mark.parametrize("width", [1400, 900, 400])
def test_nothing_is_cut_off(folder, width):
    """With everything unfolded the page is no wider than the window, and no table wider than its place."""
    seen, console = browse(folder, OPEN + WIDE, width=width)
    assert seen["width"] == width
    assert (seen["page"], seen["tables"], seen["cells"]) == (0, [], [])
    assert seen["number"] > 10
    assert any("stacked" in form for form in seen["forms"]) or width > 400
    assert console == []


def test_nothing_is_cut_off_in_print(folder):
    """On landscape paper of A4 less its margins, under the style of print, no table is wider than the page."""
    page = (folder / "index.html").read_text()
    on_paper = page.replace("@media screen", "@media speech").replace("@media print", "@media screen")
    (folder / "paper").mkdir()
    (folder / "paper" / "index.html").write_text(on_paper)
    seen, _ = browse(folder / "paper", OPEN + WIDE, width=1047)
    assert (seen["page"], seen["tables"], seen["cells"]) == (0, [], [])


def test_columns_sort_by_numbers_and_empty_cells_stay_last(folder):
    """A cell "<= 85.1" is 85.1, two values are their mean, a dash is last; another click turns the order round."""
    seen, _ = browse(folder, SORT)
    assert seen["keys"] == [85.1, 1234, 95, 0.5, -0.5, "U1", 0.001]
    assert seen["state"] == "ascending"
    for texts, turned in ((seen["up"], False), (seen["down"], True)):
        known = [text for text in texts if text != "—"]
        numbers = [float(re.search(r"[\d.]+", text)[0]) for text in known]
        assert numbers == sorted(numbers, reverse=turned)
        assert texts[len(known) :] == ["—"] * (len(texts) - len(known)) != []


def test_rows_and_columns_are_chosen_and_copied(folder):
    """Choosing a target leaves its rows, unchecking a column takes it away, and what is copied is what is shown."""
    seen, _ = browse(folder, CHOOSE)
    assert seen["rows"] == ["U1"] * 12
    head, *lines = seen["csv"].splitlines()
    assert head.startswith("Target,Posterior,K,KL (nats),free energy (nats),")
    assert len(lines) == 12
    assert all(line.startswith("U1,") for line in lines)
    assert seen["latex"].startswith("\\begin{tabular}{lllr")
    assert seen["latex"].count("\\\\\n") == 13
    assert "$\\pm$" in seen["latex"]
    assert not re.search(r"[±—]|(?<!\\)[%#_]", seen["latex"])


def test_a_table_becomes_a_picture(folder):
    """Its rows are the points, with their intervals; filters and axes are obeyed; the library is unpacked on demand."""
    seen, console = browse(folder, PLOT)
    assert (seen["hidden"], seen["loaded"], seen["expanded"]) == (True, False, "true")
    assert {label for label, _ in seen["points"]} == {name for name, *_ in seen["rows"]}
    for name, K, text in seen["rows"]:
        drawn = dict(seen["points"])[name]
        value, half = (float(part) for part in text.split(" ± ")) if "±" in text else (None, None)
        if value is not None:
            expected = pytest.approx([float(K), value, value - half, value + half])
            assert any(point == expected for point in drawn)
    assert (seen["x"], seen["y"]) == ("logarithmic", "logarithmic")
    assert seen["alt"].startswith("KL (nats) against K of 12 rows")
    assert len(set(seen["colours"])) == 4
    assert seen["filtered"] == ["Planar flow"]
    assert seen["across"] == [14, 44, 164]
    near = [pytest.approx(ends) for ends in ([0.1, 0.08, 0.12], [3.1, 2.9, 3.4], [1.25, 1.0, 1.5], [7, 7, 7])]
    assert seen["spans"] == [*near, None, [85.1, 85.1, 85.1]]
    assert console == []


LOADED = """
    const ended = one => one.complete || new Promise(done => { one.onload = one.onerror = done; });
    document.querySelectorAll('img').forEach(one => { one.loading = 'eager'; });
    await Promise.all([...document.images].map(ended));
    seen.pictures = [...document.images].map(one => one.naturalWidth);
    seen.tables = document.querySelectorAll('.wide').length"""


@pytest.mark.parametrize("name", ["index.html", "chapter-figure3.html"])
def test_pages_of_a_folder_load_their_pictures(folder, name):
    """The policy of the page lets its pictures be read from files, and nothing is missing."""
    seen, console = browse(folder.parent / "pages", LOADED, name=name)
    assert seen["pictures"] != []
    assert min(seen["pictures"]) > 200
    assert seen["tables"] >= 1
    assert console == []


def test_keyboard_and_screen_reader(folder):
    """Everything that a click does has a button, a link or a field; a focused number says what it is made of."""
    seen, _ = browse(folder, OPEN + KEYS)
    assert (seen["heads"], seen["pictures"], seen["fields"]) == (True, True, True)
    assert re.match(r"U1, .*, 32: KL \(nats\) [\d.]+ ± [\d.]+, the best of its target\. seeds: 3\. ", seen["tip"])
    assert "Profile quick" in seen["tip"]
    assert seen["after"] == ""


@pytest.mark.parametrize("dark", [True, False])
def test_dark_mode_has_light_letters(folder, dark):
    """Where the system is dark, the page is: letters and links have a contrast of at least 4.5 to it."""
    seen, _ = browse(folder, OPEN + CONTRAST, f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    assert (seen["page"] < 0.1) is dark
    assert seen["least"] >= 4.5


def test_a_report_can_be_printed(folder):
    """The page becomes a PDF with all its pictures and tables."""
    pdf = folder / "report.pdf"
    command = [BROWSER, *FLAGS, f"--print-to-pdf={pdf}", (folder / "index.html").as_uri()]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 50_000


def test_a_record_runs_no_script(folder):
    """A tag in a record's provenance is text; the policy of the page lets nothing be fetched."""
    said = "document.body.textContent.includes(\"document.title = 'broken'\")"
    seen, _ = browse(folder, f"seen.title = document.title; seen.text = {said}")
    assert seen == {"title": "nfbench report", "text": True}
    assert "default-src 'none'" in (folder / "index.html").read_text()
