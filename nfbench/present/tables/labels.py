"""What the tables of experiments share: a row's name, its seeds, and how its numbers came about."""

from typing import Any

import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, OUTCOMES, Block
from nfbench.analysis.summary import Estimate
from nfbench.present.tables.render import NOTHING, interval
from nfbench.published.schema import Published
from nfbench.records.training_words import words
from nfbench.specification.spec import parse


def key(row: dict[Any, Any]) -> tuple[str, ...]:
    """A row's configuration as text.

    Args:
        row: of a summary.

    Returns:
        The values of `CONFIGURATION`; a missing one is empty.
    """
    return tuple("" if pd.isna(row[name]) else str(row[name]) for name in CONFIGURATION)


def depth(row: dict[Any, Any]) -> str:
    """K as text.

    Args:
        row: with the columns `posterior` (a spec) and `K`.

    Returns:
        K, or a dash for a family that has no depth.
    """
    return str(row["K"]) if "K" in dict(parse(row["posterior"]).options) else NOTHING


def spread(estimate: Estimate) -> str:
    """An estimate as text.

    Args:
        estimate: a mean over seeds.

    Returns:
        The mean ± half its interval, as `interval` prints them.
    """
    return interval(estimate.mean, estimate.low, estimate.high)


def seeds(row: dict[Any, Any]) -> str:
    """How many seeds a mean is over, and what became of the others.

    Args:
        row: of a summary, with the counts of `OUTCOMES` and `seeds`, their sum.

    Returns:
        The number done; where that is not all, also of how many, and how the others ended.

    >>> seeds({"seeds": 5, "done": 4, "diverged": 1, "failed": 0, "interrupted": 0})
    '4 of 5 (1 diverged)'
    """
    if row["done"] == row["seeds"]:
        return str(row["done"])
    others = ", ".join(f"{row[name]} {name}" for name in OUTCOMES[1:] if row[name])
    return f"{row['done']} of {row['seeds']} ({others})"


def protocol(block: Block, source: Published | None = None) -> str:
    """How a block's numbers came about, in sentences.

    Args:
        block: the records of a table.
        source: published values beside them; where its setup is known, how it differs is said too.

    Returns:
        Profile, recipe, seeds, data, training, draws of -ln p(x), and what ± means.
    """
    sentences = [budget(block, source)]
    sentences += [] if block.data is None else [f"Data: {block.data}."]
    sentences += [] if block.training is None else [f"Trained by {block.training}."]
    sentences += [_other_setup(block, source)] if source else []
    sentences += [_draws(block)] if block.has("nll") else []
    repeated = block.rows.groupby(["target", "posterior"]).size().max() > 1
    mean = "Mean over the seeds that are done ± half the 95 % t-interval over seeds." if repeated else "No interval."
    return " ".join(sentence for sentence in [*sentences, mean] if sentence)


def budget(block: Block, source: Published | None = None) -> str:
    """Profile, recipe and seeds of a block, as shares of the published budget where that is known.

    Args:
        block: the records of a table.
        source: published values beside them.

    Returns:
        A sentence.
    """
    records = f"Profile {block.profile}, recipe {block.recipe}, {block.source} records"
    if source is None or source.setup is None:
        return f"{records}, {block.seeds(block.rows)} a configuration."
    share = (
        "" if block.updates is None else f"{block.updates:,} updates of the paper's {source.setup.training.updates:,}, "
    )
    return f"{records}: {share}{block.seeds(block.rows)} of the paper's {source.setup.seeds}."


def _other_setup(block: Block, source: Published) -> str:
    """How the paper trained and estimated, where that was otherwise."""
    if source.setup is None:
        return ""
    training, draws = words(source.setup.training, data=True), source.setup.importance_draws
    differences = [training] if training != block.training else []
    differences += [f"S = {draws} for -ln p(x)"] if draws != block.importance_draws else []
    return f"The paper: {'; '.join(differences)}." if differences else "The paper's recipe."


def _draws(block: Block) -> str:
    """S of the estimates of -ln p(x)."""
    text = f"-ln p(x) with S = {block.importance_draws:,} draws a test point"
    if block.long_draws is None:
        return f"{text}."
    points = "all" if block.long_points is None else f"{block.long_points:,}"
    return f"{text}, the long one with S = {block.long_draws:,} over {points} of them."


def read(source: Published) -> str:
    """How the published values were obtained.

    Args:
        source: the published table or figure.

    Returns:
        ``digitised`` or ``as printed``, with the error of reading.
    """
    how = "digitised" if source.mark == "D" else "as printed"
    return f"{how}, ± {source.reading:g}"


def reasons(block: Block, source: Published) -> list[str]:
    """Why targets of a block are not comparable with the published ones: a sentence a reason, with its targets.

    Args:
        block: our records.
        source: the published table or figure.

    Returns:
        The sentences; empty where all are comparable.
    """
    targets_of: dict[str, list[str]] = {}
    for target in block.rows["target"].unique():
        if reason := source.objection(target, block.data):
            targets_of.setdefault(reason, []).append(target)
    return [f"Not comparable ({', '.join(targets)}): {reason}" for reason, targets in targets_of.items()]
