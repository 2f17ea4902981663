"""Runs the battery: every check over several dimensions, failures made small, one report."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nfbench.foundation.checks import whole_number
from nfbench.foundation.errors import InputError, reason
from nfbench.specification.choices import Status
from nfbench.verification import checks
from nfbench.verification.check import CHECKS, STRICT, Check, Effort, Example, Outcome
from nfbench.verification.subject import Reference, Subject, literal
from nfbench.verification.subjects import Factory, subject
from nfbench.verification.time_limit import OutOfTime, TimeLimit

DIMS = (2, 5)  # D where none is said: the plane, and one in which a permutation is not its own inverse


@dataclass(frozen=True)
class Result:
    """What one check found of one subject.

    Attributes:
        check: the check.
        status: pass, fail, does not apply, reported or not decided.
        detail: a failure in numbers, why the check does not apply, or after how many seconds it was ended.
        code: lines to paste that show the smallest counterexample found; empty without one.
        seconds: the check took, search for a smaller counterexample included.
        size: of a failure in nats (`Outcome`); the counterexample's own may be smaller.
    """

    check: Check
    status: Status
    detail: str
    code: str
    seconds: float
    size: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What the battery found of one subject.

    Attributes:
        name: of the subject, as the user wrote it.
        depth: K.
        dims: the D at which it was checked.
        results: in the order of the battery.
    """

    name: str
    depth: int
    dims: tuple[int, ...]
    results: tuple[Result, ...] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether no check failed, and none was ended before it was decided."""
        return not (self.failures or self.undecided)

    @property
    def failures(self) -> dict[str, str]:
        """Name of each failed check -> its detail."""
        return {result.check.name: result.detail for result in self.results if result.status == "fail"}

    @property
    def undecided(self) -> tuple[str, ...]:
        """Name of each check that a limit of time ended, or left out."""
        return tuple(result.check.name for result in self.results if result.status == "not decided")

    def as_data(self) -> dict[str, Any]:
        """Give the verdict as plain data for JSON.

        Returns:
            Name, K, the D, whether it passed, and a row for each check.
        """
        rows = [
            {
                "check": result.check.name,
                "status": result.status,
                "detail": result.detail,
                "proves": result.check.proves,
                "tolerance": result.check.tolerance,
                "code": result.code,
                "seconds": round(result.seconds, 3),
            }
            for result in self.results
        ]
        return {"name": self.name, "K": self.depth, "dims": self.dims, "passed": self.passed, "checks": rows}

    def to_json(self) -> str:
        """Give the verdict as JSON.

        Returns:
            A text of several lines.
        """
        return json.dumps(self.as_data(), indent=1)

    @property
    def last_line(self) -> str:
        """The outcome in one line."""
        parts = [f"FAILED: {', '.join(self.failures)}"] if self.failures else []
        parts += [f"not decided: {', '.join(self.undecided)}"] if self.undecided else []
        return f"{self.name}: {'; '.join(parts) or 'passed'} ({sum(result.seconds for result in self.results):.1f} s)"

    def __str__(self) -> str:
        width = max(len(result.check.name) for result in self.results)
        dims = ", ".join(map(str, self.dims))
        lines = [f"{self.name}: D = {dims}" + (f", K = {self.depth}" if self.depth else "")]
        for result in self.results:
            word = {"does not apply": "-   ", "not decided": "?"}.get(result.status, result.status)
            said = f"does not apply because {result.detail}" if result.status == "does not apply" else result.detail
            if result.status == "fail":
                said = f"{said}\n{_indented(f'proves: {result.check.proves}')}\n{_indented(result.code)}"
            lines.append(f"  {word:<8} {result.check.name:<{width}}  {said}".rstrip())
        return "\n".join([*lines, self.last_line])


def _indented(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.splitlines())


def verify(
    named: str | Factory,
    dim: int | None = None,
    depth: int | None = None,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    strict: bool = False,
    seconds: float | None = None,
    reference: Reference | None = None,
    report: Callable[[Result], None] | None = None,
) -> Verdict:
    """Run the whole battery: `nfbench.verify`.

    Args:
        named: a spec, ``file.py:flow``, or a class or factory that takes ``(dim, depth)``.
        dim: D; None: 2 and 5, as far as the family can have them.
        depth: K in place of the spec's.
        dtype: precision of trainings, which is compared with float64.
        device: of torch.
        strict: look longer.
        seconds: after which the checks that are not decided are left so; None: without limit.
        reference: an oracle in plain Python.
        report: called with each result.

    Returns:
        The verdict.

    Raises:
        InputError: as `subject`.
    """
    dims = DIMS if dim is None else (dim,)
    for size in dims:
        whole_number("verify", "dim", size, 1)
    if depth is not None:
        whole_number("verify", "depth", depth, 0)
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"verify: seconds={seconds}: expected a positive number, or None")
    first = subject(named, dims[0], depth, dtype=dtype, device=device, reference=reference)
    sizes = [dims[0], *filter(first.can_have, dims[1:])]
    return battery(first, sizes, effort=STRICT if strict else None, seconds=seconds, report=report)


def battery(
    subject: Subject,
    dims: Sequence[int] = DIMS,
    *,
    effort: Effort | None = None,
    only: Sequence[str] | None = None,
    seconds: float | None = None,
    report: Callable[[Result], None] | None = None,
) -> Verdict:
    """Run the checks.

    Args:
        subject: at any D.
        dims: each D at which to check; those that the family refuses are an error.
        effort: how long to look for counterexamples; None: as long as a user waits.
        only: names of checks; None: all.
        seconds: after which the checks that are not decided are left so; None: without limit.
        report: called with each result.

    Returns:
        The verdict.
    """
    assert checks.__all__  # the import fills the list of checks
    results, limit = [], TimeLimit(seconds)
    for check in CHECKS:
        if only is None or check.name in only:
            results.append(_run(check, subject, dims, effort or Effort(), limit))
            if report is not None:
                report(results[-1])
    return Verdict(subject.name, subject.depth, tuple(dims), tuple(results))


def _run(check: Check, subject: Subject, dims: Sequence[int], effort: Effort, limit: TimeLimit) -> Result:
    """Run one check at each D; of a failure, the one of the smallest size."""
    begin = time.perf_counter()
    at = subject
    try:
        with limit.enforced():
            at, outcome = _first_failure(check, subject, dims, effort)
    except OutOfTime:
        outcome = Outcome("not decided", f"not decided within {limit.seconds:g} s")
    size = outcome.size
    if outcome.status == "fail":
        with contextlib.suppress(OutOfTime), limit.enforced():
            at, outcome = _smaller(check, at, outcome, effort)
    code = "" if outcome.example is None else paste(at, outcome.example)
    return Result(check, outcome.status, outcome.detail, code, time.perf_counter() - begin, size)


def _first_failure(check: Check, subject: Subject, dims: Sequence[int], effort: Effort) -> tuple[Subject, Outcome]:
    """What a check finds at the D where it fails first, or at the last one, and the subject at that D."""
    fitting = [dim for dim in dims if check.largest_dim is None or dim <= check.largest_dim][
        : 1 if check.once else None
    ]
    outcome = Outcome("does not apply", f"D is larger than {check.largest_dim}")
    at = subject
    find = cache(lambda dim: _find(check, subject.at(dim=dim), effort))
    if check.also_dim is not None and fitting and find(fitting[0]).status == "pass":
        fitting += [check.also_dim] * subject.can_have(check.also_dim)
    for dim in fitting:
        at, outcome = subject.at(dim=dim), find(dim)
        if outcome.status in ("fail", "does not apply"):
            break
    return at, outcome


def _find(check: Check, subject: Subject, effort: Effort) -> Outcome:
    """What a check finds; an error in the subject's code is a failure."""
    try:
        return check.find(subject, effort)
    except NotImplementedError as error:
        return Outcome("does not apply", f"the family does not implement it: {reason(error)}")
    except Exception as error:
        return Outcome("fail", f"it ends with {reason(error)}", Example("trained-like", 0, None, ("# any call",)))


def _smaller(check: Check, subject: Subject, outcome: Outcome, effort: Effort) -> tuple[Subject, Outcome]:
    """The same failure with fewer maps, where there is one."""
    for depth in sorted({1, 2, subject.depth}) if subject.has_depth else ():
        if depth < subject.depth:
            at = subject.at(depth=depth)
            less = _find(check, at, effort)
            if less.status == "fail" and less.example is not None:
                return at, less
    return subject, outcome


def paste(subject: Subject, example: Example) -> str:
    """The code that shows a counterexample.

    Args:
        subject: at the size of the counterexample.
        example: what to show.

    Returns:
        Lines of Python.
    """
    lines = ["import torch", *subject.code(subject.dim, subject.depth), *example.imports]
    if example.state != "start":
        lines.append("from nfbench.verification.subject import set_parameters")
        lines.append(f'set_parameters(q, "{example.state}", seed={example.seed})')
    if not subject.build().has_density:
        lines.append("from nfbench.posteriors.following import follow")
        lines.append("from nfbench.targets.densities.conjugate import log_evidence, log_joint")
        lines.append("q = follow(q, log_joint)")
    if example.noise is not None:
        lines.append(f"noise = {literal(example.noise)}")
    return "\n".join([*lines, *example.lines])
