"""Ours beside the published: paired differences or values as they are, equivalence tests, and families at equal K."""

import math
from typing import Any

import pandas as pd

from nfbench.analysis.blocks import BLOCK, CONFIGURATION, groups, metrics, where
from nfbench.analysis.differences import against, paired
from nfbench.analysis.equivalence import Verdict, equivalence
from nfbench.analysis.summary import Estimate, over
from nfbench.published.catalogue import sources
from nfbench.published.schema import Point, Published


def compare(frame: pd.DataFrame, source: Published) -> pd.DataFrame:
    """Set each of our configurations that a paper has too beside its published value, with a verdict.

    Args:
        frame: a table of records.
        source: the published table or figure.

    Returns:
        For a source with a baseline one row a configuration, with our paired `difference` to the baseline and the
        `paper_difference`. For one without, one row a configuration and `metric`, with our `value`, the `paper` value
        and their `difference`; where the two are not comparable `reason` says why.
    """
    return _differences(frame, source) if source.baseline else _values(frame, source)


def _differences(frame: pd.DataFrame, source: Published) -> pd.DataFrame:
    rows = []
    for names, cells in groups(frame, CONFIGURATION):
        theirs = source.difference(names["target"], cells["family"].iloc[0], int(cells["K"].iloc[0]))
        if theirs is None or source.baseline is None:
            continue
        same = where(frame, {name: names[name] for name in (*BLOCK, "target")})
        is_base = [source.baseline.describes(*pair) for pair in zip(same["family"], same["K"], strict=True)]
        ours = paired(cells, same[is_base], source.metric) if any(is_base) and source.metric in frame else Estimate(0)
        reason = _objection(names, source)
        verdict = equivalence(ours, theirs.value, theirs.se, source.margin[source.metric])
        if theirs.is_baseline or reason:
            verdict = Verdict("baseline" if theirs.is_baseline else "not comparable")
        row = names | {f"difference_{part}": value for part, value in vars(ours).items() if part != "mean"}
        row |= {"difference": ours.mean, "paper_difference": theirs.value, "paper_se": theirs.se}
        rows.append(row | verdict._asdict() | {"words": verdict.words, "hidden": theirs.hidden})
    return pd.DataFrame(rows)


def _values(frame: pd.DataFrame, source: Published) -> pd.DataFrame:
    rows = []
    for names, cells in groups(frame, CONFIGURATION):
        for metric in source.metrics:
            theirs = source.value(names["target"], cells["family"].iloc[0], int(cells["K"].iloc[0]), metric)
            if theirs is None:
                continue
            ours = over(cells[cells["status"] == "done"], metric) if metric in cells else Estimate(0)
            reason = _objection(names, source)
            verdict = equivalence(ours, theirs.value, theirs.se, source.margin[metric])
            if reason:
                verdict = Verdict("not comparable")
            row = names | {"metric": metric, "n": ours.n, "value": ours.mean, "margin": source.margin[metric]}
            row |= {"paper": theirs.value, "paper_bar": theirs.bar, "paper_se": theirs.se}
            ends = {"": ours.mean, "_least": ours.least, "_largest": ours.largest}
            row |= {f"difference{end}": None if reason or x is None else x - theirs.value for end, x in ends.items()}
            row |= {"difference_n": ours.n, "difference_low": verdict.low, "difference_high": verdict.high}
            row |= {"p_value": verdict.p_value, "verdict": verdict.verdict, "words": verdict.words}
            row |= {"stands": verdict.stands, "tested": verdict.tested, "needed": verdict.needed}
            rows.append(row | {"reason": reason, "hidden": theirs.hidden})
    return pd.DataFrame(rows)


def _objection(names: dict[str, Any], source: Published) -> str | None:
    return source.objection(names["target"], None if pd.isna(names["data"]) else str(names["data"]))


def missing(frame: pd.DataFrame, source: Published) -> list[Point]:
    """The published configurations of which there is no record, each once.

    Args:
        frame: a table of records.
        source: the published table or figure.

    Returns:
        Posterior and K of each, in the order of the source's rows.
    """
    ours = set(zip(frame["family"], frame["K"], strict=True))
    rows = [row for row in source.rows if not any(row.describes(family, int(depth)) for family, depth in ours)]
    points = [Point(posterior=row.posterior, K=row.K) for row in rows]
    return [point for i, point in enumerate(points) if point not in points[:i]]


def contrasts(frame: pd.DataFrame, source: Published) -> pd.DataFrame:
    """Paired differences of every other family to the source's contrast family at equal K.

    Args:
        frame: a table of records.
        source: the published table or figure.

    Returns:
        One row a configuration and metric: `CONFIGURATION`, family, label, K, order, `base` (label of the family that
        is subtracted), `metric`, the columns of an `Estimate`, and `paper`, `paper_se`: the published means' difference
        where both are known, else None.
    """
    rows: list[dict[Any, Any]] = []
    wanted = source.contrast.metrics if source.contrast else []
    for base in (name for name in frame["family"].unique() if source.contrast and source.contrast.is_base(name)):
        label = frame.loc[frame["family"] == base, "label"].iloc[0]
        for metric in (name for name in wanted if name in metrics(frame)):
            differences = against(frame, metric, base).to_dict("records")
            named = [row | _facts(frame, row) | {"base": label, "metric": metric} for row in differences]
            rows += [row | _between(source, row, base) for row in named if row["family"] != base]
    table = pd.DataFrame(rows)
    return table.sort_values([*BLOCK, "order"], kind="stable").reset_index(drop=True) if len(table) else table


def _facts(frame: pd.DataFrame, row: dict[Any, Any]) -> dict[str, Any]:
    first = where(frame, {name: row[name] for name in CONFIGURATION}).iloc[0]
    return {name: first[name] for name in ("family", "label", "K", "order")}


def _between(source: Published, row: dict[Any, Any], base: str) -> dict[str, Any]:
    """The published difference of a family and the contrast family, their means independent; from whoever has both."""
    for paper in sources(source.experiment):
        left, right = (paper.value(row["target"], name, int(row["K"]), row["metric"]) for name in (row["family"], base))
        if left and right:
            return {"paper": left.value - right.value, "paper_se": math.hypot(left.se, right.se)}
    return {"paper": None, "paper_se": None}
