"""Which posterior is right on which target, in one table of numbers: quality, standing, seconds and lost seeds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nfbench.analysis.best import Standing, impossible, standings
from nfbench.analysis.blocks import DIVERGENCES, RANKING, Block, configuration_key
from nfbench.analysis.refuted import refuted
from nfbench.analysis.summary import over
from nfbench.records.glossary import better

Array = NDArray[np.float64]
AGAINST_DRAWS = ("mean_error", "log_sd_error")  # shown where a block has them: against exact or reference draws
EXCESS, FLOOR_UNITS, OWN_UNITS = "excess", "floors", "own"  # what a quality is counted in


@dataclass(frozen=True, eq=False)
class Overview:
    """M posteriors on T targets.

    Attributes:
        metrics: by target the metric that its qualities come from.
        unit: ``floors``: multiples of the distance between two halves of the target's own draws; ``own``: the value of
            a divergence; ``excess``: the value above the best mean of the target. All are the better the lower.
        posteriors: M specs, in the order of the records.
        targets: T specs.
        quality: (M, T), NaN where no seed has the metric.
        seconds: (M, T) of a seed, means over seeds; NaN where none is done.
        runs: (M, T) number of seeds that there are.
        lost: (M, T) how many of them are not done.
        wrong: (M, T) whether the quality is a divergence below 0, which only a wrong ln q gives, or of a posterior that
            ``nfbench verify`` refuted.
        standing: of posterior and target by their specs: the best of its target, and those whose difference to it,
            paired by seed, has an interval that contains 0 (`nfbench.analysis.best.standings`).
        timed: ``training`` where `seconds` are those of the training alone, ``cell`` where evaluation counts too.
    """

    metrics: dict[str, str]
    unit: str
    posteriors: tuple[str, ...]
    targets: tuple[str, ...]
    quality: Array
    seconds: Array
    runs: NDArray[np.int64]
    lost: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    standing: dict[tuple[str, str], Standing]
    timed: str

    def leaders(self) -> list[tuple[str, int, int]]:
        """The posteriors that are the best or tied with it anywhere.

        Returns:
            Each with the number of targets on which it is the best, and on which it is either; the most of the latter
            first.
        """
        best = {name: 0 for name in self.posteriors}
        either = dict(best)
        for (posterior, _), standing in self.standing.items():
            best[posterior] += standing == "best"
            either[posterior] += 1
        led = [(name, best[name], count) for name, count in either.items() if count]
        return sorted(led, key=lambda each: (-each[2], -each[1]))


def overviews(block: Block) -> Iterator[Overview]:
    """What there is to see of a block at a glance.

    Args:
        block: the records that are shown.

    Yields:
        Where targets have exact or reference draws: errors of means and of ln sd, each in units of its floor. Else one
        of the metric that ranks the seeds of each target. Nothing without a done cell.
    """
    if block.done.empty:
        return
    against_draws = [name for name in AGAINST_DRAWS if block.has(name) and block.has(f"{name}_floor")]
    for name in against_draws:
        yield _overview(block, {target: name for target, part in block.by_target() if part.has(name)}, FLOOR_UNITS)
    if not against_draws:
        ranked = {target: _ranking(part) for target, part in block.by_target()}
        metrics = {target: metric for target, metric in ranked.items() if metric is not None}
        if metrics:
            own = all(name in DIVERGENCES for name in metrics.values())
            yield _overview(block, metrics, OWN_UNITS if own else EXCESS)


def _ranking(part: Block) -> str | None:
    return next((name for name in RANKING if part.has(name) and better(name) == "lower"), None)


def _overview(block: Block, metrics: dict[str, str], unit: str) -> Overview:
    rows = block.rows.sort_values("order", kind="stable")
    posteriors = tuple(dict.fromkeys(rows["posterior"]))
    targets = tuple(target for target in dict.fromkeys(rows["target"]) if target in metrics)
    shape = len(posteriors), len(targets)
    quality, seconds = np.full(shape, np.nan), np.full(shape, np.nan)
    runs, lost = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    wrong = np.zeros(shape, dtype=np.bool_)
    timed = "training_seconds" in rows and bool(block.done["training_seconds"].notna().all())
    standing: dict[tuple[str, str], Standing] = {}
    untrusted = set(refuted(block))
    for target, part in block.by_target():
        if target not in metrics:
            continue
        column, names = targets.index(target), {}
        for posterior, cells in part.rows.groupby("posterior", sort=False):
            place, done = (posteriors.index(str(posterior)), column), cells[cells["status"] == "done"]
            runs[place], lost[place] = len(cells), len(cells) - len(done)
            seconds[place] = done["training_seconds" if timed else "seconds"].astype(float).mean()
            quality[place] = _quality(done, metrics[target], unit)
            untrue = impossible(metrics[target], over(done, metrics[target])) or posterior in untrusted
            wrong[place] = untrue and np.isfinite(quality[place])
            names[configuration_key(cells.iloc[0].to_dict())] = str(posterior)
        if unit == EXCESS:
            quality[:, column] -= np.nanmin(np.where(wrong[:, column], np.nan, quality[:, column]), initial=np.inf)
        standing |= {(names[key], target): value for key, value in standings(part, metrics[target]).items()}
    words = "training" if timed else "cell"
    return Overview(metrics, unit, posteriors, targets, quality, seconds, runs, lost, wrong, standing, words)


def _quality(done: pd.DataFrame, metric: str, unit: str) -> float:
    """The mean over seeds, over that of the floor where this is the unit; NaN without a value."""
    value = float(done[metric].astype(float).mean())
    if unit != FLOOR_UNITS:
        return value
    floor = float(done[f"{metric}_floor"].astype(float).mean())
    return value / floor if floor > 0 else float("nan")
