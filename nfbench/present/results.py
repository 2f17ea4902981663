"""Results as a user has them in Python: a folder of records with its tables, pictures and statistics."""

import os
from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path

import pandas as pd

from nfbench.analysis.summary import summary
from nfbench.analysis.timings import timed
from nfbench.foundation.checks import brief, instance
from nfbench.foundation.errors import InputError
from nfbench.present.compared_results import ComparedResults, texts
from nfbench.present.tables import claims, experiment, own, timings, verdicts
from nfbench.present.tables.choose import EVERYTHING, Choice
from nfbench.present.tables.latex import latex
from nfbench.present.tables.render import Table, html, markdown
from nfbench.specification.choices import CLAIMS, TIMING, USUAL_DRAWINGS, VERDICTS, Drawing, Format

FORMS = {"md": markdown, "latex": latex}  # of tables that are text
_SHOWN = 20  # configurations in a notebook


class Results(ComparedResults):
    """All results under a folder: what is stored, and what the command line shows of it.

    Every file is read once, when it is first needed.

    Examples:
        >>> import nfbench
        >>> results = nfbench.results("results/reference")
        >>> results.frame.query("experiment == 'figure3'")["K"].unique().tolist()
        [2, 8, 32]
        >>> print(results.table("figure3", where=["profile=quick"]).splitlines()[0])
        ### figure3, profile quick, own records
    """

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row a timing record, times in seconds and memory in bytes; empty where nothing was timed.

        The columns are those of `nfbench.analysis.timings.timed`. It is made once: change a copy.
        """
        return timed(self)

    def summary(self) -> pd.DataFrame:
        """One row a configuration: its facts, how many seeds ended how, and each metric's mean with its 95 % interval.

        Returns:
            For each metric m the columns m (mean over seeds, nats unless its name says otherwise), m_n, m_sd, m_se,
            m_low and m_high.
        """
        return summary(self.frame)

    def table(
        self, name: str, fmt: Format = "md", *, columns: Sequence[str] = (), sort: str = "", where: Sequence[str] = ()
    ) -> str:
        """The table of an experiment, of a published table or figure that its records are compared with, or of timings.

        Args:
            name: such as ``figure3`` or ``figure4``; ``timing`` for all timings, ``claims`` for the papers' claims,
                ``verdicts`` for what ``nfbench verify`` stored.
            fmt: ``md``, ``latex``, ``csv`` or ``json``.
            columns: names of the results that are shown, such as ``kl``; all where none is named.
            sort: name of the column to sort by, ``-kl`` for the largest first; else the experiment's order.
            where: conditions that a row must meet, such as ``K>=8`` or ``target=u1``.

        Returns:
            The table as text in that format.

        Raises:
            InputError: unknown format, no record of that name, or a column or condition that the table does not have.
        """
        texts("table", name=name, fmt=fmt, sort=sort)
        for key, words in (("columns", columns), ("where", where)):
            listed = isinstance(words, Sequence) and not isinstance(words, str)
            if not listed or not all(isinstance(word, str) for word in words):
                raise InputError(f"table: {key}={brief(words)}: expected a list of texts")
        choice = Choice(tuple(columns), sort, tuple(where))
        if name == TIMING:
            return timings.table(self._some_timings(), fmt, choice)
        if name == CLAIMS:
            return claims.compared(self.frame).text(fmt, choice)
        if name == VERDICTS:
            return verdicts.compared(self.verdicts.values()).text(fmt, choice)
        first = "".join(f"{FORMS[fmt](each)}\n" for each in self._own_tables(name, choice)) if fmt in FORMS else ""
        return first + experiment.table(self.frame, name, fmt, choice)

    def tables(self, name: str, choice: Choice = EVERYTHING) -> list[Table]:
        """The same tables before they are text in a format.

        Args:
            name: as of `table`.
            choice: which rows and columns, and in what order.

        Returns:
            The tables that have a row.

        Raises:
            InputError: as of `table`.
        """
        if name == TIMING:
            return choice.tables(timings.tables(choice.rows(self._some_timings())))
        if name == CLAIMS:
            return claims.compared(self.frame).chosen(choice)
        if name == VERDICTS:
            return verdicts.compared(self.verdicts.values()).chosen(choice)
        rows = experiment.select(self.frame, name)
        return [*self._own_tables(name, choice), *experiment.chosen(rows, name, choice)]

    def _own_tables(self, name: str, choice: Choice) -> list[Table]:
        """The tables that only some experiments have, unless rows and columns of the usual ones are asked for."""
        if choice != EVERYTHING:
            return []
        return own.tables(self, experiment.select(self.frame, name), name)

    def plot(
        self, name: str, out: str | os.PathLike[str] = "reports/figures", formats: Sequence[Drawing] = USUAL_DRAWINGS
    ) -> list[Path]:
        """Draw the pictures that the records of an experiment allow.

        Args:
            name: of the experiment, or of a published figure such as ``figure4``; ``timing`` for all timings.
            out: folder of the files, made if missing.
            formats: of the files: ``png``, ``svg`` or ``pdf``, each for every picture.

        Returns:
            The files that were written; none where the records make no picture.

        Raises:
            InputError: no record of that name, another format, or `out` cannot be written.
        """
        from nfbench.present.plots import catalogue

        instance("plot", "name", name, str, "text")
        instance("plot", "out", out, (str, os.PathLike), "a path, as text or as a pathlib.Path")
        if "\ud800" <= max(str(out), default="") <= "\udfff":
            raise InputError(f"plot: out={brief(out)}: expected a path that UTF-8 can hold")
        catalogue.check_formats(formats)
        formats = list(dict.fromkeys(formats))
        if name != TIMING:
            return catalogue.plot(self, name, Path(out), formats)
        return catalogue.paths(catalogue.timings(self._some_timings(), Path(out), formats))

    def _some_timings(self) -> pd.DataFrame:
        """All timings; InputError where there is none."""
        if self.timings.empty:
            raise InputError(f"no timing records under {str(self.root)!r}; expected what 'nfbench time' wrote")
        return self.timings

    def _repr_html_(self) -> str:
        """For a notebook: the line of `repr`, then the first configurations with the metric that ranks them."""
        overview: Table = experiment.overview(self.frame)
        more = len(overview.rows) - _SHOWN
        rest = f"<p>and {more} more configurations: see summary()</p>" if more > 0 else ""
        body = html(overview._replace(rows=overview.rows[:_SHOWN])) if overview.rows else ""
        return f"<p>{escape(repr(self))}</p>{body}{rest}"


def results(root: str | os.PathLike[str] = "results") -> Results:
    """The results under a folder; nothing is read before it is asked for.

    Args:
        root: the folder that ``nfbench run`` and ``nfbench time`` wrote to.

    Returns:
        Tables, pictures and statistics of the folder's records.

    Raises:
        InputError: not a path, or no folder.
    """
    return Results(root)
