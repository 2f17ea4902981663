"""Did it reproduce? A line for each claim of a paper: what the paper has, what others found, what our records say."""

import math
from collections.abc import Sequence

import pandas as pd

from nfbench.analysis.claims import VERDICTS, Judgement, Piece, judge, published_differences
from nfbench.foundation.errors import InputError
from nfbench.present.tables.compared import Compared
from nfbench.present.tables.render import NOTHING, Table
from nfbench.published.catalogue import published, sources
from nfbench.published.claims import Alike, Claim, Falls, Paper, Smaller, Values, papers
from nfbench.published.schema import Published, agrees
from nfbench.records.glossary import measure

Known = tuple[str, str, int, str, float]  # target, posterior without K, K, metric, value
_HEAD = ["Claim", "Where", "The paper has", "Others have", "Ours", "verdict"]
_NAMES = ("claim", "place", "paper_has", "others_have", "ours", "verdict")  # the same as columns of data
_NOTE = (
    "Reproduced: each comparison shows it. In direction: none shows the contrary and all means agree, or values are "
    "missed but stand in the paper's order. Each comparison is made at the largest number of updates that has it."
)


def judged(frame: pd.DataFrame) -> list[tuple[Paper, list[Judgement]]]:
    """The claims of every paper of whose experiments there are records.

    Args:
        frame: a table of records.

    Returns:
        Papers with the judgements of those claims; none for records of other experiments only.
    """
    there = set(frame["experiment"].unique())
    found = [
        (paper, [judge(frame, claim) for claim in paper.claims if claim.experiment in there]) for paper in papers()
    ]
    return [(paper, judgements) for paper, judgements in found if judgements]


def compared(frame: pd.DataFrame) -> Compared:
    """The claims of papers beside records.

    Args:
        frame: a table of records.

    Returns:
        A table for each paper; the key of a row is its claim.

    Raises:
        InputError: no record of an experiment that a claim is about.
    """
    found = judged(frame)
    if not found:
        known = ", ".join(sorted({claim.experiment for paper in papers() for claim in paper.claims}))
        raise InputError(f"no records that a paper's claims are about; expected some of {known}")
    return Compared([of_paper(paper, each) for paper, each in found], _data(found))


def of_paper(paper: Paper, judgements: Sequence[Judgement]) -> Table:
    """A paper's claims as a table.

    Args:
        paper: the paper.
        judgements: of its claims.

    Returns:
        A row for each claim, which is the row's key.
    """
    rows = [_row(each) for each in judgements]
    title = f"{paper.title}: {counted(judgements)}"
    keys: list[tuple[str, ...]] = [(each.claim.text,) for each in judgements]
    return Table(title, f"{len(rows)} claims beside stored records.", _HEAD, rows, keys, [_NOTE], leading=1)


def counted(judgements: Sequence[Judgement]) -> str:
    """How many claims have which verdict.

    Args:
        judgements: of a paper.

    Returns:
        Such as ``4 reproduced, 2 cannot be decided``, in the order of `VERDICTS`.
    """
    verdicts = [judgement.verdict for judgement in judgements]
    return ", ".join(f"{verdicts.count(name)} {name}" for name in VERDICTS if name in verdicts)


def _row(judgement: Judgement) -> list[str]:
    claim = judgement.claim
    return [claim.text, claim.place, _theirs(claim), _others(claim), _ours(judgement), judgement.verdict]


def _data(found: Sequence[tuple[Paper, Sequence[Judgement]]]) -> pd.DataFrame:
    """One row a claim, with the numbers behind its verdict."""
    rows = []
    for paper, judgements in found:
        for each in judgements:
            holds = [piece.holds for piece in each.pieces]
            counts = {"comparisons": len(holds), "shown": holds.count(True), "contrary": holds.count(False)}
            words = dict(zip(_NAMES, _row(each), strict=True))
            rows.append({"paper": paper.title, "experiment": each.claim.experiment} | words | counts)
    return pd.DataFrame(rows)


def _theirs(claim: Claim) -> str:
    """What the paper's own numbers say of its claim."""
    source = published(claim.figure) if claim.figure else None
    if source is None:
        return NOTHING
    rows = [(row.target, row.posterior, row.K, row.metric, row.value) for row in source.rows]
    return _phrase(claim, [rows], source)


def _others(claim: Claim) -> str:
    """What others found who repeated the experiment, a phrase for each of them."""
    runs: dict[str, list[list[Known]]] = {}
    for other in (other for source in sources(claim.experiment) for other in source.remeasured if other.posterior):
        family = other.posterior or ""
        points = [(*point, metric) for metric, values in other.values.items() for point in values.items()]
        rows = [("", family if depth else "gaussian", depth, metric, value) for depth, value, metric in points]
        runs.setdefault(other.who, []).append(rows)
    phrases = {who: _phrase(claim, each, None) for who, each in runs.items()}
    told = {who: f"{who}, {len(runs[who])} runs" if len(runs[who]) > 1 else who for who in runs}
    return "; ".join(f"{text} ({told[who]})" for who, text in phrases.items() if text != NOTHING) or NOTHING


def _phrase(claim: Claim, runs: Sequence[Sequence[Known]], source: Published | None) -> str:
    """What some runs' values say of a claim; a source with a baseline has differences to it."""
    test, unit = claim.test, measure(claim.test.metric).unit
    if isinstance(test, Values):
        values = [value for rows in runs for value in _chosen(test, rows, source)]
        ends = f"{min(values):.4g}" + (f" to {max(values):.4g}" if len(values) > 1 else "") if values else ""
        return f"{ends} {unit}" if values else NOTHING
    differences = [difference for rows in runs for difference in published_differences(test, rows)]
    if not differences:
        return NOTHING
    if isinstance(test, Alike):
        return f"differences up to {max(map(abs, differences)):.3g} {unit}"
    below = sum(difference < 0 for difference in differences)
    return f"{below} of {len(differences)} {'steps fall' if isinstance(test, Falls) else 'below'}"


def _chosen(test: Values, rows: Sequence[Known], source: Published | None) -> list[float]:
    """The values that a claim is about; of a source with a baseline the comparable ones, less its value."""
    chosen = [row for row in rows if row[3] == test.metric and any(agrees(spec, row[1]) for spec in test.families)]
    if source is None or source.baseline is None:
        return [value for *_, value in chosen]
    comparable = [row for row in chosen if not source.objection(row[0])]
    differences = [source.difference(target, family, depth) for target, family, depth, *_ in comparable]
    return [difference.value for difference in differences if difference]


def _ours(judgement: Judgement) -> str:
    """Our evidence: how many comparisons show the claim, and at which budget; the one that is furthest from it."""
    pieces = judgement.pieces
    if not pieces:
        return judgement.objection or NOTHING
    shown, contrary = (sum(piece.holds is verdict for piece in pieces) for verdict in (True, False))
    text = f"{shown} of {len(pieces)} shown, {contrary} contrary"
    worst = _worst(judgement)
    return f"{text} ({_budgets(pieces)}){'' if worst is None else f'; {_words(judgement, worst)}'}"


def _worst(judgement: Judgement) -> Piece | None:
    """The comparison that speaks most against the claim; None where all show it."""
    left = [piece for piece in judgement.pieces if piece.holds is not True]
    test = judgement.claim.test

    def against(piece: Piece) -> tuple[bool, float]:
        return piece.holds is False, abs(piece.value) if isinstance(test, Alike | Values) else piece.value

    return max(left, key=against, default=None)


def _words(judgement: Judgement, piece: Piece) -> str:
    if isinstance(judgement.claim.test, Smaller):
        return f"{piece.name}: {piece.note}"
    unit = measure(judgement.claim.test.metric).unit
    value = NOTHING if math.isinf(piece.value) else f"{piece.value:+.3g} {unit}"
    return f"{'furthest off' if piece.holds is False else 'open'}: {piece.name}, {value}"


def _budgets(pieces: Sequence[Piece]) -> str:
    """Updates and seeds of the records behind some comparisons, the largest budget first."""
    budgets: dict[int, list[int]] = {}
    for piece in pieces:
        if piece.block is not None:
            budgets.setdefault(piece.block.updates or 0, []).append(piece.seeds)
    several = len(budgets) > 1
    parts = []
    for updates, seeds in sorted(budgets.items(), reverse=True):
        span = f"{min(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
        parts.append(f"{f'{len(seeds)} at ' if several else ''}{updates:,} updates, {span} seeds")
    return "; ".join(parts)
