"""How often the intervals of rankings hold: simulated runs of posteriors on targets, of which the truth is known.

    python benchmarks/interval_coverage.py --simulations 2000

prints a table in Markdown: the share of simulations in which the 95 % interval contains the truth.
"""

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nfbench.analysis.improvement import improvement
from nfbench.analysis.interquartile import Interval, Over, interquartile
from nfbench.analysis.summary import estimate

Array = NDArray[np.float64]
_LEVEL = 0.3  # sd of ln(level) of random targets
_SPREAD = 0.2  # sd of ln(run / level) over seeds
_GAP = 0.15  # of ln(level) between the two posteriors
_MANY = 200_000


class Case(NamedTuple):
    """A row of the table: whether targets are fixed or random, how many, and seeds of each."""

    over: Over
    targets: int
    seeds: int


CASES = [Case("fixed", targets, seeds) for targets in (1, 4, 8) for seeds in (3, 5, 10)]
CASES += [Case("random", targets, seeds) for targets in (5, 8, 20) for seeds in (3, 5, 10)]


def covered(over: Over, targets: int, seeds: int, simulations: int, seed: int = 0) -> dict[str, float]:
    """The share of simulations whose intervals contain the truth.

    Runs are log-normal around the level of their target. Fixed targets have levels from 0.01 to 0.5; random ones draw
    them anew in each simulation, and how much better one posterior is there.

    Args:
        over: whether the targets are ``fixed`` or ``random``.
        targets: T.
        seeds: of each target.
        simulations: how many.
        seed: of the random numbers.

    Returns:
        By statistic the share of intervals that hold.
    """
    random = np.random.default_rng([seed, targets, seeds])
    levels = np.log(np.geomspace(0.01, 0.5, targets)) if over == "fixed" else None
    gaps = np.full(targets, _GAP) if over == "fixed" else None
    truth_iqm, truth_improvement = _truth(random, levels, gaps, targets, seeds)
    hits = {"IQM": 0, "P(improvement)": 0}
    for _ in range(simulations):
        mine, base = _drawn(random, levels, gaps, targets, seeds)
        hits["IQM"] += _holds(interquartile(list(mine), over), truth_iqm)
        hits["P(improvement)"] += _holds(improvement(list(mine), list(base), over), truth_improvement)
    return {name: count / simulations for name, count in hits.items()}


def _drawn(
    random: np.random.Generator, levels: Array | None, gaps: Array | None, targets: int, seeds: int
) -> tuple[Array, Array]:
    """Runs (T, E) of a posterior and of the one that it is compared with."""
    if levels is None or gaps is None:
        levels, gaps = _LEVEL * random.normal(size=targets), _GAP * (1 + random.normal(size=targets))
    noise = _SPREAD * random.normal(size=(2, targets, seeds))
    return np.exp(levels[:, None] + noise[0]), np.exp((levels + gaps)[:, None] + noise[1])


def _truth(
    random: np.random.Generator, levels: Array | None, gaps: Array | None, targets: int, seeds: int
) -> tuple[float, float]:
    """What the two statistics estimate: the interquartile mean in expectation, and P(improvement)."""
    if levels is None or gaps is None:
        mine, _ = _drawn(random, None, None, _MANY, 1)
        every = np.sort(mine.ravel())
        differences = _GAP * (1 + random.normal(size=_MANY))
        return float(every[_MANY // 4 : -_MANY // 4].mean()), float(
            stats.norm.cdf(differences / (_SPREAD * math.sqrt(2))).mean()
        )
    runs = np.exp(levels[:, None] + _SPREAD * random.normal(size=(_MANY // 10, targets, seeds)))
    ordered = np.sort(runs.reshape(len(runs), -1), axis=1)
    cut = ordered.shape[1] // 4
    middle = ordered[:, cut : ordered.shape[1] - cut]
    return float(middle.mean()), float(stats.norm.cdf(gaps / (_SPREAD * math.sqrt(2))).mean())


def _holds(interval: Interval, truth: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


def paired(seeds: int, simulations: int) -> float:
    """The share of intervals of a paired difference that hold, for normal differences.

    Args:
        seeds: how many.
        simulations: how many.

    Returns:
        The share.
    """
    random = np.random.default_rng(seeds)
    found = (estimate(random.normal(size=seeds)) for _ in range(simulations))
    return sum(each.low <= 0 <= each.high for each in found if each.low is not None and each.high is not None) / (
        simulations
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    simulations = parser.parse_args().simulations
    print("| targets | T | seeds | paired difference | IQM | P(improvement) |\n|---|---|---|---|---|---|")
    share: Callable[[float], str] = lambda value: f"{100 * value:.1f} %"  # noqa: E731
    for case in CASES:
        shares = covered(*case, simulations)
        difference = share(paired(case.seeds, simulations)) if case[:2] == ("fixed", 1) else ""
        cells = [case.over, case.targets, case.seeds, difference, *map(share, shares.values())]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
