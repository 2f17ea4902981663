"""Checks of ln|det|, ln q along draws, and the density at points."""

import math
import sys
from dataclasses import replace

import torch
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.posteriors.contract import Posterior
from nfbench.verification.check import PASS, Effort, Outcome, check, fails, simplest, skips
from nfbench.verification.maps import Local, base_of, draws_of, is_auxiliary, local, number
from nfbench.verification.subject import State, Subject, integration_error, parameters

_JACOBIAN = (
    "jacobian = torch.autograd.functional.jacobian(lambda noise: q(noise)[0].flatten(), noise).squeeze()",
    "log_det = jacobian.reshape(q.dim, q.dim).det().abs().log()",
)


def square(subject: Subject, q: Posterior) -> str | None:
    """Why the map from noise to z has no determinant, if it has none.

    Args:
        subject: the family.
        q: its posterior.

    Returns:
        A reason, or None where N = D and ln q is a density of the draws.
    """
    if is_auxiliary(q):
        return "its ln q is that of auxiliary variables too"
    if q.noise_dim != subject.dim:
        return f"a draw takes N = {q.noise_dim} numbers of noise for D = {subject.dim}: there is no square Jacobian"
    return None


@check(
    "ln|det|",
    proves="ln|det| of the maps, and ln q with its constants, are those of the map that is computed, at the start, at "
    "parameters like trained ones and at wild ones",
    tolerance="1e-8 (1 + |ln|det||), and 100 machine epsilons of float64 times the Jacobian's condition number: what "
    "rounding can do in a chain; the declared integration error where there is one",
)
def _log_det(subject: Subject, effort: Effort) -> Outcome:
    reason = square(subject, subject.build())
    if reason:
        return skips(reason)
    first, size = PASS, 0.0
    for state, seed in parameters(subject.build(), effort.seeds):
        q = subject.build(state, seed)
        error = integration_error(q)

        def excess(noise: Tensor, q: Posterior = q, error: float = error) -> Tensor:
            at = local(draws_of(q), noise)
            expected = standard_normal_log_prob(noise)[:, 0] - at.log_det
            worst = (q(noise)[1][:, 0].detach() - expected).abs()
            if (base := base_of(q)) is not None:
                z, claimed = base.flow(base.points(noise), base.theta)
                of_maps = at.log_det - base.log_sigma.sum()
                worst = torch.maximum(worst, (claimed[:, 0] - of_maps).abs().detach())
                moved = (z - q(noise)[0]).abs().amax(-1)[:, 0].detach()
                worst = torch.maximum(worst, torch.where(moved > _far(z), torch.inf, 0.0))
            allowed = 1e-8 * (1 + at.log_det.abs()) + at.rounding + error
            return torch.where(at.regular, worst.nan_to_num(nan=math.inf) - allowed, -1.0)

        noise = subject.noise(q, effort.points, seed=seed)
        over = excess(noise)
        if (over > 0).any():
            if first is PASS:
                first = _wrong_log_det(q, simplest(noise, excess), state, seed, error)
            if state in ("start", "trained-like"):
                size = max(size, min(number(over.max()), sys.float_info.max))
    return replace(first, size=size) if first is not PASS else PASS


def _far(z: Tensor) -> Tensor:
    """By how much z of `draw` and z of `forward` may differ, (S,)."""
    return 1e-9 * (1 + z.detach().abs().amax(-1)[:, 0])


def _wrong_log_det(q: Posterior, point: Tensor, state: State, seed: int, error: float) -> Outcome:
    at: Local = local(draws_of(q), point)
    expected = number(standard_normal_log_prob(point) - at.log_det)
    actual = number(q(point)[1])
    if not abs(actual - expected) <= 1e-8 * (1 + abs(expected)) + float(at.rounding) + error:
        lines = (
            *_JACOBIAN,
            f"print(q(noise)[1].item())  # {actual:.10g}",
            "expected = torch.distributions.Normal(0, 1).log_prob(noise).sum() - log_det",
            f"print(expected.item())  # {expected:.10g}",
        )
        return fails(f"ln q = {actual:.10g}, by autograd {expected:.10g}", state, seed, point, *lines)
    base = base_of(q)
    assert base is not None
    claimed, true = number(base.flow(base.points(point), base.theta)[1]), number(at.log_det - base.log_sigma.sum())
    lines = (
        "base, theta = q.source(None)",
        "mean, log_sigma = base.chunk(2, -1)",
        "z, log_det = q.flow(mean + log_sigma.exp() * noise, theta)",
        f"print(log_det.item())  # {claimed:.10g}; by autograd {true:.10g}",
        "print(z, q(noise)[0])  # expected: the same",
    )
    return fails(f"ln|det| of the maps = {claimed:.10g}, by autograd {true:.10g}", state, seed, point, *lines)


@check(
    "density at draws",
    proves="`log_prob` at a draw is the ln q that came with the draw",
    tolerance="1e-7 (1 + |ln q|), and 10,000 times what rounding moves the noise by; the declared integration error",
)
def _density(subject: Subject, effort: Effort) -> Outcome:
    if not subject.build().has_density:
        return skips("it has no density at points")
    for state, seed in parameters(subject.build(), effort.seeds):
        q = subject.build(state, seed)
        error = integration_error(q)

        def excess(noise: Tensor, q: Posterior = q, error: float = error) -> Tensor:
            z, log_q = (value.detach() for value in q(noise))
            allowed = 1e-7 * (1 + log_q.abs()[:, 0]) + error
            regular = torch.ones_like(allowed, dtype=torch.bool)
            if q.noise_dim == q.dim:
                at = local(draws_of(q), noise)
                allowed, regular = allowed + 1e4 * at.rounding, at.regular
            difference = (q.log_prob(z) - log_q).abs()[:, 0].detach()
            return torch.where(regular, difference.nan_to_num(nan=math.inf) - allowed, -1.0)

        noise = subject.noise(q, effort.points, seed=seed)
        if (excess(noise) > 0).any():
            point = simplest(noise, excess)
            z, log_q = q(point)
            detail = f"log_prob = {number(q.log_prob(z)):.10g} at a draw with ln q = {number(log_q):.10g}"
            lines = "z, log_q = q(noise)", "print(q.log_prob(z).item(), log_q.item())  # expected: the same"
            return fails(detail, state, seed, point, *lines)
    return PASS


@check(
    "reference",
    proves="the map is the published one: it agrees with an oracle in plain Python that the family, or the call, "
    "declares",
    tolerance="1e-9 relative: float64 in another order",
)
def _reference(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build()
    oracle = subject.reference or getattr(getattr(q, "flow", q), "reference", None)
    if oracle is None:
        return skips("no reference is declared")
    for state, seed in parameters(q, effort.seeds):
        q = subject.build(state, seed)
        noise = subject.noise(q, 10, seed=seed)
        base = base_of(q)
        if base is not None:
            start, theta, state_dict = base.points(noise), base.theta, base.flow.state_dict()
            z, value = base.flow(start, theta)
        else:
            start, theta, state_dict = noise, noise.new_zeros(1, 0), q.state_dict()
            z, value = q(noise)
        weights = {name: tensor.tolist() for name, tensor in state_dict.items()}
        for draw in range(len(noise)):
            expected_z, expected = oracle(start[draw, 0].tolist(), theta[0].tolist(), weights)
            ours = [*z[draw, 0].tolist(), number(value[draw, 0])]
            theirs = [*expected_z, expected]
            if not all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(ours, theirs, strict=True)):
                detail = f"z and ln|det| or ln q {_short(ours)}: by the reference {_short(theirs)}"
                lines = "print(q(noise))", f"# by the reference: {_short(theirs)}"
                return fails(detail, state, seed, noise[draw : draw + 1], *lines)
    return PASS


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
