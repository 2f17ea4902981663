"""A paper's claims beside stored results: what speaks for each, what against it, and the verdict that follows."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd
import scipy

from nfbench.analysis.blocks import Block, blocks
from nfbench.analysis.differences import against, depth_steps, paired
from nfbench.analysis.equivalence import HIGHER, LOWER, REPRODUCED, equivalence
from nfbench.analysis.published import compare
from nfbench.analysis.refuted import trusted
from nfbench.analysis.summary import LEVEL, Estimate
from nfbench.analysis.variations import grid
from nfbench.published.catalogue import published
from nfbench.published.claims import Alike, Below, Claim, Falls, Smaller, Test, Values
from nfbench.published.schema import agrees

DIRECTION, NOT, OPEN = "reproduced in direction", "not reproduced", "cannot be decided"
VERDICTS = (REPRODUCED, DIRECTION, NOT, OPEN)


class Piece(NamedTuple):
    """One comparison that speaks for a claim, or against it.

    Attributes:
        name: what is compared, the same at every budget: target and posteriors.
        value: ours, a difference of means over seeds in the metric's unit; of a published value, ours less theirs.
        shown: whether it is shown to be as the claim says, at `LEVEL`.
        contrary: p-value of being as far on the other side by chance; 1 where it is on the claim's side.
        seeds: that were compared.
        theirs: the published value, where the claim is about values.
        note: further facts in words.
        block: the records.
        holds: whether it is as the claim says; None where the seeds at hand leave that open.
    """

    name: str
    value: float
    shown: bool
    contrary: float
    seeds: int
    theirs: float | None = None
    note: str = ""
    block: Block | None = None
    holds: bool | None = None


class Judgement(NamedTuple):
    """A claim with its evidence.

    Attributes:
        claim: of the paper.
        verdict: one of `VERDICTS`.
        pieces: the comparisons behind it, each at the largest budget that has it.
        objection: why no comparison could be made; None where there is one.
    """

    claim: Claim
    verdict: str
    pieces: list[Piece]
    objection: str | None


def judge(frame: pd.DataFrame, claim: Claim) -> Judgement:
    """Hold a claim against the records of its experiment, without variations.

    Posteriors that ``nfbench verify`` refuted are left out.
    Every comparison is made once: with the user's own records where there are some, and there at the largest number of
    updates. A claim is *reproduced* where each comparison shows it at `LEVEL`. It is *reproduced in direction* where
    none contradicts it and every mean agrees; or, of published values, where these are missed but stand in the paper's
    order. It is *not reproduced* where a comparison shows the contrary, with a p-value that is multiplied by their
    number (Bonferroni), as one of many is found by chance. Else the seeds at hand cannot decide.

    Args:
        frame: a table of records.
        claim: of a paper.

    Returns:
        Verdict and evidence; without any comparison it *cannot be decided*.
    """
    rows = grid(frame[frame["experiment"] == claim.experiment])
    pieces: dict[str, Piece] = {}
    objections: list[str] = []
    parts = [part for part in map(trusted, blocks(rows)) if len(part.rows)]
    for block in sorted(parts, key=_priority):
        for piece in _pieces(block, claim.test):
            if piece.seeds:
                pieces.setdefault(piece.name, piece._replace(block=block))
            else:
                objections.append(piece.note)
    evidence = [piece._replace(holds=_holds(piece, len(pieces))) for piece in pieces.values()]
    if not evidence:
        return Judgement(claim, OPEN, [], objections[0] if objections else "no records of these posteriors")
    return Judgement(claim, _verdict(claim.test, evidence), evidence, None)


def _priority(block: Block) -> tuple[bool, int]:
    return block.source != "own", -(block.updates or 0)


def _holds(piece: Piece, comparisons: int) -> bool | None:
    return True if piece.shown else False if comparisons * piece.contrary < 1 - LEVEL else None


def _verdict(test: Test, pieces: Sequence[Piece]) -> str:
    holds = [piece.holds for piece in pieces]
    if all(holds):
        return REPRODUCED
    if isinstance(test, Values):
        return DIRECTION if _same_order(pieces) and False in holds else NOT if False in holds else OPEN
    if False in holds:
        return NOT
    return DIRECTION if not isinstance(test, Alike) and all(piece.value < 0 for piece in pieces) else OPEN


def _same_order(pieces: Sequence[Piece]) -> bool:
    """Whether our values stand in the order of the published ones; at least two are compared."""
    known = [(piece.theirs, piece.theirs + piece.value) for piece in pieces if piece.theirs is not None]
    ranked = [ours for _, ours in sorted(known)]
    return len(ranked) > 1 and ranked == sorted(ranked)


def _pieces(block: Block, test: Test) -> Iterable[Piece]:
    """The comparisons that a block allows."""
    if not block.has(test.metric):
        return []
    make: dict[type[Any], Callable[[pd.DataFrame, Any], Iterable[Piece]]] = {
        Falls: _steps,
        Below: _below,
        Alike: _alike,
        Smaller: _smaller,
        Values: _values,
    }
    return [piece for piece in make[type(test)](block.rows, test) if piece.seeds != 1]


def _steps(rows: pd.DataFrame, test: Falls) -> Iterable[Piece]:
    table, labels = depth_steps(rows, test.metric), _labels(rows)
    for row in table.to_dict("records") if len(table) else ():
        if any(agrees(family, row["family"]) for family in test.families) and row["n"]:
            name = f"{labels[row['target']]}: {labels[row['family']]} K={row['K_from']} to {row['K_to']}"
            yield _below_zero(name, _estimate(row))


def _labels(rows: pd.DataFrame) -> dict[str, str]:
    """Specs of targets, and of families without K -> what tables call them."""
    pairs = (rows[[spec, label]].drop_duplicates() for spec, label in (("target", "target_label"), ("family", "label")))
    return {spec: label for table in pairs for spec, label in table.itertuples(index=False)}


def _differences(rows: pd.DataFrame, family: str, than: str, metric: str, at: int | None) -> Iterable[dict[Any, Any]]:
    """Paired differences of `family` to `than`, at equal K or to the other's K = `at`; each with its K and a name."""
    facts, labels = rows.drop_duplicates("posterior").set_index("posterior"), _labels(rows)
    for base in (name for name in rows["family"].unique() if agrees(than, name)):
        for row in against(rows, metric, base, at).to_dict("records"):
            left = facts.loc[row["posterior"]]
            if row["n"] and agrees(family, left["family"]) and left["family"] != base:
                name = f"{labels[row['target']]}: {left['label']} less {labels[base]}, K={left['K']}"
                yield row | {"K": int(left["K"]), "name": name}


def _below(rows: pd.DataFrame, test: Below) -> Iterable[Piece]:
    for row in _differences(rows, test.family, test.than, test.metric, test.at):
        yield _below_zero(row["name"], _estimate(row))


def _alike(rows: pd.DataFrame, test: Alike) -> Iterable[Piece]:
    found = list(_differences(rows, test.family, test.other, test.metric, None))
    longest = max((row["K"] for row in found), default=0)
    for row in found:
        if not test.longest or row["K"] == longest:
            difference = _estimate(row)
            shown = equivalence(difference, 0.0, 0.0, test.margin).verdict == REPRODUCED
            yield Piece(row["name"], row["mean"], shown, _chance(difference, test.margin), row["n"])


def _smaller(rows: pd.DataFrame, test: Smaller) -> Iterable[Piece]:
    """For each target: the smallest configuration that is no worse on average than the other family's best."""
    done = rows[rows["status"] == "done"]
    for target, cells in done.groupby("target_label", sort=False):
        sides = [cells[[agrees(spec, family) for family in cells["family"]]] for spec in (test.family, test.than)]
        if any(side.empty for side in sides):
            continue
        ours, theirs = (side.groupby("posterior") for side in sides)
        best = theirs.get_group(theirs[test.metric].mean().idxmin())
        size = int(best["num_params"].iloc[0])
        for posterior in ours["num_params"].first().sort_values().index:
            own = ours.get_group(posterior)
            difference, small = paired(own, best, test.metric), int(own["num_params"].iloc[0])
            if difference.mean is not None and difference.mean <= 0:
                note = f"{small:,} numbers against {size:,}"
                piece = _below_zero(str(target), difference)
                yield piece._replace(note=note) if small < size else piece._replace(note=note, shown=False, contrary=0)
                break
        else:
            note = f"none is as good with any number, {size:,} are compared with"
            yield Piece(str(target), math.inf, shown=False, contrary=0.0, seeds=len(best), note=note)


def _values(rows: pd.DataFrame, test: Values) -> Iterable[Piece]:
    source = published(test.source)
    compared = compare(rows, source) if source else pd.DataFrame()
    for row in compared.to_dict("records"):
        first = rows[(rows["posterior"] == row["posterior"]) & (rows["target"] == row["target"])].iloc[0]
        chosen = any(agrees(spec, first["family"]) for spec in test.families)
        if not chosen or row.get("metric", test.metric) != test.metric:
            continue
        name = f"{first['target_label']}: {first['label']}" + (f" K={first['K']}" if first["K"] else "")
        verdict, theirs = row["verdict"], row.get("paper")
        if verdict == "not comparable":
            objection = source.objection(row["target"], row["data"]) if source else None
            yield Piece(name, 0.0, shown=False, contrary=1.0, seeds=0, note=row.get("reason") or objection or verdict)
        elif verdict not in ("baseline", "not tested"):
            contrary = 0.0 if verdict in (LOWER, HIGHER) else 1.0
            theirs = row["paper_difference"] if theirs is None else theirs
            ours = row["difference"] - row.get("paper_difference", 0.0)
            yield Piece(name, ours, verdict == REPRODUCED, contrary, row["difference_n"], theirs=theirs)


def _estimate(row: dict[Any, Any]) -> Estimate:
    return Estimate(row["n"], row["mean"], row["sd"], row["se"])


def _below_zero(name: str, difference: Estimate) -> Piece:
    """The piece of a difference that should be below 0; with two seeds, too, which show no interval."""
    assert difference.mean is not None
    chance = _chance(difference, 0.0)
    shown = difference.mean < 0 and chance < 1 - LEVEL
    return Piece(name, difference.mean, shown, chance if difference.mean > 0 else 1.0, difference.n)


def _chance(difference: Estimate, margin: float) -> float:
    """The two-sided p-value of a mean beyond a margin, by Student's t; 1 where it lies within, or has no error."""
    if difference.mean is None or difference.se is None or difference.n < 2 or abs(difference.mean) <= margin:
        return 1.0
    if not difference.se:
        return 0.0
    return float(2 * scipy.stats.t.sf((abs(difference.mean) - margin) / difference.se, difference.n - 1))


def published_differences(test: Test, rows: Iterable[tuple[str, str, int, str, float]]) -> list[float]:
    """The comparisons of a claim, made with published values.

    Args:
        test: what the claim compares.
        rows: (target, posterior without K, K, metric, value) of each.

    Returns:
        The steps in K of a claim that a metric falls, or the differences of the two families that are compared; empty
        for a claim of another kind.
    """
    values = {(target, family, depth): value for target, family, depth, metric, value in rows if metric == test.metric}
    if isinstance(test, Falls):
        chosen = [key for key in values if any(agrees(family, key[1]) for family in test.families)]
        pairs = zip(sorted(chosen), sorted(chosen)[1:], strict=False)
        return [values[deep] - values[shallow] for shallow, deep in pairs if shallow[:2] == deep[:2]]
    if isinstance(test, Below | Alike):
        other, at = (test.than, test.at) if isinstance(test, Below) else (test.other, None)
        both = [
            (mine, theirs)
            for mine in values
            for theirs in values
            if agrees(test.family, mine[1]) and agrees(other, theirs[1]) and mine[0] == theirs[0]
        ]
        both = [(mine, theirs) for mine, theirs in both if theirs[2] == (mine[2] if at is None else at)]
        if isinstance(test, Alike) and test.longest:
            longest = max((mine[2] for mine, _ in both), default=0)
            both = [pair for pair in both if pair[0][2] == longest]
        return [values[mine] - values[theirs] for mine, theirs in both]
    return []
