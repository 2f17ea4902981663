"""From cases to records: make every contender ready, run them in turn, store what each took."""

import contextlib
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from nfbench.foundation.environment import now, provenance, runtime
from nfbench.foundation.errors import InputError
from nfbench.foundation.inductor import forget_compiled
from nfbench.foundation.settings import backend
from nfbench.posteriors.build import posterior
from nfbench.records.proof import sealed
from nfbench.records.timings import Agreement, Case, Facts, Floor, Timing, identity, write
from nfbench.timing.contenders.contract import BASE, Contender, Inputs, Work, contenders, inputs
from nfbench.timing.measure.agreement import Truth, agreement, truth
from nfbench.timing.measure.clock import Clock, Entrant, Protocol, Warm, clock, ratio, rounds, spread, warm_up
from nfbench.timing.measure.machine import Ceilings, best, ceilings, load
from nfbench.timing.measure.memory import peak
from nfbench.timing.plan import Planned

Note = Callable[[str], None]
_LONGEST = 200  # characters of a reason
REFERENCE = "reference"  # the group of contenders whose float64 outcome counts as true


class Undone(NamedTuple):
    """Why a contender has no time.

    Attributes:
        status: ``lacking``, it cannot do the case; ``failed``, it broke.
        message: one line.
    """

    status: Literal["lacking", "failed"]
    message: str


class Ready(NamedTuple):
    """A contender after its warm-up, checked and weighed.

    Attributes:
        work: what the clock runs.
        warm: seconds of a steady call and of the first calls beyond it.
        agreement: with the float64 reference; None where the contender claims no outcome.
        peak: bytes of memory at once.
    """

    work: Work
    warm: Warm
    agreement: Agreement | None
    peak: int


@dataclass(frozen=True)
class _Run:
    """What the records of one run have in common."""

    root: Path
    protocol: Protocol
    name: str
    load: float  # runnable processes of the machine, averaged over the minute before the run
    known: Mapping[str, Contender]
    note: Note
    done: Callable[[Timing], None]


_UNCOUNTED = ("step", "inverse")  # modes for which no floor is counted


def run(
    plan: Sequence[Planned],
    root: Path,
    protocol: Protocol,
    *,
    note: Note = lambda text: None,
    done: Callable[[Timing], None] = lambda timing: None,
) -> list[Timing]:
    """Time all contenders of all cases, and store each record as soon as its case is measured.

    What a contender raises is an outcome: it is stored and the run goes on. A record of an earlier run is replaced.

    Args:
        plan: the cases.
        root: of the records.
        protocol: how thoroughly.
        note: is told what is being made ready, outside the clock.
        done: is given every record.

    Returns:
        The stored records, in order.
    """
    common = _Run(root, protocol, uuid.uuid4().hex[:12], load(), contenders(), note, done)
    return [timing for place, planned in enumerate(plan) for timing in _time(common, planned, place)]


def _time(common: _Run, planned: Planned, place: int) -> list[Timing]:
    with threads(planned.case.threads):
        measured, peak_rates = _measured(common, planned)
        records = [sealed(timing) for timing in _records(common, planned, place, measured, peak_rates)]
    for timing in records:
        write(common.root, timing)
        common.done(timing)
    return records


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block torch uses that many threads; afterwards as many as before.

    Args:
        count: at least 1.

    Returns:
        A context manager.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Measured(NamedTuple):
    """A contender that is ready, and its seconds by the number of the round."""

    ready: Ready
    samples: dict[int, float]


def _measured(common: _Run, planned: Planned) -> tuple[dict[str, _Measured | Undone], Ceilings | None]:
    """Every contender of a case, and what the machine can do at best, as measured right before and right after it.

    Other work slows all of a machine for minutes: the ceilings of another hour would say nothing of this case. Where
    there are no inputs or no truth for it, nothing can be said of any contender.
    """
    case, measured = planned.case, clock(planned.case.device)
    try:
        tensors = inputs(case)
        true = truth(case, tensors, [contender for contender in common.known.values() if contender.group == REFERENCE])
    except Exception as error:
        return {BASE: _undone(error)}, None
    if "torch._dynamo" in sys.modules:  # else nothing has compiled, and asking would import it
        forget_compiled()  # every case compiles anew, for its own shapes
    prepared: dict[str, Ready | Undone] = {}
    for name in planned.versus:
        common.note(name)
        prepared[name] = _prepare(common.known[name], case, tensors, true, measured, common.protocol)
    entrants = {
        name: Entrant(contender.work.run, contender.warm.seconds)
        for name, contender in prepared.items()
        if isinstance(contender, Ready)
    }
    counted = case.mode not in _UNCOUNTED and bool(entrants)
    rates_before = ceilings(case.device, case.dtype) if counted else None
    samples = rounds(entrants, measured, common.protocol, BASE)
    peak_rates = None if rates_before is None else best(rates_before, ceilings(case.device, case.dtype))
    return {name: _part(contender, samples.get(name)) for name, contender in prepared.items()}, peak_rates


def _part(prepared: Ready | Undone, taken: dict[int, float] | Exception | None) -> _Measured | Undone:
    if isinstance(prepared, Undone):
        return prepared
    return _Measured(prepared, taken) if isinstance(taken, dict) else _undone(taken or RuntimeError("not measured"))


def _prepare(
    contender: Contender, case: Case, tensors: Inputs, true: Truth | None, measured: Clock, protocol: Protocol
) -> Ready | Undone:
    try:
        work = contender.work(case, tensors)
        if work is None:
            return Undone("lacking", f"{contender.label} has no such map or mode")
        warm = warm_up(work.run, measured, protocol)
        checked = None if true is None else agreement(case, work, true)
        return Ready(work, warm, checked, peak(work.run, case.device))
    except Exception as error:
        return _undone(error)


def _undone(error: Exception) -> Undone:
    """What an error says of a contender: that it cannot do the work at all, or that it broke."""
    if isinstance(error, ModuleNotFoundError):
        return Undone("lacking", f"{error.name} is not installed: pip install nfbench[peers]")
    cannot = isinstance(error, (InputError, NotImplementedError))
    return Undone("lacking" if cannot else "failed", reason(error))


def _records(
    common: _Run, planned: Planned, place: int, measured: Mapping[str, _Measured | Undone], peak_rates: Ceilings | None
) -> Iterable[Timing]:
    case, choice = planned.case, planned.choice
    base = measured.get(BASE)
    floor = None if peak_rates is None else _floor(case, peak_rates)
    for rank, (name, part) in enumerate(measured.items()):
        contender = common.known[name]
        yield Timing(
            id=identity(case, name),
            case=case,
            contender=name,
            facts=Facts(
                family=choice.family,
                label=choice.label,
                cite=choice.entry.cite,
                K=choice.depth,
                order=(place, rank),
            ),
            run=common.name,
            versions=_versions(contender),
            finished=now(),
            provenance=_provenance(common, case, name),
            **(_outcome(part, base, floor) if isinstance(part, _Measured) else part._asdict()),
        )


def _outcome(part: _Measured, base: _Measured | Undone | None, floor: Floor | None) -> dict[str, Any]:
    """A record's numbers; its ratio only where both sides agree with the reference."""
    fair = isinstance(base, _Measured) and all(
        side.ready.agreement and side.ready.agreement.holds for side in (part, base)
    )
    return {
        "status": "done",
        "seconds": list(part.samples.values()),
        "spread": spread(list(part.samples.values())),
        "ratio": ratio(part.samples, base.samples) if fair and isinstance(base, _Measured) else None,
        "compile_seconds": part.ready.warm.first,
        "peak_bytes": part.ready.peak,
        "agreement": part.ready.agreement,
        "floor": floor,
        "models": part.ready.work.models,
    }


def _floor(case: Case, peak_rates: Ceilings) -> Floor | None:
    """What the case needs at least, where its family counts it."""
    q = posterior(case.posterior, case.dim)
    points = case.batch if case.amortized else 1
    cost = q.cost(case.draws, case.batch, points, gradient=case.mode == "backward")
    if cost is None:
        return None
    width = getattr(torch, case.dtype).itemsize
    return Floor(bytes=cost.numbers * width, flops=cost.flops, bandwidth=peak_rates.bandwidth, rate=peak_rates.rate)


def _provenance(common: _Run, case: Case, name: str) -> dict[str, Any]:
    chosen = {BASE: backend(), REFERENCE: REFERENCE}.get(name)  # the others know no backend
    here = {**runtime(case.device), "backend": chosen, "load": common.load}
    return {**provenance(), **here, "protocol": common.protocol.model_dump()}


def _versions(contender: Contender) -> dict[str, str]:
    versions = {}
    for name in contender.distributions:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def reason(error: Exception) -> str:
    """Type and first line of an error; the line alone where it was written for users.

    Args:
        error: of a contender.

    Returns:
        At most about 200 characters.
    """
    lines = str(error).strip().splitlines() or ["no message"]
    line = lines[0] if len(lines[0]) <= _LONGEST else f"{lines[0][:_LONGEST]} ..."
    return line if isinstance(error, InputError) else f"{type(error).__name__}: {line}"
