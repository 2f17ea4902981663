"""Runs as scores that can be ranked over targets: lower is better, and a diverged run is worse than any other."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nfbench.analysis.blocks import DIVERGENCES, RANKING, Block, metrics
from nfbench.analysis.refuted import trusted
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.records.glossary import better, measure

Array = NDArray[np.float64]
_FROM_ZERO = (*DIVERGENCES, "gap")  # metrics whose least value is 0 on every target


@dataclass(frozen=True, eq=False)
class Scores:
    """The runs of several posteriors on several targets.

    Attributes:
        metric: that they are values of.
        sign: 1 where low values of the metric are the better ones, else -1: a score is the metric times this.
        posteriors: M specs.
        targets: T specs.
        values: (M, T, E) scores over all seeds of the block; infinite for a run that diverged, NaN where there is none.
        levels: (T,) the scores from which an excess is counted: 0 for a divergence, else the best mean of the target.
    """

    metric: str
    sign: float
    posteriors: tuple[str, ...]
    targets: tuple[str, ...]
    values: Array
    levels: Array

    @property
    def excess(self) -> Array:
        """(M, T, E) scores above the level of their target, in the metric's unit."""
        return self.values - self.levels[:, None]

    def runs(self, posterior: str) -> list[Array]:
        """The excess of one posterior.

        Args:
            posterior: one of `posteriors`.

        Returns:
            For each target the runs (n,) that there are; n may differ and may be 0.
        """
        excess = self.values[self.posteriors.index(posterior)] - self.levels[:, None]
        return [runs[~np.isnan(runs)] for runs in excess]

    def everywhere(self) -> "Scores":
        """The part whose posteriors have a run on every target.

        Returns:
            Scores of those posteriors; `levels` stay what they are.
        """
        whole = np.any(~np.isnan(self.values), axis=2).all(axis=1)
        names = tuple(name for name, there in zip(self.posteriors, whole, strict=True) if there)
        return replace(self, posteriors=names, values=self.values[whole])

    def together(self) -> Array:
        """The scores of the seeds that every posterior has on a target.

        Returns:
            (M, R) over the R pairs of a target and such a seed.
        """
        posteriors, targets, seeds = self.values.shape
        flat = self.values.reshape(posteriors, targets * seeds)
        return flat[:, ~np.isnan(flat).any(axis=0)]


def metric_of(block: Block, metric: str | None) -> str:
    """The metric by which a block is compared.

    Args:
        block: the records of a table.
        metric: its name; None for the first of `RANKING` that every target has a value of, else that any has.

    Returns:
        Its name.

    Raises:
        InputError: no record has the metric, or neither high nor low values of it are the better ones.
    """
    names = [name for name in metrics(block.rows) if better(name)]
    if metric is None:
        known = [name for name in (*RANKING, *names) if name in names]
        every = (name for name in known if block.rows.groupby("target")[name].count().all())
        metric = next(every, known[0] if known else None)
    if metric is None:
        raise InputError(f"the records of {block.title} have no metric of which low or high values are the better ones")
    if not block.has(metric):
        raise unknown("metric", metric, names, place=f" in the records of {block.title}")
    if better(metric) is None:
        raise InputError(f"metric {metric!r}: {measure(metric).label} is neither better low nor high")
    return metric


def scores(block: Block, metric: str) -> Scores:
    """The runs of a block by a metric, without the posteriors that ``nfbench verify`` refuted.

    A run that diverged is worse than any number, two of them are alike. One that failed or was interrupted says nothing
    of its posterior, and is none.

    Args:
        block: the records of a table.
        metric: its name; low or high values of it are the better ones.

    Returns:
        Posteriors and targets in the order of the records.
    """
    sign = -1.0 if better(metric) == "higher" else 1.0
    rows = trusted(block).rows.sort_values(["order", "seed"])
    posteriors, targets, seeds = (tuple(dict.fromkeys(rows[name])) for name in ("posterior", "target", "seed"))
    values = np.full((len(posteriors), len(targets), len(seeds)), np.nan)
    axes = zip(("posterior", "target", "seed"), (posteriors, targets, seeds), strict=True)
    places = tuple(
        rows[name].map({value: place for place, value in enumerate(axis)}).to_numpy(int) for name, axis in axes
    )
    status, numbers = rows["status"].to_numpy(), sign * rows[metric].astype(float).to_numpy()
    values[places] = np.where(status == "done", numbers, np.where(status == "diverged", np.inf, np.nan))
    return Scores(metric, sign, posteriors, targets, values, _levels(values, metric))


def _levels(values: Array, metric: str) -> Array:
    """The best mean of each target (T,), over runs that did not diverge; 0 for metrics whose least value is 0."""
    if metric in _FROM_ZERO:
        return np.zeros(values.shape[1])
    finite = np.isfinite(values)
    count = finite.sum(axis=2)
    means = np.where(finite, values, 0.0).sum(axis=2) / np.maximum(count, 1)
    best = np.where(count > 0, means, np.inf).min(axis=0, initial=np.inf)
    return np.where(np.isfinite(best), best, 0.0)
