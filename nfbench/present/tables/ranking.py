"""The table of `nfbench choose`: families in the order of cost, with what speaks for and against each."""

from collections.abc import Sequence
from typing import Any

from nfbench.present.tables.render import NOTHING, Table, interval, number, significant
from nfbench.records.glossary import measure, ordered
from nfbench.records.measures import FLOOR

_HEAD = [
    *("Posterior", "F (nats)", "to the best", "k-hat", "ESS", "gap at most", "restarts apart (sd)"),
    "modes",
    *("rate", "parameters", "s", "verdict"),
]
_REFERENCE = ["mean error (sd)", "ln sd error"]


def ranking(data: dict[str, Any]) -> Table:
    """Lay out what `nfbench choose` found.

    Args:
        data: as `nfbench.experiments.choose.Chosen.as_data` gives it.

    Returns:
        A row a family.
    """
    rows = data["candidates"]
    referenced = any(row["reference_mean_error"] is not None for row in rows)
    head = [*_HEAD[:-1], *(_REFERENCE if referenced else []), _HEAD[-1]]
    cells = [_cells(row, referenced=referenced) for row in rows]
    first = next((row for row in rows if row["restarts"]), None)
    protocol = ""
    if first is not None:
        most = "at most " if first.get("stopped") else ""
        restarts = f"{len(first['restarts'])} restarts of {most}{first['updates']:,} updates a family"
        protocol = (
            f"{restarts}, trained as one program; "
            f"diagnosed with {first['draws']:,} draws each. k-hat is the mean of restarts, ESS and gap the worst."
        )
    notes = [
        f"A cheaper family is preferred where it is worse by at most {data['margin']:g} nats.",
        "The gap, F + ln mean w with two standard errors, bounds what a richer family can gain; like k-hat it is blind "
        "to modes that no draw falls into.",
        "Modes: how many of those that all restarts of the family found a restart found, the fewest and the most.",
    ]
    marks = {(place, 0): "best" for place, row in enumerate(rows) if row["posterior"] == data["posterior"]}
    keys: list[tuple[str, ...]] = [(row["posterior"],) for row in rows]
    return Table(f"Families for {data['target']}", protocol, head, cells, keys, notes, leading=1, marks=marks)


def _cells(row: dict[str, Any], *, referenced: bool) -> list[str]:
    done = [restart for restart in row["restarts"] if not restart["diverged"]]
    errors = [number(row["reference_mean_error"], 2), number(row["reference_log_sd_error"], 2)] if referenced else []
    return [
        row["posterior"],
        interval(row["free_energy"], row["free_energy_low"], row["free_energy_high"]),
        interval(row["difference"], row["difference_low"], row["difference_high"], sign="+"),
        row["khat_text"] if done else NOTHING,
        significant(min((restart["ess"] or 0.0 for restart in done), default=None), 3),
        number(row["most_to_gain"]),
        number(row["agreement"], 2),
        _modes(row.get("modes") or ()),
        NOTHING if row["learning_rate"] is None else f"{row['learning_rate']:g}",
        NOTHING if row["parameters"] is None else f"{row['parameters']:,}",
        significant(row["seconds"], 2),
        *errors,
        row["remark"],
    ]


def compared(data: dict[str, Any]) -> Table | None:
    """Lay out how far the families are from draws of the target.

    Args:
        data: as of `ranking`.

    Returns:
        A row a family, of its restart with the lowest F, and one for two halves of the draws; None where the target has
        no draws to compare with.
    """
    rows = [row for row in data["candidates"] if row.get("compared")]
    if not rows:
        return None
    names = [name for name in ordered(list(rows[0]["compared"])) if not name.endswith(FLOOR)]
    cells = [[row["posterior"], *(_with_error(row["compared"].get(name)) for name in names)] for row in rows]
    floors = [_with_error(rows[0]["compared"].get(name + FLOOR)) for name in names]
    head = ["Posterior", *(measure(name).title for name in names)]
    keys: list[tuple[str, ...]] = [*((row["posterior"],) for row in rows), ("floor",)]
    notes = ["± is one standard error. The floor is the distance of two halves of the target's draws from each other."]
    title = "Against draws of the target"
    protocol = "The restart with the lowest F beside exact or reference draws of z, in their standard deviations."
    return Table(title, protocol, head, [*cells, ["floor", *floors]], keys, notes, leading=1)


def _with_error(pair: Sequence[float | None] | None) -> str:
    """A value with its standard error.

    >>> _with_error((0.1234, 0.01)), _with_error(None)
    ('0.123 ± 0.01', '—')
    """
    if pair is None or pair[0] is None:
        return NOTHING
    return f"{pair[0]:.3g}" + ("" if pair[1] is None else f" ± {pair[1]:.1g}")


def _modes(counts: Sequence[int]) -> str:
    """How many of the modes that restarts found together each found.

    >>> _modes((1, 1, 2)), _modes((1, 2, 2)), _modes((2, 2, 2))
    ('1 of 2', '1-2 of 2', '2 of 2')
    """
    if not counts:
        return NOTHING
    *each, union = counts
    return f"{min(each)}{f'-{max(each)}' if max(each) > min(each) else ''} of {union}"


def moments(data: dict[str, Any], most: int = 20) -> list[str]:
    """The chosen family's moments as lines.

    Args:
        data: as of `ranking`.
        most: coordinates that are shown.

    Returns:
        A line a coordinate: mean and sd of the density, reweighted, with their Monte-Carlo errors, and the sd of the
        family itself over it; none where no family is chosen.
    """
    lines = []
    for row in data["moments"][:most]:
        values = [_short(row[name]) for name in ("mean", "mean_se", "sd", "sd_se", "posterior_sd")]
        lines.append(
            f"{row['name']}: mean {values[0]} ± {values[1]}, sd {values[2]} ± {values[3]} "
            f"(the family's own sd {values[4]})"
        )
    left = len(data["moments"]) - most
    return [*lines, f"and {left} more"] if left > 0 else lines


def _short(value: float | None) -> str:
    """Three significant digits.

    >>> _short(1.23456), _short(None)
    ('1.23', '—')
    """
    return NOTHING if value is None else f"{value:.3g}"
