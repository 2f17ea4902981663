"""Timings as text: a line for each while a run goes on, a compact table at its end."""

import itertools
from collections.abc import Sequence

from nfbench.records.timings import Case, Spread, Timing

_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (0.0, "B"))
_UNITS = ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs"))
_HEADER = ("", "median", "quartiles", "ratio", "of floor", "peak", "agrees")


def title(case: Case) -> str:
    """A case in a line.

    Args:
        case: what is timed.

    Returns:
        Posterior, mode and sizes.
    """
    sizes = f"D={case.dim} S={case.draws} B={case.batch}" + " amortized" * case.amortized
    step = f" on {case.target} E={case.seeds}" if case.mode == "step" else ""
    return f"{case.posterior} {case.mode}{step} {sizes}"


def table(timings: Sequence[Timing]) -> list[str]:
    """The lines of a table with a block for each case.

    Args:
        timings: records of one run, in order: those of a case stand together.

    Returns:
        The lines, a header first.
    """
    rows = [(timing.case, _row(timing)) for timing in timings]
    widths = [max(len(cells[at]) for cells in (_HEADER, *(row for _, row in rows))) for at in range(len(_HEADER))]
    lines = [_line(_HEADER, widths)]
    for case, block in itertools.groupby(rows, key=lambda row: row[0]):
        lines.append(f"{title(case)}, {case.dtype}, {case.device}, {case.threads} thread{'s' * (case.threads != 1)}")
        lines += [_line(cells, widths) for _, cells in block]
    failed = [timing for timing in timings if timing.status == "failed"]
    return lines + [f"failed: {timing.contender}, {title(timing.case)}: {timing.message}" for timing in failed]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = cells
    return "  ".join([f"  {first:<{widths[0]}}", *(f"{cell:>{w}}" for cell, w in zip(rest, widths[1:], strict=True))])


def _row(timing: Timing) -> tuple[str, ...]:
    if timing.spread is None:
        return timing.contender, timing.status, "", "", "", "", ""
    share = f"{timing.floor.seconds / timing.spread.median:.1%}" if timing.floor else "-"
    peak = "-" if timing.peak_bytes is None else size(timing.peak_bytes)
    return (
        timing.contender,
        seconds(timing.spread.median),
        quartiles(timing.spread),
        _ratio(timing) or "-",
        share,
        peak,
        _agrees(timing),
    )


def _ratio(timing: Timing) -> str:
    """Over nfbench's time, which trains all E models in a step: for one model each."""
    return f"{timing.ratio.median * timing.case.seeds / timing.models:.2f}x" if timing.ratio else ""


def _agrees(timing: Timing) -> str:
    if timing.agreement is None:
        return "unchecked"
    return "yes" if timing.agreement.holds else f"no ({timing.agreement.error:.1e})"


def short(timing: Timing) -> str:
    """A record in a few words.

    Args:
        timing: a record.

    Returns:
        Time, quartiles, ratio and whether it disagrees; or why there is no time.
    """
    if timing.spread is None:
        return f"{timing.status}: {timing.message}"
    words = [seconds(timing.spread.median), f"({quartiles(timing.spread)})"]
    words += [_ratio(timing)] if timing.ratio else []
    if timing.agreement is None or not timing.agreement.holds:
        words.append("unchecked" if timing.agreement is None else "disagrees")
    return " ".join(words)


def quartiles(spread: Spread) -> str:
    """First and third.

    >>> quartiles(Spread(median=2e-3, low=1.5e-3, high=2.25e-3))
    '1.50-2.25 ms'

    Args:
        spread: in seconds.
    """
    factor, unit = _unit(spread.high)
    return f"{_digits(spread.low * factor)}-{_digits(spread.high * factor)} {unit}"


def seconds(value: float) -> str:
    """A time in three digits.

    >>> seconds(0.01234), seconds(4.567e-5), seconds(789.1)
    ('12.3 ms', '45.7 µs', '789 s')

    Args:
        value: at least 0.
    """
    factor, unit = _unit(value)
    return f"{_digits(value * factor)} {unit}"


def size(count: int) -> str:
    """Bytes in three digits.

    >>> size(24), size(1_234_567)
    ('24 B', '1.18 MiB')

    Args:
        count: of bytes.
    """
    least, unit = next((least, unit) for least, unit in _BYTES if count >= least)
    return f"{_digits(count / least)} {unit}" if least else f"{count} {unit}"


def _unit(value: float) -> tuple[float, str]:
    return next((factor, unit) for least, factor, unit in _UNITS if value >= least)


def _digits(value: float) -> str:
    places = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{places}f}"
