"""The chapter on timings: complete, linked, beside experiments or alone, and absent where nothing was timed."""

import re

import pytest
from present.test_report import Page
from support.synthetic import Plan, figure1
from support.synthetic_timings import layers, steps, timing

from nfbench.present.report.build import report
from nfbench.present.results import results as read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    layers(root / "results")
    steps(root / "results")
    steps(root / "results" / "reference")
    timing(root / "results", "zuko", case={"mode": "inverse"}, status="failed", message="<b>no</b> 5 % & more")
    report(read(root / "results"), root / "report")
    return root


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report" / "index.html").read_text()


def section(text, name):
    return text.split(f'<section id="{name}">')[1].split("</section>")[0]


def test_timings_alone_make_a_report(text):
    """Without any cell there is a page with the chapter, and none of the parts that speak of cells."""
    assert f"{120 + 9 + 9 + 1} records" in text
    assert '<section id="lost">' not in text
    assert "every cell is done" not in text
    assert Page(text).open == []


def test_every_timing_is_linked_and_exists(folder, text):
    """All records are in the appendix, and every number of the chapter leads to an entry of it."""
    page = Page(text)
    linked = {link for link in page.links if link.endswith(".json")}
    files = {file.resolve() for file in (folder / "results").rglob("*.json")}
    assert {(folder / "report" / link).resolve() for link in linked} == files
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    rows = re.findall(r"<tr><td>(.*?)</tr>", section(text, "timing"))
    assert all('<a href="#c' in row.partition("</td>")[0] for row in rows if "[" in row)


def test_chapter_has_tables_and_pictures(text):
    """Four tables of the layers, two of each other block, the long ones folded; their pictures are inlined."""
    chapter = section(text, "timing")
    assert chapter.count('<table class="sortable"') == 4 + 2 + 2 + 2
    assert chapter.count("<details>") == 2 + 4  # the fits, and every contender
    assert chapter.count("<figure>") == chapter.count("data:image/webp") == 3 + 2 + 2


def test_own_and_reference_pictures_stand_side_by_side(text):
    """The steps' two pictures exist of own and of reference records, in pairs."""
    pairs = [part.split("</div>")[0].count("<img") for part in section(text, "timing").split('<div class="pair">')[1:]]
    assert pairs == [1, 1, 1, 2, 2]


def test_verdict_says_how_nfbench_compares(text):
    """The sentence counts outcomes and gives the range of the ratios of what agrees."""
    verdict = section(text, "verdict")
    assert "120 timings, 102 done, 16 lacking, 2 failed" in verdict
    assert "the fastest peer 7.80 to 48.0 in 15 cases" in verdict
    assert "Time for a model over nfbench&#39;s" in verdict


def test_checks_see_failures_and_disagreement(tmp_path):
    """A failed contender and an nfbench that disagrees are checks that do not hold."""
    timing(tmp_path, agreement={"error": 0.5, "tolerance": 1e-4})
    timing(tmp_path, "zuko", status="failed")
    page = report(read(tmp_path), tmp_path / "out").read_text()
    assert section(page, "verdict").count('<td class="bad">no</td>') == 2
    assert "planar:K=32: disagrees" in page


def test_words_are_explained_and_versions_told(text):
    """The glossary has the words of timing and no words of training; the peers' versions stand in the chapter."""
    glossary = section(text, "glossary")
    assert all(f"<dt>{word}</dt>" in glossary for word in ("floor", "ratio", "agreement", "interleaved", "contender"))
    assert "<dt>diverged</dt>" not in glossary
    assert "Versions: nfbench 0.1.0, normflows 1.2.3, pyro 1.2.3, torch 2.13.0." in text


def test_foreign_text_is_escaped(folder, text):
    """What a contender said is text in HTML and in LaTeX."""
    assert "&lt;b&gt;no&lt;/b&gt; 5 % &amp; more" in text
    assert r"<b>no</b> 5 \% \& more" in (folder / "report" / "report.tex").read_text()


def test_nothing_prints_nan(folder, text):
    """No format shows a NaN or a None in the place of a number."""
    page = re.sub(r"base64,[^\"]*", "", text).split("<script>\nfunction")[0]
    for found in (page, *((folder / "report" / name).read_text() for name in ("report.md", "report.tex"))):
        assert not re.search(r"\b(nan|None)\b", found)


def test_markdown_and_latex_have_the_chapter(folder):
    """Both name pictures that exist; LaTeX is balanced and plain."""
    markdown, latex = ((folder / "report" / name).read_text() for name in ("report.md", "report.tex"))
    named = re.findall(r"\]\((figures/[^)]*)\)", markdown) + re.findall(r"\]?\{(figures/[^}]*)\}", latex)
    assert len(named) == 2 * 7
    assert all((folder / "report" / name).is_file() for name in named)
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    assert all(line.isascii() for line in latex.splitlines())
    assert "nfbench against the others" in markdown
    assert "nfbench against the others" in latex


def test_timings_stand_beside_experiments(tmp_path):
    """With cells and timings both have their chapter, and records of both are counted."""
    figure1(Plan(tmp_path / "results", seeds=1))
    without = report(read(tmp_path / "results"), tmp_path / "without").read_text()
    timing(tmp_path / "results")
    both = report(read(tmp_path / "results"), tmp_path / "both").read_text()
    assert "12 records" in without
    assert "13 records" in both
    assert 'href="#timing"' in both
    assert 'href="#lost"' in both
    assert all(word not in without for word in ("timing", "interleaved", "contender"))


def test_environments_leave_the_backend_to_the_table(tmp_path):
    """Contenders that differ in their backend alone were measured in one environment."""
    timing(tmp_path, provenance={"processor": "Test CPU", "backend": "numba"})
    timing(tmp_path, "zuko", provenance={"processor": "Test CPU", "backend": None})
    page = report(read(tmp_path), tmp_path / "out").read_text()
    assert section(page, "environments").count("<h3>") == 1
    assert "nfbench (numba)" in page
