"""Several posteriors on one target, in memory: fitted, evaluated and put into one table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from scipy import stats

from nfbench.analysis.summary import LEVEL, estimate
from nfbench.experiments.evaluate_fitted import evaluate_fitted
from nfbench.foundation.checks import whole_number
from nfbench.foundation.errors import InputError
from nfbench.training.fit import AnyTarget, fit_seeds
from nfbench.training.fitted import Fitted


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome of `compare`.

    Attributes:
        frame: one row a posterior, the lowest free energy first. Columns: `seeds` that did not diverge, then for each
            metric its mean over seeds and the ends `_low` and `_high` of its 95 % interval, in nats; `params`, the
            learned numbers, and `seconds` of the training of one seed.
        fitted: the fitted posteriors by their spec, one a seed.
    """

    frame: pd.DataFrame
    fitted: dict[str, list[Fitted]] = field(repr=False)

    @property
    def best(self) -> str:
        """The spec whose mean free energy is lowest; whether it is so surely, its interval says."""
        return str(self.frame.index[0])

    def __repr__(self) -> str:
        return self.frame.to_string(float_format="{:.4g}".format)

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(float_format="{:.4g}".format))


def compare(
    posteriors: Sequence[str], target: AnyTarget, *, seeds: int = 5, updates: int = 2000, **options: Any
) -> Comparison:
    """Fit each posterior from several seeds and compare their metrics; see `nfbench.compare`."""
    if isinstance(posteriors, str) or not isinstance(posteriors, Sequence) or not posteriors:
        raise InputError(f"posteriors {posteriors!r}: expected a list of specs, e.g. ['gaussian', 'planar:K=8']")
    whole_number("compare", "seeds", seeds, least=2)  # an interval needs two
    fitted = {}
    for spec in dict.fromkeys(posteriors):
        fitted[spec] = fit_seeds(spec, target, range(seeds), updates=updates, **options)
    rows = {spec: _row(cells) for spec, cells in fitted.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("posterior")
    return Comparison(frame.sort_values("free_energy", na_position="last"), fitted)


def _row(cells: list[Fitted]) -> dict[str, float]:
    """The metrics of one posterior over its seeds."""
    done = [evaluate_fitted(cell) for cell in cells if cell.diverged is None]
    row: dict[str, float] = {"seeds": len(done)}
    for name in done[0].index if done else ["free_energy"]:
        frames = [frame for frame in done if name in frame.index]
        values, errors = ([float(frame[column].loc[name]) for frame in frames] for column in ("value", "se"))
        over_seeds = estimate(values)
        row |= _interval(name, over_seeds.mean, over_seeds.se, over_seeds.n, errors)
    return row | {"params": cells[0].num_params, "seconds": sum(cell.seconds for cell in cells) / len(cells)}


def _interval(name: str, mean: float | None, se: float | None, n: int, errors: list[float]) -> dict[str, float]:
    """A mean and its 95 % interval, which is never narrower than the Monte-Carlo error behind it."""
    if mean is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
    monte_carlo = math.sqrt(sum(error**2 for error in errors if error == error)) / max(1, n)
    level = (1 + LEVEL) / 2
    half = math.nan if se is None else max(stats.t.ppf(level, n - 1) * se, stats.norm.ppf(level) * monte_carlo)
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
