"""The report: complete, self-contained, every number linked, nothing hidden."""

import re
from html.parser import HTMLParser

import pytest
from markupsafe import escape
from support.compared import FIRST, TABLE3, compared
from support.synthetic import Plan, digits, figure1, figure3

from nfbench.foundation.errors import InputError
from nfbench.present.report.build import report, verdicts
from nfbench.present.results import results as read
from nfbench.published.claims import papers
from nfbench.records import store

LOST = ("u1", "planar:K=8", 1)


class Page(HTMLParser):
    """What a test asks of the page: links, sources, ids, and whether tags close."""

    def __init__(self, text):
        super().__init__()
        self.links, self.sources, self.ids, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []
        self.ids += [values["id"]] if "id" in values else []
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    for base in (root / "results", root / "results" / "reference"):
        figure3(Plan(base, seeds=2 if base.name == "results" else 3, diverged={LOST}), targets=("u1",))
        digits(Plan(base, seeds=2))
    figure1(Plan(root / "results", seeds=1))
    digits(Plan(root / "results", seeds=2, learning_rate=0.5, revision="<script>alert(1)</script>"))
    report(read(root / "results"), root / "report")
    return root


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report" / "index.html").read_text()


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_page_is_well_formed(page):
    """Every tag is closed in order and no id stands twice."""
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_page_needs_no_network(page):
    """Pictures are inlined, and every link is to the page itself or to a file that exists."""
    assert page.sources
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources)
    assert all(link.startswith("#") or link.endswith(".json") for link in page.links)


def test_every_record_is_linked_and_exists(folder, text, page):
    """All record ids are on the page, each linked to its file relative to the page."""
    ids = {file.stem for file in (folder / "results").rglob("*.json")}
    linked = {link for link in page.links if link.endswith(".json")}
    assert len(ids) == len(read(folder / "results").frame["id"].unique())
    assert {link.rpartition("/")[2].removesuffix(".json") for link in linked} == ids
    assert all((folder / "report" / link).is_file() for link in linked)


def test_every_row_with_numbers_links_to_an_entry_of_the_appendix(text, page):
    """Each anchor that a row points to is there; a script gives its numbers the same link (`test_report_browser`)."""
    targets = {link[1:] for link in page.links if link.startswith("#")}
    assert targets <= set(page.ids)
    tables = re.findall(r"<table class=\"sortable\" data-records.*?</table>", text, re.DOTALL)
    rows = [row for table in tables for row in re.findall(r"<tr><td>(.*?)</tr>", table)]
    assert len(rows) > 50
    assert all('<a href="#c' in row.partition("</td>")[0] for row in rows if "±" in row)


def test_own_and_reference_stand_side_by_side(text):
    """Equal configurations have one row with both sides and the paired differences, and pictures come in pairs."""
    table = text.split('<table class="sortable beside"')[1].split("</table>")[0]
    rows = re.findall(r"<tr><td>(.*?)</tr>", table)
    assert len(rows) == 12
    assert all(row.count("<a href") == 2 for row in rows)
    two = r"-?[\d.]+, -?[\d.]+ \(2\)"
    both = [row for row in rows if len(re.findall(two, row)) == 2 and re.search(r"± [\d.<]+ \(3\)", row)]
    assert len(both) == 11  # own of two seeds, reference of three; of one configuration a single seed is left
    figure = next(part for part in text.split('<div class="pair">') if "densities" in part or "U1: density" in part)
    assert figure.split("</div>")[0].count("<img") == 2


def test_lost_cells_are_listed_with_their_reason(text):
    """Every cell that is not done is named with its message."""
    lost = text.split('<section id="lost">')[1].split("</section>")[0]
    assert lost.count("diverged</td>") == 2
    assert "the bound of update 17 is not finite" in lost


def test_foreign_text_is_escaped(text):
    """What a record says is text, never markup."""
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_environments_are_counted_apart(text):
    """Records of two revisions are two environments, each with the number of its records."""
    section = text.split('<section id="environments">')[1].split("</section>")[0]
    assert section.count("<h3>") == 2


def test_nothing_prints_nan(folder):
    """No report shows a NaN or a None in the place of a number."""
    page = re.sub(r"base64,[^\"]*", "", (folder / "report" / "index.html").read_text())
    page = page.split("<script>\nfunction")[0]
    texts = [page, *((folder / "report" / name).read_text() for name in ("report.md", "report.tex"))]
    for found in texts:
        assert not re.search(r"\b(nan|None)\b", found)


def test_claims_of_papers_come_first(text):
    """Before all else stands each claim about an experiment that has records, linked to its chapter; no other does."""
    head = text[: text.index('<div class="cards">')]
    for claim in (claim for paper in papers() for claim in paper.claims):
        shown = f'<a href="#{claim.experiment}">{escape(claim.text)}</a>'
        assert (shown in head) == (claim.experiment == "figure3")
    assert re.search(r'<td class="verdict [a-z-]+">', head)


def test_glossary_defines_what_is_shown(text):
    """The metrics on the page, the words of the package and its letters are explained."""
    section = text.split('<section id="glossary">')[1].split("</section>")[0]
    assert all(f"<dt>{word}</dt>" in section for word in ("KL (nats)", "free energy (nats)", "reproduced", "K"))
    assert "A family is a registered kind of posterior" in section


def test_markdown_and_latex_name_pictures_that_exist(folder):
    """The pictures that the other two formats include lie beside them, and LaTeX has balanced environments."""
    markdown = (folder / "report" / "report.md").read_text()
    latex = (folder / "report" / "report.tex").read_text()
    named = re.findall(r"\]\((figures/[^)]*)\)", markdown) + re.findall(r"\]?\{(figures/[^}]*)\}", latex)
    assert len(named) >= 20
    assert all((folder / "report" / name).is_file() for name in named)
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    assert r"\toprule" in latex
    assert all(line.isascii() for line in latex.splitlines())


def test_verdict_counts_cells_and_verdicts(folder):
    """The sentence of a block says what became of its cells and how many differences were reproduced."""
    frame = read(folder / "results").frame
    sentences = verdicts(frame, "figure3")
    assert len(sentences) == 2
    assert "24 cells, 23 done, 1 diverged" in sentences[0]
    assert "margin 0.05" in sentences[0]
    assert verdicts(frame, "figure1") == ["figure1, profile quick, own records: 12 cells, 12 done."]


def test_rendering_again_gives_the_same_files(tmp_path):
    """A report depends on the records only: no clock, no random order."""
    figure1(Plan(tmp_path / "results", seeds=1))
    for name in ("first", "second"):
        report(read(tmp_path / "results"), tmp_path / name)
    for name in ("index.html", "report.md", "report.tex"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_checks_are_a_line_and_open_where_one_fails(tmp_path, text):
    """Where all checks hold their table is folded under their number; one that fails unfolds it and stands first."""
    figure1(Plan(tmp_path / "results", seeds=1))
    report(read(tmp_path / "results"), tmp_path)
    sound = (tmp_path / "index.html").read_text()
    assert '<details><summary class="good">1 of 1 hold' in sound
    lost = text.split('<details open><summary class="bad">')[1].split("</details>")[0]
    assert re.match(r"\d+ of \d+ hold", lost)
    assert re.findall(r'<td class="(?:good|bad)">(\w+)', lost)[0] == "no"
    assert sound.index('class="card"') < sound.index("<figure>") < sound.index('<table class="sortable"')


HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(2))\n# not a heading"


def test_markdown_shows_what_records_say_as_text(tmp_path):
    """Tags, links, bars and line breaks in labels, targets, messages and provenance do nothing in `report.md`."""
    plan = Plan(tmp_path / "results", seeds=2, failed={("u1", "planar:K=8", 1)}, revision=HOSTILE)
    for record in figure3(plan, targets=("u1",), kls={"planar": {2: 0.3, 8: 0.1}}):
        facts = record.facts.model_copy(update=dict.fromkeys(("label", "target_label", "cite"), HOSTILE))
        message = record.message and HOSTILE
        store.write(plan.root, record.model_copy(update={"facts": facts, "message": message}))
    report(read(tmp_path / "results"), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text.count("&lt;script>alert(1)&lt;/script>") > 5
    assert "<script" not in text
    assert "](javascript" not in text
    assert "\n# not" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows if "U1" in line or "alert" in line} <= {5, 10, 13}


def test_a_folder_has_a_page_for_each_chapter(folder):
    """Its pictures are files that exist, its pages lead to each other, and every record is linked once."""
    stored = read(folder / "results")
    report(stored, folder / "pages", folder=True)
    pages = {file.name: Page(file.read_text()) for file in (folder / "pages").glob("*.html")}
    chapters = {f"chapter-{name}.html" for name in ("digits", "figure1", "figure3")}
    assert set(pages) == {"index.html"} | chapters
    assert chapters <= set(pages["index.html"].links)
    for name, page in pages.items():
        assert page.open == []
        assert len(page.ids) == len(set(page.ids))
        assert all((folder / "pages" / source).is_file() for source in page.sources)
        for link in page.links:
            file, _, section = link.partition("#")
            assert link.endswith(".json") or not section or section in pages[file or name].ids, link
            assert (folder / "pages" / file).is_file() or not file
    linked = [link for name in chapters for link in pages[name].links if link.endswith(".json")]
    assert len(linked) == len(set(linked)) == len(stored.frame)


def test_no_records_is_an_input_error(tmp_path):
    """An empty folder is refused in one line."""
    with pytest.raises(InputError, match="no records under"):
        report(read(tmp_path), tmp_path / "out")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    compared(Plan(root / "results", "table2", "standard", seeds=2, spread=0.1))
    compared(Plan(root / "results", "table3", "standard", seeds=2, spread=0.1), TABLE3, FIRST, dim=30)
    report(read(root / "results"), root / "report")
    return root


def test_verdict_of_values_names_the_budget(images):
    """Table 2 and Figure 4 in one sentence each, with the share of updates and seeds, the margin and the counts."""
    (text,) = verdicts(read(images / "results").frame, "table2")
    budget = "with 12,000 of its 500,000 updates and at most 2 of its 100 seeds"
    assert f"Against Rezende & Mohamed 2015, Table 2, {budget}: 5 values of -ln p(x) (margin 0.6 nats)" in text
    assert f"Against Rezende & Mohamed 2015, Fig. 4, {budget}: 5 values of free energy" in text
    assert "5 undecided" in text  # two seeds


def test_verdict_states_families_at_equal_depth_as_found(images):
    """NICE less planar flows, paired, each K with its difference; of what the paper does not have, nothing."""
    (text,) = verdicts(read(images / "results").frame, "table2")
    assert (
        "NICE (permutation) less Planar flow at equal K, paired by seed, -ln p(x) in nats: +1.000, +1.000 (K=10); +1.7"
        in text
    )
    assert "Radial" not in text


def test_verdict_of_other_data_is_none(images):
    """Table 3 from 4,000 images: no value is comparable, and why."""
    (text,) = verdicts(read(images / "results").frame, "table3")
    assert "none of 3 values is comparable" in text
    assert "4,000 images" in text


def test_cited_rows_are_not_linked(images):
    """Others' numbers have no record to link to; every link that there is leads somewhere."""
    text = (images / "report" / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    line = next(line for line in text.splitlines() if "HVI, 4 leapfrog steps" in line)
    assert "<td>86.40</td>" in line
    assert "href" not in line
    assert "what others measured" in text


def test_both_citations_are_listed(images):
    """Table 2 and Figure 4 of the paper are cited, and Table 3."""
    section = (images / "report" / "index.html").read_text().split('<section id="citations">')[1]
    assert all(f"arXiv:1505.05770v6, {name}." in section for name in ("Table 2", "Figure 4", "Table 3"))
