"""Configurations of a target, the best first, each with where its number is from: cited, reported or run again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from nfbench.analysis.best import Standing, standings
from nfbench.analysis.blocks import CONFIGURATION, RANKING, Block, blocks, configuration_key, groups
from nfbench.analysis.refuted import REASON, refuted
from nfbench.analysis.summary import Estimate, over
from nfbench.published.catalogue import sources
from nfbench.published.schema import Published
from nfbench.records.glossary import better
from nfbench.records.rechecks import HOLDS, Verdict

Origin = Literal["cited", "reported", "re-run"]
ORIGINS: dict[Origin, str] = {
    "cited": "a paper's number; nothing here was run for it, and its training may be another one",
    "reported": "from records that somebody sent, and that nobody here has run again",
    "re-run": "from records of which at least one was run again here and held (nfbench recheck)",
}
Verdicts = Mapping[tuple[str, str], Verdict]  # of records that were run again, by source and id


@dataclass(frozen=True)
class Entry:
    """A line of a leaderboard.

    Attributes:
        label: of the posterior, or of what a paper calls it.
        posterior: spec; empty for what is cited.
        value: the mean over seeds, with its interval.
        origin: where it is from.
        rank: 1 for the best; None for what is cited, which may have another budget, for what has no value, and for what
            ``nfbench verify`` refuted.
        standing: ``best``, ``tied`` with the best, or None.
        seeds: how many runs there are.
        diverged: how many of them diverged, which puts the configuration behind those without.
        held: runs that were run again and held.
        fell: runs that were run again and did not hold.
        records: seed, id and verdict of each run.
        printed: the value as a paper has it; empty for ours.
        remark: a citation, or why a number is not comparable.
    """

    label: str
    posterior: str
    value: Estimate
    origin: Origin
    rank: int | None = None
    standing: Standing | None = None
    seeds: int = 0
    diverged: int = 0
    held: int = 0
    fell: int = 0
    records: tuple[tuple[int, str, str], ...] = ()
    printed: str = ""
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Board:
    """The configurations of a target in one block of records.

    Attributes:
        block: the records, of this target only.
        target: its spec.
        target_label: its name in tables.
        metric: by which they are ranked.
        entries: the best first; cited ones where their value puts them.
    """

    block: Block
    target: str
    target_label: str
    metric: str
    entries: list[Entry]


def boards(frame: pd.DataFrame, verdicts: Verdicts) -> Iterator[Board]:
    """The leaderboards of all records that can be ranked.

    Args:
        frame: a table of records.
        verdicts: of those that were run again with the numbers that they have now.

    Yields:
        One board for each block and target, in the order of the tables.
    """
    for block in blocks(frame):
        for target, part in block.by_target():
            metric = next((name for name in RANKING if part.has(name)), None)
            if metric is not None and better(metric):
                label = str(part.rows["target_label"].iloc[0])
                ranked = _ranked(part, metric, verdicts)
                yield Board(part, target, label, metric, _with_cited(ranked, part, target, metric))


def _ranked(block: Block, metric: str, verdicts: Verdicts) -> list[Entry]:
    """The configurations of a block: those without divergence first, and last, without rank, those that are refuted."""
    standing, sign = standings(block, metric), _sign(metric)
    entries = [_entry(names, cells, metric, standing, verdicts) for names, cells in groups(block.rows, CONFIGURATION)]
    order = sorted(entries, key=lambda entry: (entry.value.mean is None, entry.diverged > 0, sign * _mean(entry)))
    wrong = set(refuted(block))
    ranked = [entry for entry in order if entry.posterior not in wrong]
    last = [replace(entry, remark=REASON) for entry in order if entry.posterior in wrong]
    return [replace(entry, rank=None if entry.value.mean is None else at) for at, entry in enumerate(ranked, 1)] + last


def _entry(
    names: dict[str, Any],
    cells: pd.DataFrame,
    metric: str,
    standing: Mapping[tuple[str, ...], Standing],
    verdicts: Verdicts,
) -> Entry:
    runs = list(zip(cells["source"], cells["id"], cells["seed"], strict=True))
    known = [verdicts.get((source, id)) for source, id, _ in runs]
    held, fell = sum(verdict in HOLDS for verdict in known), known.count("differs")
    depth = int(cells["K"].iloc[0])
    label = str(cells["label"].iloc[0])
    return Entry(
        label=f"{label}, K = {depth}" if depth else label,
        posterior=str(names["posterior"]),
        value=over(cells[cells["status"] == "done"], metric),
        origin="re-run" if held and not fell else "reported",
        standing=standing.get(configuration_key(names)),
        seeds=len(cells),
        diverged=int((cells["status"] == "diverged").sum()),
        held=held,
        fell=fell,
        records=tuple((int(seed), id, verdict or "") for (_, id, seed), verdict in zip(runs, known, strict=True)),
        remark=f"{fell} of {held + fell} that were run again did not hold" if fell else "",
    )


def _with_cited(ranked: list[Entry], block: Block, target: str, metric: str) -> list[Entry]:
    """The entries with a paper's values among them."""
    papers = sources(block.experiment)  # a table that has the experiment's name goes before a figure of the same runs
    cited: dict[str, Entry] = {}
    for entry in (entry for source in papers for entry in _cited(source, block, target, metric)):
        cited.setdefault(entry.label, entry)
    sign = _sign(metric)
    entries = list(ranked)
    for entry in sorted(cited.values(), key=lambda entry: sign * _mean(entry)):
        behind = (
            place
            for place, other in enumerate(entries)
            if other.value.mean is None or other.diverged or sign * _mean(other) > sign * _mean(entry)
        )
        entries.insert(next(behind, len(entries)), entry)
    return entries


def _cited(source: Published, block: Block, target: str, metric: str) -> Iterator[Entry]:
    """What a paper says of this target, where it gives values and not only differences."""
    if source.baseline is not None or metric not in source.metrics:
        return
    reason = source.objection(target, block.data)
    for row in source.rows:
        value = source.value(target, row.posterior, row.K, row.metric)
        if row.metric == metric and value is not None and not row.hidden:
            label = f"{row.posterior}, K = {row.K}" if row.K else row.posterior
            remark = source.source + (f"; not comparable: {reason}" if reason else "")
            printed = f"{source.prefix} {value.value:.{source.decimals}f}".strip()
            yield Entry(label, "", Estimate(1, value.value, se=value.se), "cited", printed=printed, remark=remark)
    for other in source.cited if metric == source.metric else ():
        remark = f"{other.source}, as {source.source} cites it"
        printed = f"{other.value:g}"
        yield Entry(other.label, "", Estimate(1, other.value), "cited", printed=printed, remark=remark)


def _mean(entry: Entry) -> float:
    return entry.value.mean if entry.value.mean is not None else float("inf")


def _sign(metric: str) -> float:
    return -1.0 if better(metric) == "higher" else 1.0
