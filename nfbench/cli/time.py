"""The command that times: time."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.cli.run import INTERRUPTED, Results
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.foundation.terminal import say
from nfbench.specification.choices import MODES, TIMING, Dtype, Mode

if TYPE_CHECKING:
    from nfbench.records.timings import Timing
    from nfbench.timing.measure.clock import Protocol
    from nfbench.timing.plan import Planned, Sizes

_BUSY = 1.0  # runnable processes of the last minute, of which one may have been an earlier command
_SLOW = 0.8  # of the best rate of a matrix product: a machine that is held up now and then is between
_NUMBERS = "e.g. '2|40'; repeatable"

Specs = Annotated[
    list[str] | None,
    typer.Option("--posterior", metavar="SPEC", help="Instead of all families, e.g. 'planar:K=2|8'; repeatable."),
]
Modes = Annotated[
    list[str] | None,
    typer.Option("--mode", metavar="MODE", help=f"{', '.join(MODES)}; the profile's, else backward; repeatable."),
]
Versus = Annotated[
    list[str] | None,
    typer.Option(
        "--vs",
        metavar="NAME,...",
        help="Contenders beside nfbench, by name or group, e.g. peers,textbook; all of them where sizes are given.",
    ),
]


def time(
    *,
    profile: Annotated[
        str, typer.Option(help="Which cases, where no sizes are given: smoke, quick or full.")
    ] = "quick",
    posterior: Specs = None,
    mode: Modes = None,
    dims: Annotated[list[str] | None, typer.Option(help=f"D, latent dimensions, {_NUMBERS}.")] = None,
    depths: Annotated[list[str] | None, typer.Option(help=f"K, maps of a flow, {_NUMBERS}.")] = None,
    draws: Annotated[list[str] | None, typer.Option(help=f"S, draws for each data point, {_NUMBERS}.")] = None,
    batch: Annotated[list[str] | None, typer.Option(help=f"B, data points, {_NUMBERS}.")] = None,
    amortized: Annotated[bool, typer.Option("--amortized", help="Every data point has numbers of its own.")] = False,
    target: Annotated[str | None, typer.Option(metavar="SPEC", help="Of a timed training step; u1 if omitted.")] = None,
    seeds: Annotated[list[str] | None, typer.Option(help=f"E, models in a step, {_NUMBERS}.")] = None,
    vs: Versus = None,
    backend: Annotated[
        str | None, typer.Option(help="auto, reference, numba or triton; NFBENCH_BACKEND if omitted.")
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda or cuda:N.")] = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Of all numbers.")] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="Torch's; as torch sets them if omitted.")] = None,
    results: Results = Path("results"),
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="For another timing on this machine to end.")] = True,
) -> int:
    """Time flows and training steps beside other libraries, in turn; every case is measured anew.

    Without sizes the profile's cases are timed, with any of them the product of those given.
    """
    import torch

    from nfbench.foundation.environment import check_device
    from nfbench.foundation.settings import using_backend
    from nfbench.timing import plan as cases

    chosen = cases.profile(profile)
    options = {
        "dims": (dims, 1),
        "depths": (depths, 0),
        "draws": (draws, 0),
        "batches": (batch, 1),
        "seeds": (seeds, 1),
    }
    sizes = {name: _numbers(name, texts, least) for name, (texts, least) in options.items() if texts}
    modes = [_mode(text) for text in mode or ()]
    check_device(device)
    with using_backend(backend):
        where = cases.Where(profile, device, dtype, threads or torch.get_num_threads())
        if sizes or amortized or target:
            own = _own_sizes(sizes, modes, target, amortized=amortized)
            plan = cases.plan([own], where._replace(profile=cases.CUSTOM), specs=posterior, vs=vs or _everybody())
        else:
            plan = cases.plan(cases.narrowed(chosen.sizes, modes), where, specs=posterior, vs=vs)
        return _execute(plan, chosen.protocol, results, wait=wait)


def _own_sizes(sizes: dict[str, list[int]], modes: Sequence[Mode], target: str | None, *, amortized: bool) -> "Sizes":
    """A user's sizes: gradients, or steps where a target is named."""
    from nfbench.timing.plan import Sizes

    modes = list(modes) or ["step" if target else "backward"]
    target = target or ("u1" if "step" in modes else None)
    return Sizes.model_validate({"modes": modes, "amortized": amortized, "target": target, **sizes})


def _everybody() -> list[str]:
    from nfbench.timing.contenders.contract import contenders

    return list(contenders())


def _numbers(name: str, texts: Sequence[str], least: int) -> list[int]:
    """Sizes as written: ``2|40``, or one at a time.

    Raises:
        InputError: not a whole number, or one below `least`.
    """
    numbers = []
    for part in (part.strip() for text in texts for part in text.split("|")):
        if not part.isdecimal() or int(part) < least:
            raise InputError(f"{name} {part!r}: expected a whole number of at least {least}, or several: '2|40'")
        numbers.append(int(part))
    return list(dict.fromkeys(numbers))


def _mode(text: str) -> Mode:
    if text not in MODES:
        raise unknown("mode", text, MODES)
    return text


def _execute(plan: "Sequence[Planned]", protocol: "Protocol", results: Path, *, wait: bool) -> int:
    from nfbench.cli.time_table import short, table, title
    from nfbench.foundation.files import check_writable
    from nfbench.foundation.progress import Progress
    from nfbench.timing.lock import lane
    from nfbench.timing.run import run

    for folder in (results, results / TIMING):
        check_writable(folder)
    stored: list[Timing] = []
    try:
        with lane(wait=wait, say=say), Progress(len(plan), "all cases", animated=False) as progress:
            _warn_of_others()

            def done(timing: "Timing") -> None:
                stored.append(timing)
                cases = len({timing.case.model_dump_json() for timing in stored})
                progress.report(cases, f"{title(timing.case)}: {timing.contender} {short(timing)}")

            run(plan, results, protocol, note=progress.note, done=done)
    except KeyboardInterrupt:
        say(f"nfbench: interrupted: {len(stored)} timings are kept in {results}")
        return INTERRUPTED
    print("\n".join(table(stored)))
    counts = Counter(timing.status for timing in stored)
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{len(plan)} case{'s' * (len(plan) != 1)}: {said}; records in {results / TIMING}")
    _warn_of_a_slow_machine(results, {timing.id for timing in stored})
    return 1 if counts["failed"] else 0


def _warn_of_others() -> None:
    """Warn where other programs run on this machine: their share of the processor is part of every time."""
    from nfbench.timing.measure.machine import load

    others = load()
    if others > _BUSY:
        message = f"the machine is not idle (load average {others}): its other work is part of every time"
        warnings.warn(message, stacklevel=1)


def _warn_of_a_slow_machine(results: Path, ids: set[str]) -> None:
    """Warn of cases that were timed while the processor was slow, as when others use it or it is hot.

    A case counts as such where a matrix product ran at less than 0.8 of its best rate in the records of the folder.
    """
    from nfbench.analysis.timing_blocks import OURS, three_digits
    from nfbench.analysis.timings import timed
    from nfbench.records.results import StoredResults

    if not ids:
        return
    frame = timed(StoredResults(results))
    just = frame[(frame["source"] == "own") & frame["id"].isin(ids) & (frame["contender"] == OURS)]
    slow = just[just["pace"] < _SLOW]
    if len(slow):
        best = three_digits((slow["rate"] / slow["pace"]).max() / 1e9)
        message = (
            f"{len(slow)} of {len(just)} cases were timed while this machine multiplied matrices at "
            f"{100 * slow['pace'].min():.0f} % of its best rate in {results}, {best} Gflop/s: their times are long"
        )
        warnings.warn(message, stacklevel=1)
