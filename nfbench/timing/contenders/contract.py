"""Who is timed: nfbench itself and whatever else does the same work; a file in this folder adds a contender."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.names import unknown
from nfbench.foundation.randomness import stream
from nfbench.posteriors.build import posterior
from nfbench.records.timings import Case
from nfbench.specification.named import Named


class Inputs(NamedTuple):
    """What every contender is given, in float64 on the CPU; each casts and moves it once, outside the clock.

    Attributes:
        noise: (S, B, N) standard normal.
        state: parameters and buffers of nfbench's own posterior, by its names; peers map them to theirs.
        to_z: (S, B, D), the gradient that comes back to z: the loss is sum(z to_z) + sum(ln q to_log_q).
        to_log_q: (S, B), that which comes back to ln q.
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


Build = Callable[[Case, Inputs], Work | None]


@dataclass(frozen=True)
class Contender:
    """A way to do the work.

    Attributes:
        name: by which ``--vs`` asks for it, and records keep it.
        label: for people.
        build: ``(case, inputs) -> Work`` of every mode but ``step``; None in its place, or given back by it: it cannot
            do the case.
        distributions: the installed packages whose versions belong into the record.
        group: several contenders by one word of ``--vs``.
        step: ``(case, inputs) -> Work`` of a training step; None likewise.
    """

    name: str
    label: str
    build: Build | None
    distributions: tuple[str, ...] = ("torch",)
    group: str = ""
    step: Build | None = None

    @property
    def made_by(self) -> Callable[..., Any]:
        """The function by whose module and name a repeated registration is known."""
        return self.build or self.step or type(self)

    def work(self, case: Case, inputs: Inputs) -> Work | None:
        """Make ready what the clock will see of a case; None where this contender has no such map or mode.

        Args:
            case: what is timed.
            inputs: the same for every contender.

        Returns:
            What the clock runs and what is compared; None where there is no such form.
        """
        build = self.step if case.mode == "step" else self.build
        return None if build is None else build(case, inputs)


CONTENDERS: Named[Contender] = Named("contender", ("nfbench.timing.contenders", "nfbench.timing.contenders.libraries"))
register = CONTENDERS.add
BASE = "nfbench"  # whose time all ratios are against
PEERS = "peers"  # the group of other people's libraries


def contenders() -> dict[str, Contender]:
    """All contenders by name: nfbench first, other people's libraries last, else in the order of registration.

    Returns:
        A new dictionary.
    """
    ordered = sorted(CONTENDERS.in_order(), key=lambda entry: (entry.name != BASE, entry.group == PEERS))
    return {entry.name: entry for entry in ordered}


def versus(words: Sequence[str]) -> list[str]:
    """The names of contenders that words stand for, nfbench always among them.

    Args:
        words: names or groups of contenders, several in one word with commas between them.

    Returns:
        In the order of `contenders`.

    Raises:
        InputError: neither the name nor the group of a contender.
    """
    known = contenders()
    groups = {contender.group for contender in known.values() if contender.group}
    asked = {part.strip() for word in words for part in word.split(",")}
    for part in sorted(asked - groups - set(known)):
        raise unknown("contender or group", part, dict.fromkeys([*known, *sorted(groups)]))
    return [name for name, entry in known.items() if name == BASE or asked & {name, entry.group}]


def inputs(case: Case) -> Inputs:
    """The case's inputs, the same in every process: the family's start, moved by noise so that nothing is special.

    Args:
        case: what is timed.

    Returns:
        In float64 on the CPU.
    """
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
