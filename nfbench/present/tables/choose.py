"""Which rows and columns of a table are shown, and in what order: what a user asks for in a few words.

A *condition* is ``NAME OP VALUE``, such as ``K>=8``, ``target=u1``, ``kl<0.1`` or ``label~NICE``. OP is one of ``>=``,
``<=``, ``>``, ``<``, ``=``, ``!=`` and ``~`` (contains).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.present.tables.render import NOTHING, Table
from nfbench.records.glossary import measure

_CONDITION = re.compile(r"\s*([\w.]+)\s*(>=|<=|!=|==|=|>|<|~)\s*(.*?)\s*")
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
}
_LETTERS = {"D": "dim", "S": "draws", "B": "batch", "E": "seeds"}  # of the columns of timings
_NUMBER = re.compile(r"[<>=~ ]*([+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")
_PAIR = re.compile(r"([+-]?\d+\.\d+), ([+-]?\d+\.\d+)")  # both values of two seeds
_RECORDS = ("source", "profile", "target", "posterior", "family", "label", "K")  # columns that say what a row is


@dataclass(frozen=True)
class Choice:
    """What a user wants of a table.

    Attributes:
        columns: names of results, such as ``kl`` or the beginning of a head; all where there are none. Columns that say
            what a row is are always shown.
        sort: name of the column to sort by, a hyphen before it for the largest first; empty for the experiment's order.
        conditions: each a condition that a row must meet.
    """

    columns: tuple[str, ...] = ()
    sort: str = ""
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a sort without a name."""
        if self.sort == "-":
            raise InputError("sort '-': expected the name of a column, with a hyphen before it for the largest first")

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that meet all conditions.

        Args:
            frame: of a summary or of timings: a column for each name of a condition.

        Returns:
            Those rows of `frame`, in its order.

        Raises:
            InputError: no condition, a name that the table does not have, or no row that meets them.
        """
        kept = frame
        for text in self.conditions:
            kept = kept[[_meets(row, text) for row in kept.to_dict("records")]]
        if kept.empty and len(frame):
            asked = " and ".join(self.conditions)
            raise InputError(f"no row has {asked}; expected conditions that some of {len(frame)} rows meet")
        return kept

    def frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A table as data, narrowed and sorted.

        Args:
            frame: the statistics of an experiment, one row a configuration, or a table of timings.

        Returns:
            The columns and rows that are wanted.

        Raises:
            InputError: a column that there is not, or as of `rows`.
        """
        frame = self.rows(frame) if self.conditions else frame
        if self.sort:
            name = self.sort.removeprefix("-")
            if name not in frame:
                raise unknown("column", name, [str(column) for column in frame])
            frame = frame.sort_values(name, ascending=not self.sort.startswith("-"), kind="stable")
        if not self.columns:
            return frame
        wanted = [name for column in self.columns for name in _named(column, [str(name) for name in frame])]
        always = [name for name in (*_RECORDS, "mode", "contender", *_LETTERS.values()) if name in frame]
        return frame[list(dict.fromkeys([*always, *wanted]))]

    def tables(self, tables: Sequence[Table], keys: set[tuple[str, ...]] | None = None) -> list[Table]:
        """Several tables, each narrowed and sorted as far as it has the columns.

        Args:
            tables: all of them.
            keys: of the rows that meet the conditions; None where there are no conditions.

        Returns:
            Those that have a wanted column and a row.

        Raises:
            InputError: a column that none of them has.
        """
        left, error = [], None
        for table in tables:
            try:
                left.append(self.table(table, keys))
            except InputError as lacking:
                error = lacking
        if error and not left:
            raise error
        return [table for table in left if table.rows]

    def table(self, table: Table, keys: set[tuple[str, ...]] | None = None) -> Table:
        """A table as text, narrowed and sorted.

        Args:
            table: all of it.
            keys: of the rows that meet the conditions; None where there are no conditions.

        Returns:
            The table with the columns and rows that are wanted.
        """
        order = [i for i, key in enumerate(table.keys) if keys is None or key in keys]
        if self.sort:
            order = _sorted(table, order, self.sort)
        columns = list(range(len(table.head)))
        if self.columns:
            places = [columns.index(place) for name in self.columns for place in _places(table.head, name)]
            columns = list(dict.fromkeys([*range(table.leading), *places]))
        place_of = {(row, column): (i, j) for i, row in enumerate(order) for j, column in enumerate(columns)}
        return table._replace(
            head=[table.head[column] for column in columns],
            rows=[[table.rows[row][column] for column in columns] for row in order],
            keys=[table.keys[row] for row in order],
            marks={place_of[place]: mark for place, mark in table.marks.items() if place in place_of},
        )


EVERYTHING = Choice()


def _meets(row: dict[Any, Any], text: str) -> bool:
    match = _CONDITION.fullmatch(text)
    if not match:
        raise InputError(f"filter {text!r}: expected a name, one of >= <= > < = != ~ and a value, such as 'K>=8'")
    name, operator, wanted = match[1], match[2], match[3]
    name = name if name in row else _LETTERS.get(name, name)
    if name not in row:
        raise unknown("column", name, [str(column) for column in row], place=f" in filter {text!r}")
    value = row[name]
    if operator in _ORDERS:
        try:
            return not pd.isna(value) and _ORDERS[operator](float(value), float(wanted))
        except (TypeError, ValueError):
            message = f"filter {text!r}: {operator} compares numbers, and {value!r} or {wanted!r} is none"
            raise InputError(message) from None
    texts = {str(value).lower(), str(row.get(f"{name}_label", value)).lower(), str(value).lower().partition(":")[0]}
    if operator == "~":
        return any(wanted.lower() in each for each in texts)
    equal = wanted.lower() in texts or _as_number(wanted) == _as_number(str(value)) is not None
    return equal != (operator == "!=")


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _named(wanted: str, names: Sequence[str]) -> list[str]:
    """The columns of data that a name stands for: itself and what is derived from it."""
    columns = [name for name in names if name == wanted or name.startswith(f"{wanted}_")]
    if not columns:
        raise unknown("column", wanted, names)
    return columns


def _places(head: Sequence[str], wanted: str) -> list[int]:
    """The columns of a table that a name stands for: a metric's, or those whose heads begin with it."""
    titles = {measure(wanted).title.lower(), wanted.lower()}
    places = [place for place, name in enumerate(head) if name.lower() in titles]
    places = places or [place for place, name in enumerate(head) if name.lower().startswith(wanted.lower())]
    if not places:
        raise unknown("column", wanted, head)
    return places


def _sorted(table: Table, order: list[int], sort: str) -> list[int]:
    """Row numbers by the numbers, else the texts, of a column; rows without a value stand last."""
    column = _places(table.head, sort.removeprefix("-"))[0]
    value_of = {row: number(table.rows[row][column]) for row in order}
    empty = [row for row in order if table.rows[row][column] == NOTHING]
    filled = [row for row in order if row not in empty]

    def place(row: int) -> tuple[bool, float, str]:
        value = value_of[row]
        return value is None, value or 0.0, table.rows[row][column]

    return sorted(filled, key=place, reverse=sort.startswith("-")) + empty


def number(text: str) -> float | None:
    """The number that a cell is sorted by.

    Args:
        text: of a cell.

    Returns:
        The first number, or the mean of both values of two seeds; None where the cell begins with no number.

    >>> number("<= 85.1 ± 0.16"), number("1,234 [1,200, 1,300]"), number("94.5, 95.5"), number("U1")
    (85.1, 1234.0, 95.0, None)
    """
    if pair := _PAIR.fullmatch(text.strip()):
        return (float(pair[1]) + float(pair[2])) / 2
    match = _NUMBER.match(text.strip())
    return float(match[1].replace(",", "")) if match else None
