"""A comparison of stored results, as tables for people and as data, in every format."""

from typing import NamedTuple

import pandas as pd

from nfbench.foundation.names import unknown
from nfbench.present.tables.choose import EVERYTHING, Choice
from nfbench.present.tables.latex import latex
from nfbench.present.tables.render import Table, markdown
from nfbench.specification.choices import FORMATS


class Compared(NamedTuple):
    """A comparison as text and as data.

    Attributes:
        tables: one a block.
        data: all rows with their full numbers.
    """

    tables: list[Table]
    data: pd.DataFrame

    def text(self, fmt: str, choice: Choice = EVERYTHING) -> str:
        """The comparison in a format.

        Args:
            fmt: ``md``, ``latex``, ``csv`` or ``json``.
            choice: which rows and columns, and in what order.

        Returns:
            The text.

        Raises:
            InputError: unknown format, or a choice that the tables do not have.
        """
        if fmt not in FORMATS:
            raise unknown("table format", fmt, FORMATS)
        if fmt == "csv":
            return choice.frame(self.data).to_csv(index=False)
        if fmt == "json":
            return str(choice.frame(self.data).to_json(orient="records", indent=1, double_precision=15)) + "\n"
        return "\n".join((markdown if fmt == "md" else latex)(table) for table in self.chosen(choice))

    def chosen(self, choice: Choice) -> list[Table]:
        """The tables, narrowed and sorted.

        Args:
            choice: which rows and columns, and in what order.

        Returns:
            Those that have a row left.

        Raises:
            InputError: a choice that no table has.
        """
        kept = None
        if choice.conditions:
            kept = {tuple(row["key"]) for row in choice.rows(self._keyed()).to_dict("records")}
        return choice.tables(self.tables, kept)

    def _keyed(self) -> pd.DataFrame:
        """The data with the key of each row's line in a table."""
        keys = [key for table in self.tables for key in table.keys]
        return self.data.assign(key=pd.Series(keys, index=self.data.index, dtype=object))
