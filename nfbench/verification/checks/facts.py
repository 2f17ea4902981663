"""Checks of what a family declares of itself, and how it starts."""

import torch
from torch import Tensor

from nfbench.verification.check import PASS, Effort, Outcome, check, fails, skips
from nfbench.verification.maps import base_of, chain_of, draws_of, jacobians, local
from nfbench.verification.subject import STATES, Subject, integration_error

ZERO = 1e-10  # relative to the largest entry of a Jacobian


@check(
    "volume preserving",
    proves="a family that says it preserves volume does: ln|det| of its maps by autograd is 0 at all parameters",
    tolerance="1e-9, and 100 machine epsilons of float64 times the Jacobian's condition number",
)
def _volume_preserving(subject: Subject, effort: Effort) -> Outcome:
    if not subject.facts(subject.depth).get("volume_preserving"):
        return skips("the family does not say that it preserves volume")
    for state in STATES:
        q = subject.build(state)
        base = base_of(q)
        if base is None:
            return skips("the family is no flow with a base of its own")
        noise = subject.noise(q, effort.points)
        at = local(chain_of(base), noise)
        over = at.regular & ~(at.log_det.abs() <= 1e-9 + at.rounding)
        if over.any():
            index = int(over.nonzero()[0])
            lines = (
                "_, theta = q.source(None)",
                "jacobian = torch.autograd.functional.jacobian(lambda z: q.flow(z, theta)[0].flatten(), noise)",
                "print(jacobian.reshape(q.dim, q.dim).det())  # expected: 1 or -1",
            )
            detail = f"ln|det| of the maps is {float(at.log_det[index]):.6g}"
            return fails(detail, state, 0, noise[index : index + 1], *lines)
    return PASS


@check(
    "linear",
    proves="a family that says its z is an affine function of the noise has one Jacobian at all points",
    tolerance="1e-10 of the largest entry",
)
def _linear(subject: Subject, effort: Effort) -> Outcome:
    if not subject.facts(subject.depth).get("linear"):
        return skips("the family does not say that it is linear")
    for state in STATES:
        q = subject.build(state)
        noise = subject.noise(q, effort.points, scale=3.0)
        matrices = jacobians(draws_of(q), noise)
        away = (matrices - matrices[0]).abs().amax((-1, -2))
        over = ~(away <= ZERO * (1 + matrices[0].abs().max()))
        if over.any():
            index = int(over.nonzero()[0])
            lines = (
                "for point in noise:",
                "    print(torch.autograd.functional.jacobian(lambda e: q(e[None, None])[0].flatten(), point[0]))",
                "# expected: the same twice",
            )
            detail = f"the Jacobian differs by {float(away[index]):.6g} between two points"
            return fails(detail, state, 0, torch.stack([noise[0], noise[index]]), *lines)
    return PASS


@check(
    "autoregressive",
    proves="a family that says it is autoregressive has maps (K = 1) with a triangular Jacobian, in some order of rows "
    "and columns",
    tolerance="entries below 1e-10 of the largest count as 0",
)
def _autoregressive(subject: Subject, effort: Effort) -> Outcome:
    if not subject.facts(subject.depth).get("autoregressive"):
        return skips("the family does not say that it is autoregressive")
    for state in STATES[1:]:
        q = (subject.at(depth=1) if subject.has_depth else subject).build(state)
        noise = subject.noise(q, effort.points)
        sizes = jacobians(draws_of(q), noise).abs().amax(0)
        if not _triangular(sizes > ZERO * sizes.max()):
            lines = (
                "jacobian = torch.autograd.functional.jacobian(lambda noise: q(noise)[0].flatten(), noise)",
                "print(jacobian.reshape(q.dim, q.dim))  # expected: triangular in some order",
            )
            return fails("the Jacobian of one map is not triangular in any order", state, 0, noise[:1], *lines)
    return PASS


def _triangular(entries: Tensor) -> bool:
    """Whether rows and columns of a pattern (D, D) can be reordered so that it is lower triangular.

    >>> _triangular(torch.tensor([[True, True], [True, False]])), _triangular(torch.ones(2, 2, dtype=torch.bool))
    (True, False)
    """
    while len(entries):
        single = (entries.sum(1) <= 1).nonzero()
        if not len(single):
            return False
        row = int(single[0])
        column = int(entries[row].to(torch.uint8).argmax())
        rows, columns = (torch.arange(len(entries)) != index for index in (row, column))
        entries = entries[rows][:, columns]
    return True


@check(
    "start",
    proves="how near the identity the chain starts: the ratio of the draws' standard deviation to the base's",
    tolerance="reported, not failed",
)
def _start(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build()
    if base_of(q) is None:
        return skips("the family is no flow with a base of its own")
    noise = subject.noise(q, 10_000, seed=11)
    z = q(noise)[0].detach()
    ratio, moved = z.std(0) / noise.std(0), (z - noise).abs().mean()
    error = integration_error(q)
    numerical = f"; integrates numerically, error {error:g}" if error else ""
    low, high = float(ratio.min()), float(ratio.max())
    return Outcome(
        "reported", f"standard deviations x {low:.3g} to {high:.3g}, draws moved by {float(moved):.3g}{numerical}"
    )
