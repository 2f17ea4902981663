"""Which configuration of a target is the best by a metric, and which cannot be told from it."""

from typing import Literal

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, DIVERGENCES, Block, configuration_key, places
from nfbench.analysis.differences import Seeds, SeedValues, difference
from nfbench.analysis.refuted import trusted
from nfbench.analysis.summary import Estimate, estimate
from nfbench.records.glossary import better

Standing = Literal["best", "tied"]
_ERRORS = 3.0  # standard errors below 0 from which a divergence is no accident


def standings(block: Block, metric: str) -> dict[tuple[str, ...], Standing]:
    """The best configuration of each target, and those whose paired difference to it is not shown to be above 0.

    A configuration is *tied* with the best where the 95 % interval of their difference, paired by seed, is not all on
    the worse side. The intervals are not corrected for their number. Two seeds make no interval, and then nothing is
    tied. A configuration whose divergence is impossible, or that ``nfbench verify`` refuted, is neither, nor is one of
    which a seed diverged, as that seed is worse than any number, unless every configuration of the target lost one.

    Args:
        block: the records of a table.
        metric: its name.

    Returns:
        By `configuration_key`; empty for a metric of which
        neither low nor high values are better, and of a target with a single configuration.
    """
    sign = {"lower": 1.0, "higher": -1.0, None: None}[better(metric)]
    found: dict[tuple[str, ...], Standing] = {}
    if sign is None or not block.has(metric):
        return found
    for _, target in trusted(block).by_target():
        rows = _without_diverged(target.rows)
        rows = rows[rows[metric].notna()]
        values, names = SeedValues(rows, metric), rows[[*CONFIGURATION]]
        parts = list(places(rows, CONFIGURATION))
        keys = names.iloc[[part[0] for part in parts]].to_dict("records")
        seeds = {configuration_key(key): values.of(part) for key, part in zip(keys, parts, strict=True)}
        seeds = {key: own for key, own in seeds.items() if not impossible(metric, _mean(own))}
        means = {key: sign * sum(value for value, *_ in own.values()) / len(own) for key, own in seeds.items() if own}
        if len(means) > 1:
            best = min(means, key=lambda key: means[key])
            found |= {key: "tied" for key in means if not _is_worse(difference(seeds[key], seeds[best]), sign)}
            found[best] = "best"
    return found


def _without_diverged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one target whose posterior lost no seed to divergence; all rows, where every posterior did."""
    lost = set(rows.loc[rows["status"] == "diverged", "posterior"])
    whole = rows[~rows["posterior"].isin(lost)]
    return rows if whole.empty else whole


def impossible(metric: str, mean: Estimate) -> bool:
    """Whether a mean is a divergence below 0 by more than three standard errors, which only a wrong ln q gives.

    Args:
        metric: its name.
        mean: over seeds, with its standard error.

    Returns:
        False for anything but a divergence, and where there is no standard error.

    >>> impossible("kl", Estimate(1, -5.0, se=1.0)), impossible("kl", Estimate(1, -0.1, se=1.0))
    (True, False)
    """
    return metric in DIVERGENCES and mean.mean is not None and mean.se is not None and mean.mean < -_ERRORS * mean.se


def _mean(seeds: Seeds) -> Estimate:
    return estimate([value for value, *_ in seeds.values()], [error for _, error, _ in seeds.values()])


def _is_worse(difference: Estimate, sign: float) -> bool:
    """Whether all of the interval of a difference to the best is on the worse side, or there is no interval.

    The best is so by its mean over its own seeds: on those that both have, another one may even be better.
    """
    if difference.low is None or difference.high is None:
        return True
    return min(sign * difference.low, sign * difference.high) > 0
