"""Which configuration of a target is the best by a metric, and which cannot be told from it."""

import math
from typing import Literal

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, Block
from nfbench.analysis.summary import estimate
from nfbench.records.glossary import better

Standing = Literal["best", "tied"]
Seeds = dict[int, tuple[float, float]]  # seed -> value, the lower the better, and its Monte-Carlo standard error


def standings(block: Block, metric: str) -> dict[tuple[str, ...], Standing]:
    """The best configuration of each target, and those whose paired difference to it is not shown to be above 0.

    A configuration is *tied* with the best where the 95 % interval of their difference, paired by seed, contains 0. The
    intervals are not corrected for their number. Two seeds make no interval, and then nothing is tied.

    Args:
        block: the records of a table.
        metric: its name.

    Returns:
        By configuration (the values of `CONFIGURATION` as text, a missing one empty); empty for a metric of which
        neither low nor high values are better, and of a target with a single configuration.
    """
    sign = {"lower": 1.0, "higher": -1.0, None: None}[better(metric)]
    found: dict[tuple[str, ...], Standing] = {}
    if sign is None or not block.has(metric):
        return found
    seeds_of: dict[str, dict[tuple[str, ...], Seeds]] = {}  # target -> configuration -> its seeds
    for row in block.done.to_dict("records"):
        if not pd.isna(row[metric]):
            key = tuple("" if pd.isna(row[name]) else str(row[name]) for name in CONFIGURATION)
            error = row[f"{metric}_se"]
            value = sign * row[metric], math.nan if error is None else error
            seeds_of.setdefault(row["target"], {}).setdefault(key, {})[row["seed"]] = value
    for configurations in seeds_of.values():
        if len(configurations) > 1:
            means = {
                key: sum(value for value, _ in seeds.values()) / len(seeds) for key, seeds in configurations.items()
            }
            best = min(means, key=lambda key: means[key])
            found |= {key: "tied" for key, seeds in configurations.items() if _tied(seeds, configurations[best])}
            found[best] = "best"
    return found


def _tied(seeds: Seeds, best: Seeds) -> bool:
    """Whether the interval of the paired difference contains 0, as `summary.paired` has it."""
    both = [seed for seed in seeds if seed in best]
    errors = [math.hypot(seeds[seed][1], best[seed][1]) for seed in both]
    difference = estimate([seeds[seed][0] - best[seed][0] for seed in both], errors)
    return difference.low is not None and difference.high is not None and difference.low <= 0 <= difference.high
