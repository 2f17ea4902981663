"""Checks of arithmetic: gradients against finite differences, float32 against float64, finite values."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.randomness import stream
from nfbench.posteriors.contract import Posterior
from nfbench.verification.check import PASS, Effort, Outcome, check, fails, skips
from nfbench.verification.maps import is_auxiliary
from nfbench.verification.subject import STATES, Subject, units

STEPS = (1e-5, 1e-6, 1e-7)  # of central differences in float64: the shorter ones where a map bends much
LADDER = (1.0, 3.0, 8.0)  # scales of the noise
LARGEST = 8.0  # noise: what is larger does not occur
ROUNDINGS = 4  # perturbations by float32's resolution


class Move(NamedTuple):
    """The slopes of a function as some of what it depends on moves.

    Attributes:
        names: of the parameters that move, ``noise`` for the points.
        by_autograd: the slope along a direction of each.
        by_difference: the slope along all of these at once, by a central difference.
    """

    names: tuple[str, ...]
    by_autograd: list[float]
    by_difference: float


@check(
    "gradients",
    proves="gradients of draws, ln q and `log_prob` with respect to noise, points and every parameter are those of "
    "finite differences",
    tolerance="1e-5 relative, and what rounding does to central differences, at one of the steps 1e-5, 1e-6 and 1e-7; "
    "what is off at one point counts if it is off at a second, as a kink may lie at one",
)
def _gradients(subject: Subject, effort: Effort) -> Outcome:
    for seed, state in enumerate(STATES):
        q = subject.build(state, seed)
        names = ["noise", *(name for name, p in q.named_parameters() if p.numel())]
        for number, function in enumerate(_functions(q)):
            left, worst = names, {}
            for point in range(2):  # at the second only what was off at the first
                noise = subject.noise(q, 2, seed=20 + point)
                x = q(noise)[0].detach() if number else noise
                worst = _off(q, function, x, left)
                left = list(worst)
            bad = next(iter(left), None)
            if bad is not None:
                of = "log_prob" if number else "z and ln q"
                what = ("z" if number else "noise") if bad == "noise" else bad
                detail = f"the slope of {of} along {what} is {worst[bad][0]:.6g}, by differences {worst[bad][1]:.6g}"
                lines = _gradcheck(bad, at_points=bool(number))
                return fails(detail, state, seed, subject.noise(q, 1, seed=20), *lines)
    return PASS


def _gradcheck(name: str, *, at_points: bool) -> tuple[str, ...]:
    """Lines that let torch compare the gradient with respect to the noise, or to one parameter."""
    call = (
        "class Call(torch.nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        "        self.q = q",
        "    def forward(self, noise):",
        "        return self.q.log_prob(noise)" if at_points else "        return self.q(noise)",
    )
    at = ("noise = q(noise)[0].detach()",) if at_points else ()
    if name == "noise":
        check = "torch.autograd.gradcheck(Call(), (noise.requires_grad_(),), raise_exception=False)"
        return *call, *at, f"print({check})  # expected: True"
    return (
        *call,
        *at,
        f"value = q.get_parameter({name!r})",
        f"function = lambda value: torch.func.functionalcall(Call(), {{{'q.' + name!r}: value}}, (noise,))",
        "print(torch.autograd.gradcheck(function, (value,), raise_exception=False))  # expected: True",
    )


def _total(*values: Tensor) -> Tensor:
    """One number of several tensors, every element with a weight of its own."""
    weights = (torch.randn(v.shape, generator=stream(0, "weights"), dtype=torch.float64).to(v) for v in values)
    return torch.stack([(value * weight).sum() for value, weight in zip(values, weights, strict=True)]).sum()


def _functions(q: Posterior) -> list[Callable[[Tensor], Tensor]]:
    """One number of draws and ln q as a function of noise, and one of `log_prob` as a function of points."""

    def of_draws(noise: Tensor) -> Tensor:
        return _total(*q(noise))

    def of_points(z: Tensor) -> Tensor:
        return _total(q.log_prob(z))

    return [of_draws, of_points] if q.has_density else [of_draws]


def _off(
    q: Posterior, function: Callable[[Tensor], Tensor], x: Tensor, names: list[str]
) -> dict[str, tuple[float, float]]:
    """Those of the points (``noise``) and parameters whose slopes, by autograd and by differences, agree at no step.

    All are moved at once first: their slopes add up along a random direction, and what is off in one is off in the sum.
    """
    size, off = abs(float(function(x).detach())), dict.fromkeys(names, (0.0, 0.0))
    if names and _all_agree(_slopes(q, function, x, [names], STEPS[0]), size):
        return {}
    for step in STEPS:
        for (name,), by_autograd, by_difference in _slopes(q, function, x, [(name,) for name in off], step):
            off[name] = sum(by_autograd), by_difference
            if abs(off[name][0] - by_difference) <= _allowed(by_difference, size, step):
                del off[name]
    return off


def _allowed(slope: float, size: float, step: float) -> float:
    """By how much a central difference of a function of about `size` may differ from a slope."""
    return 1e-5 * (1 + abs(slope)) + 1e-14 * (1 + size) / step


def _all_agree(moves: list[Move], size: float) -> bool:
    """Whether the slopes along one direction of everything agree, within what is allowed for the smallest of them."""
    ((_, slopes, by_difference),) = moves
    return abs(sum(slopes) - by_difference) <= _allowed(min(map(abs, slopes)), size, STEPS[0])


def _slopes(
    q: Posterior, function: Callable[[Tensor], Tensor], x: Tensor, groups: Sequence[Sequence[str]], step: float
) -> list[Move]:
    """For each group of names the slopes of a function of the points along a random direction of each."""
    x = x.clone().requires_grad_()
    tensors = {name: x if name == "noise" else q.get_parameter(name) for group in groups for name in group}
    value: Tensor = function(x)
    if value.requires_grad and tensors:
        grads = torch.autograd.grad(value, list(tensors.values()), allow_unused=True, materialize_grads=True)
    else:
        grads = tuple(map(torch.zeros_like, tensors.values()))
    slopes = dict(zip(tensors, grads, strict=True))
    moves = []
    for group in groups:
        ways = {name: _way(name, tensors[name]) for name in group}
        with torch.no_grad():
            before = {name: tensors[name].clone() for name in group}
            ends = []
            for sign in (1, -1):
                for name in group:
                    tensors[name].copy_(before[name] + sign * step * ways[name])
                ends.append(float(function(x)))
            for name in group:
                tensors[name].copy_(before[name])
        along = [float((slopes[name] * ways[name]).sum()) for name in group]
        moves.append(Move(tuple(group), along, (ends[0] - ends[1]) / (2 * step)))
    return moves


def _way(name: str, tensor: Tensor) -> Tensor:
    """A random direction of length 1, as wide as a tensor."""
    way: Tensor = torch.randn(tensor.shape, generator=stream(1, name), dtype=torch.float64).to(tensor)
    return way.div_(way.norm())


@check(
    "float32",
    proves="draws and ln q in the precision of trainings are those of float64, at growing scales of the noise",
    tolerance="1e-4 relative at the start's noise, and 30 times what a change of noise and parameters by that "
    "precision's resolution does: what a backward stable computation may lose",
)
def _single(subject: Subject, effort: Effort) -> Outcome:
    if subject.dtype == torch.float64:
        return skips("the dtype is float64")
    resolution = torch.finfo(subject.dtype).eps
    for state in STATES[:2]:
        for scale in LADDER:
            q = subject.build(state, dtype=subject.dtype)
            noise = subject.noise(q, 64, seed=12, scale=scale).clamp(-LARGEST, LARGEST)
            coarse = [value.detach().double() for value in q(noise)]
            exact = q.double()
            fine = [value.detach() for value in exact(noise.double())]
            moves = [torch.zeros_like(value) for value in fine]
            for turn in range(ROUNDINGS):
                moved = subject.build(state, dtype=subject.dtype).double()
                _jitter(moved, resolution, turn)
                shaken = noise.double() * (1 + resolution * subject.noise(exact, 64, seed=50 + turn))
                for move, value, at in zip(moves, moved(shaken), fine, strict=True):
                    move.copy_(torch.maximum(move, (value.detach() - at).abs().nan_to_num(0.0)))
            for name, ours, theirs, move in zip(("z", "ln q"), coarse, fine, moves, strict=True):
                wide = move.amax(-1, keepdim=True) if name == "z" else move
                allowed = 1e-4 * (1 + theirs.abs()) + 30 * wide
                over = ~((ours - theirs).abs() <= allowed) & theirs.isfinite()
                if over.any():
                    draw = int(over.nonzero()[0][0])
                    detail = f"{name} = {ours[draw].tolist()} in {subject.dtype}, {theirs[draw].tolist()} in float64"
                    lines = (
                        f"q = q.to({subject.dtype})",
                        f"print(q(noise.to({subject.dtype})))",
                        "print(q.double()(noise))  # expected: about the same",
                    )
                    return fails(detail, state, 0, noise[draw : draw + 1].double(), *lines)
    return PASS


def _jitter(module: torch.nn.Module, resolution: float, seed: int) -> None:
    """Change every parameter by a relative `resolution`, at random."""
    generator = stream(seed, "jitter")
    with torch.no_grad():
        for parameter in module.parameters():
            numbers = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter)
            parameter.mul_(1 + resolution * numbers)


@check(
    "finite",
    proves="values and gradients are finite at the start and where every parameter is 20 or -20, in the precision of "
    "trainings",
    tolerance="none",
)
def _finite(subject: Subject, effort: Effort) -> Outcome:
    for seed in range(-1, 2 * effort.seeds):
        q = subject.build(dtype=subject.dtype)
        if seed >= 0 and is_auxiliary(q):
            break  # a leapfrog with such steps diverges, as it should
        if seed >= 0:
            set_extreme(q, 20.0, seed)
        noise = subject.noise(q, 64, seed=seed + 1)
        if (bad := _not_finite(q, noise)) is not None:
            point = next((draw for draw in torch.split(noise, 1) if _not_finite(q, draw)), noise)
            where = "the start" if seed < 0 else "parameters of +-20"
            setting = () if seed < 0 else (f"set_extreme(q, 20.0, {seed})",)
            lines = (
                f"q = q.to({subject.dtype})",
                *setting,
                f"z, log_q = q(noise.to({subject.dtype}))",
                "(z.tanh().sum() + log_q.sum()).backward()",
                "print(z, log_q, [p.grad for p in q.parameters()])  # expected: finite",
            )
            imports = ("from nfbench.verification.checks.precision import set_extreme",) if setting else ()
            return fails(f"{bad} is not finite at {where}", "start", 0, point.double(), *lines, imports=imports)
    return PASS


def _not_finite(q: Posterior, noise: Tensor) -> str | None:
    """What is not finite at noise (S, 1, N), values or gradients; None where all is."""
    z, log_q = q(noise)
    named = {name: p for name, p in q.named_parameters() if p.numel()}
    # tanh: the gradient of a sum of squares would overflow where z itself does not
    total = z.tanh().sum() + log_q.sum()
    slopes = torch.autograd.grad(total, list(named.values()), allow_unused=True, materialize_grads=True)
    values = {"z": z, "ln q": log_q} | {f"d ln q / d {name}": s for name, s in zip(named, slopes, strict=True)}
    return next((name for name, value in values.items() if not value.isfinite().all()), None)


def set_extreme(module: torch.nn.Module, size: float, seed: int) -> torch.nn.Module:
    """Set every parameter to plus or minus a number of its `units`, in place.

    Args:
        module: any.
        size: the number.
        seed: of the signs.

    Returns:
        The module.
    """
    generator = stream(seed, "extreme")
    with torch.no_grad():
        for parameter, unit in units(module):
            signs = 2 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
            parameter.copy_(size * unit * signs.to(parameter))
    return module
