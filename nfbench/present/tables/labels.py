"""What the tables of experiments share: a row's name, its seeds, and how its numbers came about."""

from typing import Any

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, OUTCOMES
from nfbench.analysis.summary import Estimate
from nfbench.present.tables.render import NOTHING, interval
from nfbench.published.schema import Published
from nfbench.records.training_words import words
from nfbench.specification.spec import parse


def key(row: dict[Any, Any]) -> tuple[str, ...]:
    """A row's configuration as text."""
    return tuple("" if pd.isna(row[name]) else str(row[name]) for name in CONFIGURATION)


def depth(row: dict[Any, Any]) -> str:
    """K as text; a dash for a family that has no depth."""
    return str(row["K"]) if "K" in dict(parse(row["posterior"]).options) else NOTHING


def spread(found: Estimate) -> str:
    """An estimate as text."""
    return interval(found.mean, found.low, found.high)


def seeds(row: dict[Any, Any]) -> str:
    """How many seeds a mean is over, and what became of the others.

    >>> seeds({"seeds": 5, "done": 4, "diverged": 1, "failed": 0, "interrupted": 0})
    '4 of 5 (1 diverged)'
    """
    if row["done"] == row["seeds"]:
        return str(row["done"])
    others = ", ".join(f"{row[name]} {name}" for name in OUTCOMES[1:] if row[name])
    return f"{row['done']} of {row['seeds']} ({others})"


def protocol(block: pd.DataFrame, source: Published | None = None) -> str:
    """Profile, recipe, seeds, data and training of a block; beside a source with a setup, the paper's too."""
    first = block.iloc[0]
    sentences = [budget(block, source)]
    sentences += [] if pd.isna(first["data"]) else [f"Data: {first['data']}."]
    sentences += [] if pd.isna(first["training"]) else [f"Trained by {first['training']}."]
    sentences += [_theirs(first, source)] if source else []
    sentences += [_draws(first)] if "nll" in block and block["nll"].notna().any() else []
    repeated = block.groupby(["target", "posterior"]).size().max() > 1
    mean = "Mean over the seeds that are done ± half the 95 % t-interval over seeds." if repeated else "No interval."
    return " ".join(one for one in [*sentences, mean] if one)


def budget(block: pd.DataFrame, source: Published | None = None) -> str:
    """Profile, recipe and seeds of a block, as shares of the published budget where that is known."""
    first, several = block.iloc[0], _seeds(block)
    where = f"Profile {first['profile']}, recipe {first['recipe']}, {first['source']} records"
    if source is None or source.setup is None:
        return f"{where}, {several} a configuration."
    return f"{where}: {_share(first, source)}{several} of the paper's {source.setup.seeds}."


def _seeds(block: pd.DataFrame) -> str:
    counts = sorted(set(block.groupby(["target", "posterior"]).size()))
    text = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return f"{text} {'seed' if counts[-1] == 1 else 'seeds'}"


def _share(first: pd.Series, source: Published) -> str:
    """Our updates of the paper's."""
    if source.setup is None or pd.isna(first["updates"]):
        return ""
    return f"{int(first['updates']):,} updates of the paper's {source.setup.training.updates:,}, "


def _theirs(first: pd.Series, source: Published) -> str:
    """How the paper trained and estimated, where that was otherwise."""
    if source.setup is None:
        return ""
    theirs = words(source.setup.training, data=True)
    draws = source.setup.importance_draws
    other = [theirs] if theirs != first["training"] else []
    other += [f"S = {draws} for -ln p(x)"] if draws != first["importance_draws"] else []
    return f"The paper: {'; '.join(other)}." if other else "The paper's recipe."


def _draws(first: pd.Series) -> str:
    """S of the estimates of -ln p(x)."""
    text = f"-ln p(x) with S = {int(first['importance_draws']):,} draws a test point"
    if pd.isna(first["long_draws"]):
        return f"{text}."
    points = "all" if pd.isna(first["long_points"]) else f"{int(first['long_points']):,}"
    return f"{text}, the long one with S = {int(first['long_draws']):,} over {points} of them."


def read(source: Published) -> str:
    """How the published values were obtained."""
    how = "digitised" if source.mark == "D" else "as printed"
    return f"{how}, ± {source.reading:g}"


def reasons(block: pd.DataFrame, source: Published) -> list[str]:
    """Why which targets of a block are not comparable with the published ones."""
    data = block["data"].iloc[0]
    found: dict[str, list[str]] = {}
    for target in block["target"].unique():
        if reason := source.objection(target, None if pd.isna(data) else str(data)):
            found.setdefault(reason, []).append(target)
    return [f"Not comparable ({', '.join(names)}): {reason}" for reason, names in found.items()]
