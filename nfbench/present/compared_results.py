"""Comparisons of stored results: with tests, over targets, at equal budgets, and of restarts with each other."""

import pandas as pd

from nfbench.foundation.checks import instance
from nfbench.present.tables import budgets, experiment, restarts
from nfbench.present.tables import comparisons as tables_of_comparisons
from nfbench.present.tables.compared import Compared
from nfbench.records.results import StoredResults
from nfbench.specification.choices import Over


class ComparedResults(StoredResults):
    """Stored results with what compares their posteriors; `nfbench.results` gives them with all else."""

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
        texts("comparisons", name=name, against=posterior, **({} if metric is None else {"metric": metric}))
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
        texts("ranking", name=name, targets=targets, **optional)
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
        texts("at", name=name, budget=budget)
        return budgets.at(self, experiment.select(self.frame, name), budget)

    def restarts(self, name: str) -> Compared:
        """How far the seeds of each configuration of an experiment are from each other, in moments of q and in F.

        Args:
            name: of the experiment, or of a published table or figure of its records.

        Returns:
            Its ``data`` is one row a configuration of at least two seeds whose moments are stored, with the columns of
            `nfbench.analysis.restarts.restarts`; its ``tables`` say the same for people.

        Raises:
            InputError: no record of that name, or none with the moments of its posterior.
        """
        texts("restarts", name=name)
        return restarts.restarts_table(self, experiment.select(self.frame, name))


def texts(owner: str, **arguments: object) -> None:
    """Refuse arguments that are no texts.

    Args:
        owner: what was called.
        arguments: by their names.

    Raises:
        InputError: the first that is none.
    """
    for name, value in arguments.items():
        instance(owner, name, value, str, "text")
