"""Tables as LaTeX that pastes into a paper: rules of booktabs, columns of siunitx, pages of longtable."""

import re
from collections.abc import Sequence

import pandas as pd

from nfbench.present.tables.render import COLUMNS, NOTHING, Table

PACKAGES = ("booktabs", "longtable", "siunitx")
_MANY = 13  # columns that are set smaller
_VALUE = re.compile(r"([+-]?)(\d[\d,]*)(?:\.(\d+))?(?: ± (\d[\d,]*)(?:\.(\d+))?)?")
_SETUP = (
    "separate-uncertainty=true,retain-explicit-plus=true,group-separator={,},group-minimum-digits=4,detect-weight=true"
)


def latex(table: Table) -> str:
    """A table as LaTeX's longtable with the rules of booktabs; a column of numbers is one of siunitx.

    The caption has the title, the protocol and the number of seeds. The best values of a target are bold. The first
    line is a comment that names the packages.

    Args:
        table: what to write.

    Returns:
        LaTeX that ends with a line break; ASCII only.
    """
    columns = [[row[place] for row in table.rows] for place in range(len(table.head))]
    letters = [_letter(name, cells) for name, cells in zip(table.head, columns, strict=True)]
    numeric = [letter.startswith("S") for letter in letters]
    rows = [
        [
            _number(cell, bold=table.marks.get((row, place)) == "best") if numeric[place] else escape(cell)
            for place, cell in enumerate(cells)
        ]
        for row, cells in enumerate(table.rows)
    ]
    heads = [
        f"{{{escape(name)}}}" if number else escape(name) for name, number in zip(table.head, numeric, strict=True)
    ]
    text = (
        pd.DataFrame(rows, columns=pd.Index(heads, dtype=object), dtype=object)
        .style.hide(axis="index")
        .to_latex(
            environment="longtable",
            hrules=True,
            column_format="".join(letters),
            caption=escape(f"{table.title}. {table.protocol}"),
        )
    )
    notes = "".join(f"\\par\\noindent {escape(note)}\n" for note in table.notes)
    size, apart = ("scriptsize", 2.5) if len(table.head) <= _MANY else ("tiny", 1.5)
    setup = f"{{\\{size}\\setlength{{\\tabcolsep}}{{{apart}pt}}\\sisetup{{{_SETUP}}}\n"
    return f"% \\usepackage{{{','.join(PACKAGES)}}}\n{setup}{text}{notes}}}\n"


def _letter(name: str, cells: Sequence[str]) -> str:
    """The column's type: words left, numbers aligned at their points, all else right."""
    if name in COLUMNS:
        return COLUMNS[name]
    parsed = [match for match in (_VALUE.fullmatch(cell) for cell in cells) if match]
    if not parsed:
        return "r"
    sign = "+" if any(match[1] == "+" for match in parsed) else "-" if any(match[1] for match in parsed) else ""
    whole = max(len(match[2].replace(",", "")) for match in parsed)
    decimals = max(len(match[3] or "") for match in parsed)
    errors = [len((match[4] or "").replace(",", "").lstrip("0")) + len(match[5] or "") for match in parsed if match[4]]
    error = f"({max(errors)})" if errors else ""
    return f"S[table-format={sign}{whole}{f'.{decimals}' if decimals else ''}{error}]"


def _number(cell: str, *, bold: bool) -> str:
    """A cell of a column of siunitx; braces keep it from reading what is no number."""
    weight = "\\bfseries " if bold else ""
    match = _VALUE.fullmatch(cell)
    if not match:
        return f"{{{weight}{escape(cell)}}}"
    return weight + cell.replace(",", "").replace("±", "+-")


_ESCAPES = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "|": r"\textbar{}"}
_ESCAPES |= {symbol: f"\\{symbol}" for symbol in "&%$#_{}"}


def escape(text: str) -> str:
    """Plain text for LaTeX.

    Args:
        text: any text.

    Returns:
        LaTeX that prints the text.
    """
    return symbols("".join(_ESCAPES.get(letter, letter) for letter in text))


def symbols(text: str) -> str:
    """The symbols of this module in plain LaTeX, so that no font or input encoding is needed.

    Args:
        text: LaTeX with symbols of this module.

    Returns:
        LaTeX with a command in place of each.
    """
    text = (
        text.replace("±", r"$\pm$")
        .replace(NOTHING, "--")
        .replace("<0.", "$<$0.")
        .replace("<=", r"$\leq$")
        .replace(" < ", " $<$ ")
        .replace("µ", r"$\mu$")
    )
    return re.sub(r"(?<![\w-])-(?=\d|ln)", "$-$", text)
