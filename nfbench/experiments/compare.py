"""Several posteriors on one target, in memory: fitted, evaluated and put into one table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import pandas as pd

from nfbench.analysis.summary import Estimate, estimate
from nfbench.experiments.evaluate_fitted import evaluate_fitted
from nfbench.foundation.checks import brief, instance, settings, whole_number
from nfbench.foundation.errors import InputError
from nfbench.specification.config import Evaluation
from nfbench.training.fit import AnyTarget, fit_seeds
from nfbench.training.fitted import Fitted


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome of `compare`.

    Attributes:
        frame: one row for each posterior, the lowest free energy first. Columns: `seeds`, the number that did not
            diverge; for each metric its mean over seeds and the ends `_low` and `_high` of its 95 % interval, in nats,
            with two seeds both values in their place;
            `params`, the number of learned parameters; and `seconds`, the training time of one seed.
        fitted: spec -> the fitted posteriors, one for each seed.
    """

    frame: pd.DataFrame
    fitted: dict[str, list[Fitted]] = field(repr=False)

    @property
    def best(self) -> str:
        """The spec with the lowest mean free energy; the intervals say how sure that is."""
        return str(self.frame.index[0])

    def __repr__(self) -> str:
        return self.frame.to_string(float_format="{:.4g}".format)

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(float_format="{:.4g}".format))


def compare(
    posteriors: Sequence[str],
    target: AnyTarget,
    *,
    seeds: int = 5,
    updates: int = 2000,
    evaluation: Mapping[str, Any] | None = None,
    **options: Any,
) -> Comparison:
    """Fit each posterior from several seeds and compare their metrics; see `nfbench.compare` for an example.

    Args:
        posteriors: specs, such as ``["gaussian", "planar:K=8"]``; each is fitted once.
        target: a spec, a `Target`, or a function, as of `nfbench.fit`.
        seeds: number of seeds for each posterior, at least 2.
        updates: number of updates of each training.
        evaluation: settings of `evaluate_fitted`, such as ``{"diagnosis_draws": 10_000}``.
        options: further arguments of `fit_seeds`: ``dim``, ``device`` and fields of `Training`.

    Returns:
        The table and the fitted posteriors. From three seeds on, ``_low`` and ``_high`` are the ends of a 95 %
        interval over seeds; of two seeds they are the two values themselves.

    Raises:
        InputError: no list of specs, fewer than two seeds, or an argument or setting that is refused.
    """
    if isinstance(posteriors, str) or not isinstance(posteriors, Sequence) or not posteriors:
        raise InputError(f"posteriors {brief(posteriors)}: expected a list of specs, e.g. ['gaussian', 'planar:K=8']")
    whole_number("compare", "seeds", seeds, least=2)  # a spread needs two
    instance("compare", "evaluation", evaluation, (Mapping, NoneType), "settings such as {'draws': 1000}, or None")
    settings("compare", Evaluation, {}, dict(evaluation or {}))  # wrong ones are told before anything is trained
    fitted = {}
    for spec in dict.fromkeys(posteriors):
        fitted[spec] = fit_seeds(spec, target, range(seeds), updates=updates, **options)
    rows = {spec: _row(cells, evaluation or {}) for spec, cells in fitted.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("posterior")
    return Comparison(frame.sort_values("free_energy", na_position="last"), fitted)


def _row(cells: list[Fitted], evaluation: Mapping[str, Any]) -> dict[str, float]:
    """One row of the table: the metrics of a posterior over its seeds that did not diverge, in training or after it."""
    trained = [evaluate_fitted(cell, **evaluation) for cell in cells if cell.diverged is None]
    done = [frame for frame in trained if "free_energy" in frame.index]
    row: dict[str, float] = {"seeds": len(done)}
    for name in dict.fromkeys(["free_energy", *(name for frame in done for name in frame.index)]):
        frames = [frame for frame in done if name in frame.index]
        values, errors = ([float(frame[column].loc[name]) for frame in frames] for column in ("value", "se"))
        row |= _columns(name, estimate(values, errors))
    return row | {"params": cells[0].num_params, "seconds": sum(cell.seconds for cell in cells) / len(cells)}


def _columns(name: str, over_seeds: Estimate) -> dict[str, float]:
    """A mean over seeds with the ends of its interval; of two seeds, which make none, both values are the ends."""
    low, high = over_seeds.low, over_seeds.high
    if over_seeds.n == 2:
        low, high = over_seeds.least, over_seeds.largest
    ends = {name: over_seeds.mean, f"{name}_low": low, f"{name}_high": high}
    return {column: math.nan if value is None else value for column, value in ends.items()}
