"""What a check is, what it may find, and the one list of all checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.specification.choices import Status
from nfbench.verification.subject import State, Subject


class Effort(NamedTuple):
    """How long a check may look for a counterexample.

    The default kills every mutant of tests/verification; a strict look has more parameters, points and draws.

    Attributes:
        seeds: draws of the parameters in each state.
        points: noise points at which a map is differentiated.
        draws: of a Monte-Carlo mean.
        steps: of a search by gradients.
    """

    seeds: int = 2
    points: int = 40
    draws: int = 20_000
    steps: int = 40


STRICT = Effort(seeds=4, points=100, draws=60_000, steps=60)


@dataclass(frozen=True)
class Example:
    """A counterexample: parameters, a point, and the lines of code that show what is wrong there.

    Attributes:
        state: of the parameters.
        seed: of the parameters.
        noise: (S, B, N), the point or points; None where none is needed.
        lines: code that uses the posterior ``q`` and, where there is a point, ``noise``.
        imports: lines that come before.
    """

    state: State
    seed: int
    noise: Tensor | None
    lines: tuple[str, ...]
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        status: pass, fail, does not apply, reported where nothing is asked for, or not decided within a limit of time.
        detail: a failure in numbers, the reason why the check does not apply, what is reported, or the limit.
        example: the counterexample of a failure.
        size: of a failure in nats, the largest at the start and at parameters like trained ones; None: not measured.
    """

    status: Status
    detail: str = ""
    example: Example | None = None
    size: float | None = None


PASS = Outcome("pass")
Find = Callable[[Subject, Effort], Outcome]


@dataclass(frozen=True)
class Check:
    """One check of the battery.

    Attributes:
        name: in the report.
        proves: one sentence on what holds if it passes.
        tolerance: how much is allowed, and where that comes from.
        find: looks for a counterexample.
        largest_dim: D above which the check does not apply; None: no limit.
        also_dim: a D at which it is run as well, where the family can have it; None: no other.
        once: whether it is run at the first D only, because it is long.
    """

    name: str
    proves: str
    tolerance: str
    find: Find
    largest_dim: int | None = None
    also_dim: int | None = None
    once: bool = False


CHECKS: list[Check] = []


def check(
    name: str,
    *,
    proves: str,
    tolerance: str,
    largest_dim: int | None = None,
    also_dim: int | None = None,
    once: bool = False,
) -> Callable[[Find], Find]:
    """Decorate a function that looks for a counterexample, so that it becomes part of the battery.

    Args:
        name: in the report.
        proves: one sentence on what holds if it passes.
        tolerance: how much is allowed, and where that comes from.
        largest_dim: D above which the check does not apply; None: no limit.
        also_dim: a D at which it is run as well; None: no other.
        once: whether it is run at the first D only.

    Returns:
        A decorator that gives the function back as it is.
    """

    def decorate(find: Find) -> Find:
        CHECKS.append(Check(name, proves, tolerance, find, largest_dim, also_dim, once))
        return find

    return decorate


def fails(
    detail: str, state: State, seed: int, noise: Tensor | None, *lines: str, imports: tuple[str, ...] = ()
) -> Outcome:
    """A failure with its counterexample.

    Args:
        detail: the failure in numbers.
        state: of the parameters.
        seed: of the parameters.
        noise: (S, B, N), the point or points; None where none is needed.
        lines: code that uses ``q`` and ``noise`` and shows the failure.
        imports: lines that come before it.

    Returns:
        The outcome.
    """
    return Outcome("fail", detail, Example(state, seed, noise, lines, imports))


def skips(reason: str) -> Outcome:
    """A check that does not apply.

    Args:
        reason: goes on after "does not apply because".

    Returns:
        The outcome.
    """
    return Outcome("does not apply", reason)


def simplest(points: Tensor, excess: Callable[[Tensor], Tensor]) -> Tensor:
    """Of the points at which something is wrong, a small one with few digits.

    Args:
        points: (S, 1, N), at one of which at least `excess` is positive.
        excess: points (S, 1, N) -> (S,), by how much each violates what is checked.

    Returns:
        One point (1, 1, N).
    """
    bad = points[~(excess(points) <= 0)]
    point = bad[bad.flatten(1).norm(dim=1).argmin()].unsqueeze(0)
    candidates = [
        torch.zeros_like(point),
        torch.ones_like(point),
        *((point * 10**digits).round() / 10**digits for digits in range(4)),
    ]
    return next((candidate for candidate in candidates if not float(excess(candidate)) <= 0), point)
