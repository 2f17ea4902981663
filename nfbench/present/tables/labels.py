"""What the tables of experiments share: a row's name, its seeds, and how its numbers came about."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nfbench.analysis.best import standings
from nfbench.analysis.blocks import OUTCOMES, Block
from nfbench.analysis.summary import PARTS, Estimate
from nfbench.present.tables.render import NOTHING, interval, number
from nfbench.published.schema import Published
from nfbench.records.glossary import measure
from nfbench.records.training_words import words
from nfbench.specification.spec import parse


def depth(row: dict[Any, Any]) -> str:
    """K as text.

    Args:
        row: with the columns `posterior` (a spec) and `K`.

    Returns:
        K, or a dash for a family that has no depth.
    """
    return str(row["K"]) if "K" in dict(parse(row["posterior"]).options) else NOTHING


def spread(estimate: Estimate, *, sign: str = "") -> str:
    """An estimate as text.

    Args:
        estimate: a mean over seeds.
        sign: ``+`` to print it always.

    Returns:
        The mean ± half its interval, as `interval` prints them; of two seeds both values.

    >>> spread(Estimate(2, 1.5, least=1.25, largest=1.75)), spread(Estimate(3, 1.5, low=1.25, high=1.75), sign="+")
    ('1.250, 1.750', '+1.500 ± 0.250')
    """
    if estimate.n == 2:
        return f"{number(estimate.least, form=sign)}, {number(estimate.largest, form=sign)}"
    return interval(estimate.mean, estimate.low, estimate.high, sign=sign)


def statistic(row: dict[Any, Any], name: str, *, sign: str = "") -> str:
    """A mean over seeds as text, from the columns of a summary or of a comparison.

    Args:
        row: with the mean in the column `name` and the other parts of an `Estimate` in columns that begin with
            ``<name>_``; those of `mean` itself have their own names.
        name: of a metric, ``difference`` or ``mean``.
        sign: ``+`` to print it always.

    Returns:
        The text that `spread` gives; a dash where there is no mean.
    """
    if pd.isna(row[name]):
        return NOTHING
    prefix = "" if name == "mean" else f"{name}_"
    if measure(name).unit == "updates":
        low, high = (f"{row.get(f'{prefix}{part}'):,.0f}" for part in ("least", "largest"))
        return low if low == high else f"{low} to {high}"
    parts: dict[str, Any] = {part: row.get(f"{prefix}{part}") for part in PARTS}
    return spread(Estimate(mean=row[name], **parts), sign=sign)


def marks(
    block: Block, metrics: Sequence[str], keys: Sequence[tuple[str, ...]], first: int
) -> dict[tuple[int, int], str]:
    """Which cells of a table are the best of their target, or tied with it.

    Args:
        block: the records of the table.
        metrics: names of those that have a column.
        keys: of the rows.
        first: the column of the first metric.

    Returns:
        By row and column ``best`` or ``tied``.
    """
    found: dict[tuple[int, int], str] = {}
    for column, metric in enumerate(metrics, first):
        standing = standings(block, metric)
        found |= {(row, column): standing[key] for row, key in enumerate(keys) if key in standing}
    return found


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
    sentences += [_without_density(block)] if block.auxiliary else []
    return " ".join(sentence for sentence in [*sentences, intervals(block)] if sentence)


def intervals(block: Block) -> str:
    """What stands beside a mean over seeds, in sentences.

    Args:
        block: the records of a table.

    Returns:
        What ± means where there are intervals, and that two seeds show both values.
    """
    counts = set(block.done.groupby(["target", "posterior"]).size())
    sentences = []
    if max(counts, default=0) > 2:
        sentences += ["Mean over the seeds that are done ± half the 95 % interval over seeds."]
    if 2 in counts:
        sentences += ["Of two seeds both values."]
    return " ".join(sentences) or "No interval."


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


def _without_density(block: Block) -> str:
    """What the numbers of families with auxiliary variables are."""
    labels = block.rows[block.rows["family"].isin(block.auxiliary)].sort_values("order")["label"].unique()
    return (
        f"Of {', '.join(labels)} ln q is that of auxiliary variables too: F, KL and gap hold what their reverse models "
        "lose, and what needs a density at points is left out."
    )


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
