"""LaTeX tables: columns of siunitx, captions that say how and how often, and a document that compiles."""

import re
import shutil
import subprocess

import pytest
from support.synthetic import Plan, figure3

from nfbench.present.results import results as read
from nfbench.present.tables.latex import PACKAGES, latex
from nfbench.present.tables.render import Table

CELL = re.compile(r"(\\bfseries )?[+-]?\d+(\.\d+)?( \+- \d+(\.\d+)?)?")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    figure3(Plan(root, seeds=4, diverged={("u1", "radial:K=8", 1)}), targets=("u1", "u2"))
    return read(root)


def small(**changes):
    """A table of three rows with what is hard: signs, thousands, a dash, two values, symbols of LaTeX."""
    table = Table(
        title="mine_1, 100 %",
        protocol="Profile quick, 3 seeds a configuration; a & b.",
        head=["Target", "Posterior", "K", "KL (nats)", "parameters", "difference"],
        rows=[
            ["U_1", "a#b", "2", "0.031 ± 0.004", "1,234", "+0.5"],
            ["U_1", "{x}", "—", "10.500 ± <0.001", "14", "—"],
            ["U^2", "$y$", "32", "1.250, 1.750", "12,345,678", "-12.25"],
        ],
        keys=[()] * 3,
        notes=["50 % ± 1 <= x_1"],
        marks={(0, 3): "best", (1, 3): "tied"},
    )
    return table._replace(**changes)


def lines(text):
    """Cells of each line of a body, split where LaTeX does."""
    return [re.split(r"(?<!\\) ?& ?", line.removesuffix(r" \\")) for line in text.splitlines() if " & " in line]


def test_numbers_are_columns_of_siunitx():
    """A column of numbers has a format that its widest one fits; words have letters, what is no number has braces."""
    text = latex(small())
    assert r"\begin{longtable}{llS[table-format=2]S[table-format=1.3(3)]S[table-format=8]S[table-format=+2.2]}" in text
    *_, first, second, third = lines(text)
    assert first == [r"U\_1", r"a\#b", "2", r"\bfseries 0.031 +- 0.004", "1234", "+0.5"]
    assert second[2:4] == ["{--}", r"{10.500 $\pm$ $<$0.001}"]
    assert third[3:] == ["{1.250, 1.750}", "12345678", "-12.25"]


def test_the_caption_says_protocol_and_seeds(stored):
    """Title, profile, recipe and seeds stand in the caption; the first line names the packages."""
    (text,) = [latex(table) for table in stored.tables("figure3")]
    caption = re.search(r"\\caption\{(.*)\} \\\\", text)[1]
    assert caption.startswith("figure3, profile quick, own records.")
    assert "4 seeds a configuration" in caption
    assert text.splitlines()[0] == r"% \usepackage{booktabs,longtable,siunitx}"
    assert text.isascii()


def test_every_line_has_a_cell_for_each_column(stored):
    """In the tables of an experiment no cell is lost, braces are balanced, and no bare text stands among numbers."""
    for table in (
        *stored.tables("figure3"),
        *stored.against("figure3", "planar").tables,
        *stored.ranked("figure3").tables,
    ):
        text = latex(table)
        letters = re.search(r"begin\{longtable\}\{(.*)\}\n", text)[1]
        kinds = re.findall(r"S\[[^]]*\]|p\{[^}]*\}|[lr]", letters)
        body = lines(text)
        assert {len(line) for line in body} == {len(table.head)} == {len(kinds)}
        assert text.count("{") == text.count("}")
        for line in body[2:]:
            for kind, cell in zip(kinds, line, strict=True):
                assert not kind.startswith("S") or CELL.fullmatch(cell) or re.fullmatch(r"\{.*\}", cell), cell


def has_latex():
    """Whether pdflatex and the packages are installed."""
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return False
    there = subprocess.run(["kpsewhich", *(f"{name}.sty" for name in PACKAGES)], capture_output=True, text=True)
    return len(there.stdout.splitlines()) == len(PACKAGES)


@pytest.mark.skipif(not has_latex(), reason="pdflatex with booktabs, longtable and siunitx is not installed")
def test_tables_compile(stored, tmp_path):
    """A document of all kinds of tables, with LaTeX's own symbols in every text, compiles without an error."""
    tables = [small(), *stored.tables("figure3"), *stored.against("figure3", "planar").tables]
    tables += stored.ranked("figure3").tables
    head = r"\documentclass[a4paper,landscape]{article}" + "\n".join(f"\\usepackage{{{name}}}" for name in PACKAGES)
    body = "\n".join(map(latex, tables))
    (tmp_path / "all.tex").write_text(f"{head}\n\\begin{{document}}\n{body}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
