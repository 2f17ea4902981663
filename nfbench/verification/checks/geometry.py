"""Checks that a map is a bijection: its determinant keeps one sign, no two points meet, its inverse undoes it."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nfbench.posteriors.contract import Posterior
from nfbench.verification.check import PASS, Effort, Outcome, check, fails, simplest, skips
from nfbench.verification.checks.density import square
from nfbench.verification.maps import Base, base_of, chain_of, draws_of, jacobians, local, number
from nfbench.verification.subject import STATES, State, Subject, integration_error, parameters, states

PAIRS = 32  # at which a search for two points with one image begins
NEAREST = 8  # of them, which Newton's steps pull together
PATIENCE, LOWER = 10, 1e-3  # steps and nats of a descent that has come to its end
FARTHEST = 1000.0  # z at which forward(inverse(z)) is looked at
APART = 1e-2  # in noise, of two points that count as two


@check(
    "orientation",
    proves="the determinant has one sign at all points and parameters, also where a descent on ln|det| leads: a map "
    "that folds space has no density by the formula",
    tolerance="none; points whose singular values differ by 1e12 are left out: float64 does not know their sign",
)
def _orientation(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build()
    reason = square(subject, q)
    if reason:
        return skips(reason)
    first: float | None = None
    for state, seed in _parameters(q, effort):
        q = subject.build(state, seed)
        noise = subject.noise(q, effort.points if state == "scattered" else 4 * effort.points, seed=seed, scale=3.0)
        for points in (noise, _descend(q, noise, effort.steps // 2)) if state != "scattered" else (noise,):
            at = local(draws_of(q), points)
            signs = at.sign[at.regular]
            first = float(signs[0]) if first is None and len(signs) else first
            if (signs == torch.tensor(first)).all():
                continue

            def excess(e: Tensor, q: Posterior = q, sign: float | None = first) -> Tensor:
                there = local(draws_of(q), e)
                return torch.where(there.regular & (there.sign != sign), 1.0, -1.0)

            point = simplest(points, excess)
            lines = (
                "jacobian = torch.autograd.functional.jacobian(lambda noise: q(noise)[0].flatten(), noise)",
                f"print(jacobian.reshape(q.dim, q.dim).det())  # elsewhere its sign is {first:+.0f}",
            )
            return fails("the determinant changes its sign", state, seed, point, *lines)
    return PASS


def _parameters(q: Posterior, effort: Effort) -> Iterator[tuple[State, int]]:
    """States and seeds of the parameters at which a determinant's sign is looked at."""
    yield from parameters(q, effort.seeds)
    if "wild" in states(q):
        yield from (("scattered", seed) for seed in range(10 * effort.seeds))


class Falls:
    """Whether a descent still gets lower: it ends once no point has found a lower value in `PATIENCE` steps."""

    def __init__(self) -> None:
        self._least: Tensor | None = None
        self._since = 0

    def still(self, values: Tensor) -> bool:
        """Take the values of a step.

        Args:
            values: of the points, of any shape.

        Returns:
            False once the descent may end.
        """
        values = values.detach().nan_to_num(nan=math.inf)
        if self._least is None:
            self._least = values
            return True
        lower = bool((values < self._least - LOWER).any())
        self._least = torch.minimum(values, self._least)
        self._since = 0 if lower else self._since + 1
        return self._since < PATIENCE


def _descend(q: Posterior, noise: Tensor, steps: int) -> Tensor:
    """Points where ln|det| is smaller, by descent on the ln|det| that q claims from the points where it is small."""
    with torch.no_grad():
        claimed = -0.5 * noise.square().sum(-1)[:, 0] - q(noise)[1][:, 0]
    points = noise[claimed.nan_to_num(nan=math.inf).argsort()[:PAIRS]].clone().requires_grad_()
    optimizer, falls = torch.optim.Adam([points], lr=0.1), Falls()
    for _ in range(steps):
        log_det = -0.5 * points.square().sum(-1) - q(points)[1]
        if not log_det.requires_grad or not falls.still(log_det):
            break
        (gradient,) = torch.autograd.grad(log_det.sum(), points)
        points.grad = gradient.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
        with torch.no_grad():
            points.clamp_(-10, 10)
    return points.detach()


@check(
    "injective",
    proves="no two points have one image, also where a descent on |f(a) - f(b)| / |a - b| leads",
    tolerance="two points 0.01 apart meet where their images are closer than a millionth of what the smallest singular "
    "value between them allows",
)
def _injective(subject: Subject, effort: Effort) -> Outcome:
    reason = square(subject, subject.build())
    if reason:
        return skips(reason)
    for state in states(subject.build())[1:]:
        for seed in range(effort.seeds):
            q = subject.build(state, seed)
            a = subject.noise(q, PAIRS, seed=seed, scale=2.0)
            b = a + subject.noise(q, PAIRS, seed=seed + 1000, scale=2.0)
            a, b = _meet(draws_of(q), a, b, effort.steps)
            met = _meets(draws_of(q), a, b)
            if met.any():
                index = int(met.nonzero()[0])
                pair = torch.cat([a[index : index + 1], b[index : index + 1]])
                lines = "print(q(noise)[0])  # expected: two points; they are one"
                return fails("two points have one image", state, seed, pair, lines)
    return PASS


def _meet(function: Callable[[Tensor], Tensor], a: Tensor, b: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Of pairs (S, 1, D) a few that nearly meet: descent on the ratio of distances, then Newton's steps on b."""
    a, b = (points.clone().requires_grad_() for points in (a, b))
    optimizer, falls = torch.optim.Adam([a, b], lr=0.05), Falls()
    for _ in range(steps):
        images = function(torch.cat([a, b])).chunk(2)
        ratio = (images[0] - images[1]).square().sum(-1).log() - (a - b).square().sum(-1).log()
        if not falls.still(ratio):
            break
        gradients = torch.autograd.grad(ratio.sum(), (a, b))
        for points, gradient in zip((a, b), gradients, strict=True):
            points.grad = gradient.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
    with torch.no_grad():
        ratio = (function(a) - function(b)).flatten(1).norm(dim=1) / (a - b).flatten(1).norm(dim=1)
    nearest = ratio.nan_to_num(nan=math.inf).argsort()[:NEAREST]
    a, b = a.detach()[nearest], b.detach()[nearest]
    for _ in range(8):
        away = (function(b) - function(a)).detach()
        slope = jacobians(function, b)
        step = torch.linalg.lstsq(slope, away.mT).solution.mT if slope.isfinite().all() else torch.zeros_like(b)
        b = b - step.nan_to_num(0.0, 0.0, 0.0).clamp(-1, 1)
    return a, b


def _meets(function: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Which pairs (S, 1, D) are apart and have one image, (S,)."""
    with torch.no_grad():
        distance, images = (a - b).flatten(1).norm(dim=1), (function(a) - function(b)).flatten(1).norm(dim=1)
    near: Tensor = (distance >= APART) & (images <= 1e-9)
    if not near.any():
        return near
    smallest = torch.stack(
        [local(function, a + (b - a) * part).smallest for part in torch.linspace(0, 1, 9, dtype=a.dtype)]
    ).amin(0)
    met: Tensor = near & (images <= 1e-6 * smallest * distance)
    return met


@check(
    "round trip",
    proves="`inverse` undoes `forward`, and its ln|det| is the negative one",
    tolerance="1e-8 (1 + |z|), and 100 machine epsilons of float64 times the Jacobian's condition number; the declared "
    "integration error where there is one",
)
def _round_trip(subject: Subject, effort: Effort) -> Outcome:
    if base_of(subject.build()) is None:
        return skips("the family is no flow with an inverse")
    if not subject.build().has_density:
        return skips("the flow has no inverse")
    for state, seed in parameters(subject.build(), effort.seeds):
        q = subject.build(state, seed)
        base = base_of(q)
        assert base is not None
        error = integration_error(q)

        def excess(noise: Tensor, base: Base = base, error: float = error) -> Tensor:
            z_0 = base.points(noise)
            z, log_det = base.flow(z_0, base.theta)
            back, inverse_log_det = base.flow.inverse(z, base.theta)
            at = local(chain_of(base), z_0)
            scale = 1 + z_0.abs().amax(-1)[:, 0] + z.abs().amax(-1)[:, 0] * 1e-6
            allowed = 1e-8 * scale + at.rounding * scale + error
            away = (back - z_0).abs().amax(-1)[:, 0]
            turned = (log_det + inverse_log_det).abs()[:, 0]
            room = 10 * allowed * (1 + log_det.abs()[:, 0])
            over = torch.maximum(away - allowed, turned - room).detach()
            return torch.where(at.regular, over.nan_to_num(nan=math.inf), -1.0)

        noise = subject.noise(q, effort.points, seed=seed)
        if (excess(noise) > 0).any():
            point = simplest(noise, excess)
            z_0 = base.points(point)
            z, log_det = base.flow(z_0, base.theta)
            back, inverse_log_det = base.flow.inverse(z, base.theta)
            detail = (
                f"inverse(forward(z)) is {number((back - z_0).abs().max()):.3g} away from z; "
                f"ln|det| {number(log_det):.6g} there and {number(inverse_log_det):.6g} back"
            )
            lines = (
                "base, theta = q.source(None)",
                "mean, log_sigma = base.chunk(2, -1)",
                "z_0 = mean + log_sigma.exp() * noise",
                "z, log_det = q.flow(z_0, theta)",
                "print(z_0, log_det)",
                "print(q.flow.inverse(z, theta))  # expected: the same point, and minus ln|det|",
            )
            return fails(detail, state, seed, point, *lines)
    return PASS


@check(
    "far points",
    proves="points far outside have a preimage and a finite density with finite gradients, in float64 and float32",
    tolerance="forward(inverse(z)) within 1e-6 |z| at |z| up to 1000; finite up to |z| = 1e9",
)
def _far(subject: Subject, effort: Effort) -> Outcome:
    if not subject.build().has_density:
        return skips("it has no density at points")
    for dtype, sizes in ((torch.float64, (10.0, 100.0, 1000.0)), (subject.dtype, (1e3, 1e6, 1e9))):
        for state in STATES[:2]:
            q = subject.build(state, dtype=dtype)
            near = subject.noise(q, 20, seed=3)[..., : subject.dim]
            if near.shape[-1] < subject.dim:
                return skips("a draw takes less noise than D")
            if _wrong_far(q, near, sizes, dtype) is None:
                continue
            for part in *((size,) for size in sizes), sizes:  # the smallest at which something is wrong
                if (wrong := _wrong_far(q, near, part, dtype)) is not None:
                    z = part[0] * near
                    detail = f"{wrong[0]} at z = {z[0].tolist()} in {dtype}"
                    return fails(detail, state, 0, None, *_at(z, dtype), *wrong[1:])
    return PASS


def _wrong_far(q: Posterior, near: Tensor, sizes: tuple[float, ...], dtype: torch.dtype) -> tuple[str, ...] | None:
    """What is wrong at points (S, 1, D) times each of the sizes, and lines that show it; None where nothing is."""
    z = torch.cat([near * size for size in sizes]).requires_grad_()
    scale = torch.tensor(sizes, dtype=dtype, device=z.device).repeat_interleave(len(near))[:, None]
    log_q = q.log_prob(z)
    slopes = torch.autograd.grad((log_q / scale**2).sum(), [z, *q.parameters()], allow_unused=True)
    show = "print(q.log_prob(z))  # expected: finite, with finite gradients"
    if not log_q.isfinite().all():
        return "ln q is not finite", show
    if not all(slope.isfinite().all() for slope in slopes if slope is not None):
        return "a gradient of ln q is not finite", show
    if dtype == torch.float64 and (base := base_of(q)) is not None:
        back = base.flow(base.flow.inverse(z.detach(), base.theta)[0], base.theta)[0]
        away = ((back - z).abs() / scale[..., None]).detach()
        if not ((away <= 1e-6 + integration_error(q)) | (scale[..., None] > FARTHEST)).all():
            return (
                "forward(inverse(z)) is not z",
                "base, theta = q.source(None)",
                "print(q.flow(q.flow.inverse(z, theta)[0], theta)[0])",
            )
    return None


def _at(z: Tensor, dtype: torch.dtype) -> tuple[str, ...]:
    return f"q = q.to({dtype})", f"z = torch.tensor([[{z[0, 0].tolist()}]], dtype={dtype})"
