"""Tables as text, whatever they show: numbers, and Markdown or HTML of a finished table."""

import math
import re
from collections.abc import Iterable, Mapping
from html import escape as html_escape
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

NOTHING = "—"
COLUMNS = dict.fromkeys(("Target", "Posterior", "Contender", "fastest peer", "verdict", "Who", "Metric"), "l")
COLUMNS |= {
    "remark": "p{34mm}",
    "step on": "p{22mm}",
    "Source": "p{70mm}",
    "Claim": "p{50mm}",
    "Where": "p{22mm}",
    "The paper has": "p{24mm}",
    "Others have": "p{40mm}",
    "Ours": "p{70mm}",
}  # of LaTeX; whatever is not named is a number


class Table(NamedTuple):
    """One block's results as text, ready for any format.

    Attributes:
        title: what the table shows.
        protocol: how its numbers came about, in sentences.
        head: (columns,), a title for each column.
        rows: (rows, columns), the cells.
        keys: (rows,), of each row the configuration or case as text; empty for a row that has no records.
        notes: sentences under the table.
        leading: the first columns, which say what a row is; the others are results.
        folded: on a page that can, only the title shows until the table is asked for.
        marks: by row and column, the cells that are ``best`` of a target, or ``tied`` with the best.
    """

    title: str
    protocol: str
    head: list[str]
    rows: list[list[str]]
    keys: list[tuple[str, ...]]
    notes: list[str]
    leading: int = 3
    folded: bool = False
    marks: Mapping[tuple[int, int], str] = MappingProxyType({})


def number(value: float | None, decimals: int = 3, form: str = "") -> str:
    """A number as text.

    Args:
        value: None or NaN for none.
        decimals: digits after the point.
        form: flags of Python's format, such as ``+`` or ``,``.

    Returns:
        The text; a dash where there is no number.

    >>> number(0.03141), number(float("nan"))
    ('0.031', '—')
    """
    return NOTHING if value is None or pd.isna(value) else f"{value:{form}.{decimals}f}"


def interval(value: float | None, low: float | None, high: float | None, *, sign: str = "") -> str:
    """A mean with half its interval; without an interval, the mean alone.

    Args:
        value: a mean, None or NaN for none.
        low: lower end of its interval.
        high: upper end.
        sign: ``+`` to print it always.

    Returns:
        ``mean ± half width`` to three decimals; a dash where there is no mean.

    >>> interval(0.0312, 0.0271, 0.0353), interval(0.0312, None, None), interval(0.5, 0.49999, 0.50001)
    ('0.031 ± 0.004', '0.031', '0.500 ± <0.001')
    """
    text = number(value, form=sign)
    if text == NOTHING or low is None or high is None or pd.isna(low) or pd.isna(high):
        return text
    half = (high - low) / 2
    return f"{text} ± {half:.3f}" if half >= 0.0005 or half == 0 else f"{text} ± <0.001"


def significant(value: float | None, digits: int = 3) -> str:
    """A number to some significant digits as text, never as a power of ten.

    Args:
        value: None or an infinite one for none.
        digits: how many.

    Returns:
        The text, with commas between thousands; a dash where there is no number.

    >>> significant(0.041234), significant(466.6), significant(12345.6), significant(None)
    ('0.0412', '467', '12,346', '—')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{_decimals(value, digits)}f}"


def quartiles(value: float | None, low: float | None, high: float | None, *, factor: float = 1.0) -> str:
    """A median with its quartiles, if they are known, to three significant digits of the median.

    Args:
        value: a median, None for none.
        low: first quartile.
        high: third quartile.
        factor: multiplies all three, to change the unit.

    Returns:
        ``median [first, third]``; a dash where there is no median.

    >>> quartiles(0.00041234, 0.000405, 0.000421, factor=1e6), quartiles(2.0, None, None), quartiles(None, None, None)
    ('412 [405, 421]', '2.00', '—')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    decimals = _decimals(value * factor, 3)
    text = f"{value * factor:,.{decimals}f}"
    if low is None or high is None or pd.isna(low) or pd.isna(high):
        return text
    return f"{text} [{low * factor:,.{decimals}f}, {high * factor:,.{decimals}f}]"


def _decimals(value: float, digits: int) -> int:
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0


def markdown(table: Table) -> str:
    """A table with its title as a heading, its protocol and notes, as Markdown.

    Args:
        table: what to write.

    Returns:
        Markdown that ends with a line break.
    """
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    body = "\n".join(markdown_row(line) for line in lines)
    notes = "\n".join(f"- {plain(note)}" for note in table.notes).replace("* ", "\\* ")
    title, protocol = plain(table.title), plain(table.protocol)
    return f"### {title}\n\n{protocol}\n\n{body}\n" + (f"\n{notes}\n" if notes else "")


def markdown_row(cells: Iterable[str]) -> str:
    """The line of a Markdown table.

    Args:
        cells: their texts.

    Returns:
        The line, in which a bar in a text does not end its cell.
    """
    return "| " + " | ".join(plain(cell).replace("|", "\\|") for cell in cells) + " |"


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no HTML tag, link or line break of a record's own takes effect.

    Args:
        text: of a record, such as a label or a message.

    Returns:
        One line, without control characters.

    >>> plain("<script>x</script> <= 2 ± <0.001")
    '&lt;script>x&lt;/script> <= 2 ± <0.001'
    """
    line = re.sub(r"[\x00-\x20\x7f-\x9f]+", " ", text)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line).replace("](", "]\\(")


def html(table: Table) -> str:
    """The head and the rows as an HTML table, every text escaped.

    Args:
        table: what to write.

    Returns:
        A ``<table>`` element.
    """
    lines = [("th", table.head), *(("td", row) for row in table.rows)]
    cells = ("".join(f"<{tag}>{html_escape(cell)}</{tag}>" for cell in line) for tag, line in lines)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in cells) + "</table>"


def is_text(name: str) -> bool:
    """Whether a column holds words, which are set to the left; numbers are set to the right.

    Args:
        name: the column's head.

    Returns:
        True for words.
    """
    return COLUMNS.get(name, "r") != "r"
