"""Checks of integrals: q has mass one, its image is all of R^D, its gradients are those of its expectations."""

import math
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.posteriors.contract import Posterior
from nfbench.targets.densities import conjugate
from nfbench.verification.check import PASS, Effort, Outcome, check, fails, skips
from nfbench.verification.maps import base_of, is_auxiliary
from nfbench.verification.subject import STATES, Subject, parameters

ERRORS = 5  # standard errors that a mean may be off
ROUGH = 0.05  # a standard error above which a mean of ratios proves nothing
CELLS = (60, 120, 240, 480)  # along each axis, until two rules agree
FEWEST = 100_000  # draws for the bound of auxiliary variables in more than two dimensions, where ratios vary more
BLOCKS = 32  # of draws, for standard errors of gradients
CHUNK = 2**16  # points at a time


@check(
    "integral of q",
    proves="the integral of the density at points is 1: ln q has its constants, and no region counts twice",
    tolerance="0.005: two midpoint rules agree to 0.001, and the draws that the box misses",
    largest_dim=2,
)
def _mass(subject: Subject, effort: Effort) -> Outcome:
    if not subject.build().has_density:
        return skips("it has no density at points")
    for state in STATES[:2]:
        q = subject.build(state)
        with torch.no_grad():
            z = q(subject.noise(q, 10_000, seed=5))[0][:, 0]
            middle, spread = z.mean(0), z.std(0)
            lower, upper = (
                torch.stack([z.amin(0), middle - 6 * spread]).amin(0) - spread,
                torch.stack([z.amax(0), middle + 6 * spread]).amax(0) + spread,
            )
            totals: list[float] = []
            for cells in CELLS:
                totals.append(_midpoint(q, lower, upper, cells))
                if not math.isfinite(totals[-1]) or (len(totals) > 1 and abs(totals[-1] - totals[-2]) < 1e-3):
                    break
            else:
                if abs(totals[-1] - totals[-2]) > 0.01:
                    continue  # too rough for a grid: nothing is proved here
        if not abs(totals[-1] - 1) <= 5e-3:
            axis = f"torch.linspace({float(lower.min()):.4g}, {float(upper.max()):.4g}, 801, dtype=torch.float64)"
            lines = (
                f"axis = {axis}",
                f"z = torch.cartesian_prod(*[axis] * {subject.dim}).reshape(-1, 1, {subject.dim})",
                f"print(q.log_prob(z).exp().sum() * (axis[1] - axis[0]) ** {subject.dim})  # expected: 1",
            )
            return fails(f"the integral of exp(log_prob) is {totals[-1]:.5g}", state, 0, None, *lines)
    return PASS


def _midpoint(q: Posterior, lower: Tensor, upper: Tensor, cells: int) -> float:
    steps = (upper - lower) / cells
    middles = torch.arange(cells, dtype=lower.dtype, device=lower.device) + 0.5
    axes = [low + step * middles for low, step in zip(lower, steps, strict=True)]
    points = torch.cartesian_prod(*axes).reshape(-1, 1, len(axes))
    return sum(float(q.log_prob(part).exp().sum()) for part in torch.split(points, CHUNK)) * float(steps.prod())


@check(
    "E_q[p/q] = 1",
    proves="q has no hole and nothing twice, and its image is all of R^D: E_q[p/q] = 1 for a heavy-tailed p (Student-t "
    "with 5 degrees of freedom), by draws whose noise is heavy-tailed too where the family is a flow",
    tolerance="5 standard errors; where they are above 0.05, only a mean above 1 counts",
)
def _image(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build()
    if is_auxiliary(q):
        return skips("its ln q is that of auxiliary variables too")
    heavy, conclusive = base_of(q) is not None, False
    for state, seed in parameters(q, effort.seeds, STATES[:2]):
        q = subject.build(state, seed)
        with torch.no_grad():
            draws = q(subject.noise(q, 2000, seed=6))[0][:, 0]
            middle, spread = draws.median(0).values, draws.std(0)
            normal = subject.noise(q, effort.draws, seed=7 + seed)
            noise, log_r = (
                _heavy(subject, q, normal, seed) if heavy else (normal, standard_normal_log_prob(normal)[:, 0])
            )
            parts = torch.split(noise, CHUNK // 4)
            z, log_q = (torch.cat(values) for values in zip(*(q(part) for part in parts), strict=True))
            log_p = _student(z[:, 0], middle, 1.5 * spread) if heavy else _normal(z[:, 0], middle, 0.6 * spread)
            ratio = (log_p - log_q[:, 0] + standard_normal_log_prob(noise)[:, 0] - log_r).exp()
        mean, error = _mean(ratio)
        conclusive |= error <= ROUGH
        if _is_off(mean, error):
            scale = (1.5 if heavy else 0.6) * spread
            return fails(
                f"E_q[p/q] = {mean:.4g} +- {error:.2g}", state, seed, None, *_ratio(middle, scale, heavy=heavy)
            )
    return PASS


def _mean(ratio: Tensor) -> tuple[float, float]:
    """Mean and standard error of ratios (S,)."""
    return float(ratio.mean()), float(ratio.std()) / math.sqrt(len(ratio))


def _is_off(mean: float, error: float) -> bool:
    """Whether a mean of ratios is not 1; a rough one must be above 1, as rare large ratios make it too small."""
    if not math.isfinite(mean):
        return True
    return abs(mean - 1) > ERRORS * error + 1e-9 and (error <= ROUGH or mean > 1)


def _ratio(middle: Tensor, scale: Tensor, *, heavy: bool) -> tuple[str, ...]:
    """Lines that estimate E_q[p/q] anew."""
    law = "StudentT(3.0, 0.0, 1.5)" if heavy else "Normal(0.0, 1.0)"
    p = "StudentT(5.0, middle, scale)" if heavy else "Normal(middle, scale)"
    return (
        "from torch.distributions import Normal, StudentT",
        f"middle, scale = torch.tensor({middle.tolist()}).double(), torch.tensor({scale.tolist()}).double()",
        f"law, p = {law}, {p}",
        "noise = law.sample((100_000, 1, q.noise_dim)).double()",
        "z, log_q = q(noise)",
        "log_law = law.log_prob(noise).sum(-1) - Normal(0.0, 1.0).log_prob(noise).sum(-1)",
        "print((p.log_prob(z).sum(-1) - log_q - log_law).exp().mean())  # expected: 1",
    )


def _heavy(subject: Subject, q: Posterior, normal: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Noise (S, 1, N) of Student-t distributions with 3 degrees of freedom and scale 1.5, and its log-density (S,)."""
    squares = sum(subject.noise(q, len(normal), seed=100 * (seed + 1) + part).square() for part in range(3))
    noise = 1.5 * normal * (3 / torch.as_tensor(squares)).sqrt()
    zero = torch.zeros(q.noise_dim, dtype=noise.dtype, device=noise.device)
    return noise, _student(noise[:, 0], zero, zero + 1.5, 3.0)


def _student(z: Tensor, middle: Tensor, scale: Tensor, degrees: float = 5.0) -> Tensor:
    """Log-density (S,) of a product of Student-t distributions at z (S, D)."""
    student: Any = torch.distributions.StudentT(degrees, middle, scale, validate_args=False)
    value: Tensor = student.log_prob(z).sum(-1)
    return value


def _normal(z: Tensor, middle: Tensor, scale: Tensor) -> Tensor:
    """Log-density (S,) of a product of normal distributions at z (S, D)."""
    value: Tensor = standard_normal_log_prob((z - middle) / scale) - scale.log().sum()
    return value


@check(
    "gradients of means",
    proves="the gradient of E_q[h(z)] through the draws is that by the score E_q[h(z) grad ln q(z)]: every parameter "
    "moves the draws as it moves the density",
    tolerance="7 standard errors of the difference over 24 blocks of draws, along the direction of 8 other blocks",
    once=True,
)
def _pathwise(subject: Subject, effort: Effort) -> Outcome:
    if not subject.build().has_density:
        return skips("it has no density at points")
    for seed in range(effort.seeds):
        q = subject.build("trained-like", seed)
        named = {name: p for name, p in q.named_parameters() if p.numel()}
        blocks = [
            _differences(
                q, list(named.values()), subject.noise(q, effort.draws // (5 * BLOCKS), seed=100 * seed + block)
            )
            for block in range(BLOCKS)
        ]
        for name, values in zip(named, map(torch.stack, zip(*blocks, strict=True)), strict=True):
            direction = values[: BLOCKS // 4].mean(
                0
            )  # in which they seem to differ; the other blocks say whether they do
            sample = values[BLOCKS // 4 :] @ (direction / direction.norm().clamp_min(1e-300))
            mean, error = _mean(sample)
            if not abs(mean) <= 7 * error + 1e-9:
                lines = (
                    "noise = torch.randn(100_000, 1, q.noise_dim, dtype=torch.float64)",
                    "z, _ = q(noise)",
                    "h = torch.sin(z.sum(-1) + 0.5)",
                    f"print(torch.autograd.grad(h.mean(), q.get_parameter({name!r}), allow_unused=True))",
                    "score = (h.detach() * q.log_prob(z.detach())).mean()",
                    f"print(torch.autograd.grad(score, q.get_parameter({name!r})))  # expected: about the same",
                )
                off = f"{mean:.3g} +- {error:.2g}"
                detail = f"d E_q[h]/d {name} through the draws minus that by the score is {off}"
                return fails(detail, "trained-like", seed, None, *lines)
    return PASS


def _differences(q: Posterior, parameters: list[Tensor], noise: Tensor) -> list[Tensor]:
    """For each parameter the gradient of the mean of h = sin(sum z + 1/2) through the draws minus that by the score."""
    z, _ = q(noise)
    mean = torch.sin(z.sum(-1) + 0.5).mean()
    paths = torch.autograd.grad(mean, parameters, allow_unused=True, materialize_grads=True)
    still = z.detach()
    h = torch.sin(still.sum(-1) + 0.5)
    score = ((h - h.mean()) * q.log_prob(still)).mean() * len(h) / (len(h) - 1)
    scores = torch.autograd.grad(score, parameters, allow_unused=True, materialize_grads=True)
    return [(path - by_score).flatten() for path, by_score in zip(paths, scores, strict=True)]


@check(
    "auxiliary bound",
    proves="E[exp(ln p(x, z) - ln q)] = p(x) on a conjugate model: a family with auxiliary variables gives a bound",
    tolerance="5 standard errors; where they are above 0.05 p(x), only a mean above p(x) counts",
    also_dim=1,
)
def _auxiliary(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build()
    if not is_auxiliary(q):
        return skips("the family has a density, for which the image and the mass are checked")
    conclusive = False
    draws = effort.draws if subject.dim <= 2 else max(effort.draws, FEWEST)
    for state, seed in parameters(q, effort.seeds, STATES[:2]):
        q = subject.build(state, seed)
        z, log_q = q(subject.noise(q, draws, seed=8 + seed))
        ratio = (conjugate.log_joint(z) - log_q - conjugate.log_evidence(subject.dim)).detach().exp()[:, 0]
        mean, error = _mean(ratio)
        conclusive |= error <= ROUGH
        if _is_off(mean, error):
            lines = (
                "noise = torch.randn(100_000, 1, q.noise_dim, dtype=torch.float64)",
                "z, log_q = q(noise)",
                "print((log_joint(z) - log_q - log_evidence(q.dim)).exp().mean())  # expected: 1",
            )
            return fails(f"E[exp(L)] / p(x) = {mean:.4g} +- {error:.2g}", state, seed, None, *lines)
    return PASS if conclusive else skips("the ratios vary too much: the mean has a standard error above 0.05")
