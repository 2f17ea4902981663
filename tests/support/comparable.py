"""Blocks with chosen numbers, without records: what the tests of comparisons read."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from nfbench.analysis.blocks import Block
from nfbench.specification.spec import parse

Runs = Mapping[str, Sequence[float]]  # of each posterior by seed; an infinite one diverged


def compared_block(runs: Runs | Mapping[str, Runs], metric: str = "kl") -> Block:
    """A block of one target, or of several by name, whose cells have these values."""
    targets = runs if isinstance(next(iter(runs.values())), Mapping) else {"u1": runs}
    rows = [
        _row(target, posterior, seed, float(value), metric, (i, j))
        for i, (target, by_posterior) in enumerate(targets.items())
        for j, (posterior, values) in enumerate(by_posterior.items())
        for seed, value in enumerate(values)
        if not math.isnan(value)
    ]
    return Block.of(pd.DataFrame(rows))


def _row(target, posterior, seed, value, metric, order):
    spec = parse(posterior)
    done = math.isfinite(value)
    return {
        **{"source": "own", "experiment": "figure3", "profile": "quick", "recipe": "abc", "data": None},
        **{"target": target, "target_label": target.upper(), "posterior": posterior, "family": str(spec.without("K"))},
        **{"label": spec.name.title(), "K": int(dict(spec.options).get("K", 0)), "num_params": 4, "log_z": 0.0},
        **{"order": order, "seed": seed, "status": "done" if done else "diverged", "id": f"{target}{posterior}{seed}"},
        **{metric: value if done else math.nan, f"{metric}_se": 0.0 if done else math.nan, "seconds": 1.0},
        **{"training": "Adam", "updates": 100, "importance_draws": 10, "long_draws": None, "long_points": None},
        "message": None,
    }
