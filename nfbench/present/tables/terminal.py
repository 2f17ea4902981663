"""Tables on a terminal: as wide as it is, the best values marked; what does not fit is named and left out."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

from rich import box
from rich.console import Console, Group
from rich.table import Table as Grid
from rich.text import Text

from nfbench.present.tables.render import Table, is_text

_LAST = ("parameters", "s per cell")  # the first columns that give way
_BESIDE = 3  # columns after `seeds` that compare with a paper: they stay longer than further metrics
_PAD = 2  # blanks between columns
_STYLES = {"best": "bold green", "tied": "bold"}
_SIGNS = {"best": " *", "tied": " ="}
_SPACE = 2  # of a sign
_SENTENCES = ("verdict", "remark")  # columns whose cells may be broken at blanks
_SENTENCE = 16  # characters that are enough for such a column


def show(
    tables: Sequence[Table], console: Console, *, verbose: bool = False, hint: str = " (--columns chooses)"
) -> None:
    """Print tables one below the other.

    Args:
        tables: what to print.
        console: where; its width decides which columns are shown.
        verbose: with the protocol above each table and the notes below it.
        hint: behind the names of columns that do not fit.
    """
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(_laid_out(table, console.width, hint, verbose=verbose))


def _laid_out(table: Table, width: int, hint: str, *, verbose: bool) -> Group:
    columns = fitting(table, width)
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column, wide in zip(columns, _widths(table, columns, width), strict=True):
        name = table.head[column]
        side: Literal["left", "right"] = "left" if is_text(name) else "right"
        grid.add_column(Text(name), justify=side, overflow="fold", width=wide)
    firsts = [cells[0] for cells in table.rows]
    changes = [first != following for first, following in itertools.pairwise(firsts)]
    grouped = table.leading > 2 and sum(changes) == len(set(firsts)) - 1 < len(firsts) - 1
    for row, ends in enumerate([*changes, False]):
        grid.add_row(*(_cell(table, row, column) for column in columns), end_section=grouped and ends)
    parts: list[Text | Grid] = [Text(table.title, style="bold")]
    parts += [Text(table.protocol, style="dim")] if verbose else []
    parts += [grid, *(Text(note, style="dim") for note in _notes(table, columns, hint, verbose=verbose))]
    return Group(*parts)


def _cell(table: Table, row: int, column: int) -> Text:
    mark = table.marks.get((row, column), "")
    return Text(table.rows[row][column] + _SIGNS.get(mark, ""), style=_STYLES.get(mark, ""))


def _notes(table: Table, columns: Sequence[int], hint: str, *, verbose: bool) -> Iterable[str]:
    shown = {mark for (_, column), mark in table.marks.items() if column in columns}
    if shown:
        tied = "; = 95 % interval of the paired difference to the best contains 0" if "tied" in shown else ""
        yield f"* best of its target{tied}"
    hidden = [name for column, name in enumerate(table.head) if column not in columns]
    if hidden:
        yield f"not shown at this width: {', '.join(hidden)}{hint}"
    if verbose:
        yield from table.notes


def fitting(table: Table, width: int) -> list[int]:
    """The columns that fit into a line.

    Columns that say what a row is always stay; then come the first result, the columns after the seeds, which compare
    with a paper, the seeds, and further results in their order.

    Args:
        table: what is shown.
        width: of the terminal, in characters.

    Returns:
        The numbers of the columns, ascending; at least the leading ones and one result.
    """
    first = min(table.leading, len(table.head) - 1)  # a table of words alone has a last column too
    leading, results = list(range(first)), list(range(first, len(table.head)))
    seeds = next((column for column in results if table.head[column] in {"seeds", "pairs"}), len(table.head))
    beside = [column for column in results if column > seeds and table.head[column] not in _LAST]
    ranked = [*results[:1], *reversed(beside[-_BESIDE:]), *(column for column in results if column == seeds)]
    ranked += [column for column in results if column not in ranked and table.head[column] not in _LAST]
    ranked += [column for column in results if table.head[column] in _LAST and column not in ranked]
    chosen, used = leading, sum(_wide(table, column) for column in leading)
    for column in ranked:
        if used + _wide(table, column) > width and len(chosen) > len(leading):
            continue
        chosen, used = [*chosen, column], used + _wide(table, column)
    return sorted(chosen)


def _widths(table: Table, columns: Sequence[int], width: int) -> list[int]:
    """Widths without blanks: what each column needs at least, and what is left for heads in one line."""
    least = [_wide(table, column) - _PAD for column in columns]
    left = width - sum(least) - _PAD * len(columns)
    if left < 0:  # the leading columns and one result are wider than the terminal: the widest gives way
        widest = least.index(max(least))
        least[widest] = max(1, least[widest] + left)
    widths: list[int] = []
    for column, needed in zip(columns, least, strict=True):
        wanted = _cells(table, column) if table.head[column] in _SENTENCES else len(table.head[column])
        more = max(0, min(left, wanted - needed))
        widths, left = [*widths, needed + more], left - more
    return widths


def _wide(table: Table, column: int) -> int:
    """The least width of a column, in characters: its head may break at blanks, and so may the cells of a sentence."""
    cells = _cells(table, column)
    if table.head[column] in _SENTENCES:
        words = [len(word) for row in table.rows for word in row[column].split()]
        cells = min(cells, max([_SENTENCE, *words]))
    return max([cells, *map(len, table.head[column].split())]) + _PAD


def _cells(table: Table, column: int) -> int:
    """The length of the longest cell, with room for a sign where cells have some."""
    marked = any(place == column for _, place in table.marks)
    return max((len(row[column]) for row in table.rows), default=0) + _SPACE * marked
