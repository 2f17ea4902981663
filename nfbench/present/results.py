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
from nfbench.present.tables import budgets, claims, experiment, shootout, timings, verdicts
from nfbench.present.tables import comparisons as tables_of_comparisons
from nfbench.present.tables.choose import EVERYTHING, Choice
from nfbench.present.tables.compared import Compared
from nfbench.present.tables.latex import latex
from nfbench.present.tables.render import Table, html, markdown
from nfbench.records.results import StoredResults
from nfbench.specification.choices import CLAIMS, SHOOTOUT, TIMING, USUAL_DRAWINGS, VERDICTS, Drawing, Format, Over

FORMS = {"md": markdown, "latex": latex}  # of tables that are text
_SHOWN = 20  # configurations in a notebook


class Results(StoredResults):
    """All results under a folder: what is stored, and what the command line shows of it.

    Every file is read once, when it is first needed.

    Examples:
        >>> import nfbench
        >>> results = nfbench.results("results/reference")
        >>> results.frame.query("experiment == 'figure3'")["K"].unique().tolist()
        [2, 8, 32]
        >>> print(results.table("figure3").splitlines()[0])
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

    def comparisons(
        self, name: str, against: str, *, metric: str | None = None, margin: float | None = None
    ) -> pd.DataFrame:
        """Who beats whom on each target of an experiment: paired differences to one posterior, with their tests.

        Args:
            name: of the experiment, or of a published table or figure of its records.
            against: spec of a posterior, such as ``planar:K=8``, or of a family, such as ``planar``, whose member of
                equal K is meant.
            metric: name of the metric, such as ``kl``; None for the one that ranks.
            margin: the difference that matters, in the metric's unit; 0.05 where it is None.

        Returns:
            One row a target and posterior, with the columns of `nfbench.analysis.comparison.comparisons`: the mean
            difference with its interval, ``p_holm``, ``improvement`` (probability that a run is better), the
            probabilities of the Bayesian signed-rank test, ``needed`` seeds and the ``verdict`` in words.

        Raises:
            InputError: no record of that name, metric or posterior, or a margin that is not above 0.

        Examples:
            >>> import nfbench
            >>> results = nfbench.results("results/reference")
            >>> results.comparisons("digits", "gaussian").set_index("posterior").loc["planar:K=8", "verdict"]
            'better'
        """
        return self.against(name, against, metric=metric, margin=margin).data

    def against(self, name: str, posterior: str, *, metric: str | None = None, margin: float | None = None) -> Compared:
        """The tables of `comparisons` beside their data.

        Args:
            name: of the experiment, or of a published table or figure of its records.
            posterior: spec of a posterior or of a family.
            metric: name of the metric; None for the one that ranks.
            margin: the difference that matters; 0.05 where it is None.

        Returns:
            Tables for people, and the data behind them.

        Raises:
            InputError: as of `comparisons`.
        """
        _texts("comparisons", name=name, against=posterior, **({} if metric is None else {"metric": metric}))
        instance("comparisons", "margin", margin, (int, float, type(None)), "a number, or None")
        rows = experiment.select(self.frame, name)
        return tables_of_comparisons.against(rows, posterior, metric, **({} if margin is None else {"margin": margin}))

    def ranking(
        self, name: str, *, metric: str | None = None, targets: Over = "fixed", against: str | None = None
    ) -> pd.DataFrame:
        """The posteriors of an experiment, ranked over its targets.

        Args:
            name: of the experiment, or of a published table or figure of its records.
            metric: name of the metric, such as ``kl``; None for the one that ranks.
            targets: ``fixed``: intervals hold for these targets; ``random``: for others like them, of which there must
                be at least five.
            against: spec of the posterior that the others are compared with; None: the first of the ranking.

        Returns:
            One row a posterior, the best first, with the columns of `nfbench.analysis.overall.overall`: mean rank,
            interquartile mean of the excess with its interval, P(improvement) and Holm-adjusted p-values.

        Raises:
            InputError: no record of that name, metric or posterior, another word for the targets, or too few of them.

        Examples:
            >>> import nfbench
            >>> nfbench.results("results/reference").ranking("figure3")["posterior"].iloc[0]
            'planar:K=32'
        """
        return self.ranked(name, metric=metric, targets=targets, against=against).data

    def ranked(
        self, name: str, *, metric: str | None = None, targets: Over = "fixed", against: str | None = None
    ) -> Compared:
        """The tables of `ranking` beside their data.

        Args:
            name: of the experiment, or of a published table or figure of its records.
            metric: name of the metric; None for the one that ranks.
            targets: ``fixed`` or ``random``.
            against: spec of the posterior that the others are compared with; None: the first of the ranking.

        Returns:
            Tables for people, and the data behind them.

        Raises:
            InputError: as of `ranking`.
        """
        optional = {key: text for key, text in (("metric", metric), ("against", against)) if text is not None}
        _texts("ranking", name=name, targets=targets, **optional)
        return tables_of_comparisons.ranking(experiment.select(self.frame, name), metric, targets, against)

    def at(self, name: str, budget: str) -> Compared:
        """The configurations of an experiment at an equal budget, from the curves of their trainings.

        Args:
            name: of the experiment, or of a published table or figure of its records.
            budget: ``updates``, ``gradient-evaluations``, ``seconds`` or ``parameters``; ``seconds=10`` names the
                amount, else it is the least that any configuration of a target spent.

        Returns:
            Its ``data`` is one row a configuration: what it had reached at the budget (``at``) and at its end, with
            intervals and ranks; its ``tables`` say the same for people.

        Raises:
            InputError: no record of that name, another budget, or nothing within it.

        Examples:
            >>> import nfbench
            >>> data = nfbench.results("results/reference").at("digits", "updates=200").data
            >>> bool((data["at"] > data["end"]).all())
            True
        """
        _texts("at", name=name, budget=budget)
        return budgets.at(self, experiment.select(self.frame, name), budget)

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
        _texts("table", name=name, fmt=fmt, sort=sort)
        for key, texts in (("columns", columns), ("where", where)):
            listed = isinstance(texts, Sequence) and not isinstance(texts, str)
            if not listed or not all(isinstance(text, str) for text in texts):
                raise InputError(f"table: {key}={brief(texts)}: expected a list of texts")
        choice = Choice(tuple(columns), sort, tuple(where))
        if name == TIMING:
            return timings.table(self._some_timings(), fmt, choice)
        if name == CLAIMS:
            return claims.compared(self.frame).text(fmt, choice)
        if name == VERDICTS:
            return verdicts.compared(self.verdicts.values()).text(fmt, choice)
        own = "".join(f"{FORMS[fmt](each)}\n" for each in self._own_tables(name, choice)) if fmt in FORMS else ""
        return own + experiment.table(self.frame, name, fmt, choice)

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
        """The tables that only the shootout has, unless rows and columns of the usual ones are asked for."""
        if name != SHOOTOUT or choice != EVERYTHING:
            return []
        return shootout.tables(self, experiment.select(self.frame, name))

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


def _texts(owner: str, **arguments: object) -> None:
    """Refuse arguments that are no texts."""
    for name, value in arguments.items():
        instance(owner, name, value, str, "text")


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
