"""Which cells of two folders of results are compared with each other, and in what their configurations differ."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from nfbench.records.outcomes import Outcome, Outcomes
from nfbench.specification.config import Cell

_LONGEST = 40  # characters of a value


class Pair(NamedTuple):
    """Outcomes that are compared.

    Attributes:
        left: of the first folder.
        right: of the second.
        fields: in which their configurations differ, as ``name: old -> new``; none for equal ids.
    """

    left: Outcome
    right: Outcome
    fields: tuple[str, ...] = ()


def match(left: Outcomes, right: Outcomes) -> tuple[list[Pair], list[Cell], list[Cell]]:
    """Pair the cells of two folders: of equal id, then of equal experiment, variation, target, posterior and seed.

    Of the latter those of equal profile go first; a cell that would have several partners has none. A cell whose
    record is damaged in the other folder has none either, and is in neither list.

    Args:
        left: of the first folder.
        right: of the second.

    Returns:
        The pairs, and the cells without a partner of the first and of the second folder.
    """
    pairs = [Pair(outcome, right.by_id[id]) for id, outcome in left.by_id.items() if id in right.by_id]
    mine = _alone(left, right)
    theirs = _alone(right, left)
    for key in (_with_profile, _without_profile):
        keys, others = _unique(mine, key), _unique(theirs, key)
        for name in [name for name in keys if name in others]:
            one, another = mine.pop(keys[name]), theirs.pop(others[name])
            pairs.append(Pair(one, another, fields(one.cell, another.cell)))
    return pairs, [one.cell for one in mine.values()], [one.cell for one in theirs.values()]


def fields(left: Cell, right: Cell) -> tuple[str, ...]:
    """In what two configurations differ, beside their seed.

    Args:
        left: a cell.
        right: another one.

    Returns:
        ``name: old -> new`` for each field, with dots between the names of nested ones.
    """
    old, new = _flat(left.model_dump(mode="json")), _flat(right.model_dump(mode="json"))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name) and name != "seed"]
    return tuple(f"{name}: {_text(old.get(name))} -> {_text(new.get(name))}" for name in names)


def _alone(outcomes: Outcomes, others: Outcomes) -> dict[str, Outcome]:
    known = others.by_id.keys() | others.damaged
    return {id: outcome for id, outcome in outcomes.by_id.items() if id not in known}


def _with_profile(cell: Cell) -> tuple[Any, ...]:
    return cell.profile, *_without_profile(cell)


def _without_profile(cell: Cell) -> tuple[Any, ...]:
    return cell.experiment, cell.variation, cell.target, cell.posterior, cell.seed


def _unique(outcomes: Mapping[str, Outcome], key: Callable[[Cell], tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """By key the id of the only cell that has it."""
    ids: dict[tuple[Any, ...], list[str]] = {}
    for id, outcome in outcomes.items():
        ids.setdefault(key(outcome.cell), []).append(id)
    return {name: those[0] for name, those in ids.items() if len(those) == 1}


def _flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    nested = ((f"{before}{name}", value) for name, value in data.items() if value is not None)
    parts: Iterable[dict[str, Any]] = (
        _flat(value, f"{name}.") if isinstance(value, dict) else {name: value} for name, value in nested
    )
    return {name: value for part in parts for name, value in part.items()}


def _text(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2 - 2]}...{text[-_LONGEST // 2 + 1 :]}"
