"""Who is timed: nfbench itself and whatever else does the same work; dropping a file here adds a contender."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

import nfbench.timing.contenders
from nfbench.foundation.names import unknown
from nfbench.foundation.randomness import stream
from nfbench.posteriors.build import posterior
from nfbench.records.timings import Case


class Inputs(NamedTuple):
    """What every contender is given, in float64 on the CPU; each casts and moves it once, outside the clock.

    Attributes:
        noise: (S, B, N) standard normal.
        state: parameters and buffers of nfbench's own posterior, by its names; peers map them to theirs.
        to_z: (S, B, D), to_log_q: (S, B): the gradient that comes back; the loss is sum(z to_z) + sum(ln q to_log_q).
        points: (S, B, D) where ln q is asked for by ``inverse``.
    """

    noise: Tensor
    state: Mapping[str, Tensor]
    to_z: Tensor
    to_log_q: Tensor
    points: Tensor


class Work(NamedTuple):
    """A contender made ready for one case.

    Attributes:
        run: one repetition of the case's mode: what the clock sees.
        outcome: what one repetition computes: ``z`` and ``log_q``, for ``backward`` also ``grad.NAME`` for the names
            of the state whose gradient it can give; for ``inverse`` ``log_q`` alone; for ``step`` ``loss`` and the
            gradients of model 0 at its start, with the inputs' noise.
        models: of the case's E models, how many one repetition of a step trains.
    """

    run: Callable[[], object]
    outcome: Callable[[], dict[str, Tensor]]
    models: int = 1


@dataclass(frozen=True)
class Contender:
    """A way to do the work.

    Attributes:
        build: ``(case, inputs) -> Work``; None where it has no such map or mode.
        distributions: the installed packages whose versions belong into the record.
        group: by which ``--vs`` asks for it.
    """

    name: str
    label: str
    build: Callable[[Case, Inputs], Work | None]
    distributions: tuple[str, ...] = ("torch",)
    group: str = ""

    def work(self, case: Case, inputs: Inputs) -> Work | None:
        """What `build` makes, or for a training step what `STEPS` has under this name; None where there is none."""
        build = STEPS.get(self.name) if case.mode == "step" else self.build
        return None if build is None else build(case, inputs)


CONTENDERS: dict[str, Contender] = {}
STEPS: dict[str, Callable[[Case, Inputs], Work | None]] = {}  # training steps, by the name of a contender


def register(contender: Contender) -> Contender:
    """Make a contender known.

    Raises:
        ValueError: the name is taken.
    """
    if contender.name in CONTENDERS:
        raise ValueError(f"contender {contender.name!r} is registered twice")
    CONTENDERS[contender.name] = contender
    return contender


BASE = "nfbench"  # whose time all ratios are against
PEERS = "peers"  # the group of other people's libraries


def contenders() -> dict[str, Contender]:
    """All contenders, nfbench first and peers last: every module of this package registers its own."""
    for module in pkgutil.walk_packages(nfbench.timing.contenders.__path__, f"{nfbench.timing.contenders.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(CONTENDERS.items(), key=lambda one: (one[0] != BASE, one[1].group == PEERS)))


def versus(words: Sequence[str]) -> list[str]:
    """The names of contenders that words stand for, nfbench always among them.

    Args:
        words: names or groups of contenders, several in one word with commas between them.

    Raises:
        InputError: neither the name nor the group of a contender.
    """
    known = contenders()
    groups = {one.group for one in known.values() if one.group}
    asked = {part.strip() for word in words for part in word.split(",")}
    for part in sorted(asked - groups - set(known)):
        raise unknown("contender or group", part, dict.fromkeys([*known, *sorted(groups)]))
    return [name for name, one in known.items() if name == BASE or asked & {name, one.group}]


def inputs(case: Case) -> Inputs:
    """The case's inputs, the same in every process: the family's start, moved by noise so that nothing is special."""
    q = posterior(case.posterior, case.dim, points=case.batch if case.amortized else 1, dtype=torch.float64)
    generator = stream(0, "timing")
    state = {
        name: value + 0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
        if name in dict(q.named_parameters())
        else value
        for name, value in q.state_dict().items()
    }
    shape = (case.draws, case.batch)
    noise, points, to_z = (
        torch.randn(*shape, size, generator=generator, dtype=torch.float64) for size in (q.noise_dim, q.dim, q.dim)
    )
    return Inputs(noise, state, to_z, torch.randn(shape, generator=generator, dtype=torch.float64), points)
