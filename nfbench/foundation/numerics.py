"""Stable functions of tensors, and a safeguarded root find."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Log-density of the standard normal, ln N(z; 0, I), `z (..., D) -> (...)`.

    Args:
        z: (..., D).

    Returns:
        (...), in nats.
    """
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI)


def log_normal_cdf(x: Tensor) -> Tensor:
    """Logarithm of the standard normal distribution function, ln Phi(x), without underflow.

    `torch.special.log_ndtr` in operations that `torch.vmap` knows.

    >>> log_normal_cdf(torch.tensor([-40.0, -2.0, 0.0])).tolist()
    [-804.608..., -3.783..., -0.693...]

    Args:
        x: of any shape.

    Returns:
        Of the shape of x, in nats.
    """
    low, high = x.clamp(max=-1), x.clamp(min=-1)
    below = (0.5 * torch.special.erfcx(low * -math.sqrt(0.5))).log() - 0.5 * low.square()
    return torch.where(x < -1, below, torch.log1p(-0.5 * torch.erfc(high * math.sqrt(0.5))))


def inverse_softplus(x: Tensor) -> Tensor:
    """The y with softplus(y) = x, for x > 0.

    Args:
        x: positive, of any shape.

    Returns:
        Of the shape of x.
    """
    return x + torch.log(-torch.expm1(-x))


def log_mean_exp(x: Tensor, dim: int) -> Tensor:
    """Logarithm of the mean of exp(x) along `dim`, without overflow.

    Args:
        x: of any shape.
        dim: the axis that goes.

    Returns:
        x without that axis.
    """
    return x.logsumexp(dim) - math.log(x.shape[dim])


def full_product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product in the dtype of its arguments, under autocast too: bfloat16 is too coarse for a point of a flow.

    Args:
        a: (..., n, m).
        b: (..., m, k), broadcast as `torch.matmul` does.

    Returns:
        (..., n, k).
    """
    if not torch.is_autocast_enabled(a.device.type):
        return a @ b
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


_BISECTIONS = 60  # in float64


def monotone_root(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], lower: Tensor, upper: Tensor, steps: int = 200
) -> Tensor:
    """Root of an increasing function, elementwise: Newton's step where it stays in the bracket, else bisection.

    It ends once no x moves any more; under `torch.vmap`, which has no values to ask for, after as many steps as
    bisection alone needs.

    Args:
        function: x -> (f(x), f'(x)), with f(lower) <= 0 <= f(upper).
        lower: lower end of each bracket.
        upper: upper end of each bracket.
        steps: bound on the iterations; bisection alone needs about 60 in float64, 30 in float32.

    Returns:
        The root to the resolution of the dtype, detached: gradients are the caller's, by the implicit function.
    """
    with torch.no_grad():
        x = 0.5 * (lower + upper)
        for step in range(steps):
            value, slope = function(x)
            lower = torch.where(value < 0, x, lower)
            upper = torch.where(value < 0, upper, x)
            newton = x - value / slope
            inside = (newton > lower) & (newton < upper)
            moved = torch.where(inside, newton, 0.5 * (lower + upper))
            done = (moved == x) | (value == 0)
            x = torch.where(value == 0, x, moved)
            if step > _BISECTIONS if torch._C._functorch.is_batchedtensor(done) else bool(done.all()):
                break
        return x


def bracketed_root(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    steps: int = 40,
    stops: bool = True,
) -> Tensor:
    """Root of an increasing function, elementwise: Newton's step, or bisection where that leaves the bracket.

    Bisection also takes over where Newton's steps do not halve (Press et al., Numerical Recipes, `rtsafe`).

    Args:
        function: x -> (f(x), Newton's step f(x) / f'(x)), with f(lower) <= 0 <= f(upper).
        start: the first x, inside the bracket.
        lower: lower end of each bracket.
        upper: upper end of each bracket.
        steps: bound on the iterations.
        stops: whether to end once no x moves any more. It asks for values, which `torch.vmap` and `torch.compile` do
            not have.

    Returns:
        The root to the resolution of the dtype, detached: gradients are the caller's, by the implicit function.
    """
    with torch.no_grad():
        x, last = start, upper - lower
        resolution = 4 * torch.finfo(x.dtype).eps
        for _ in range(steps):
            value, step = function(x)
            lower, upper = torch.where(value < 0, x, lower), torch.where(value < 0, upper, x)
            newton, least = x - step, resolution * (1 + x.abs())
            halves = (2 * step.abs() <= last) | (step.abs() <= least)
            moved = torch.where((newton >= lower) & (newton <= upper) & halves, newton, 0.5 * (lower + upper))
            last = (moved - x).abs()
            x = moved
            if stops and bool((last <= least).all()):
                break
        return x


def implicit_root(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], lower: Tensor, upper: Tensor, steps: int = 200
) -> Tensor:
    """`bracketed_root` with gradients: one more step of Newton's carries them, by the implicit function theorem.

    >>> a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    >>> root = implicit_root(lambda x: (x**2 - a, 2 * x), torch.tensor(0.5).double(), torch.tensor(3.0).double())
    >>> round(root.item(), 6), round(torch.autograd.grad(root, a)[0].item(), 6)
    (1.414214, 0.353553)

    Args:
        function: x -> (f(x), f'(x)), with f(lower) <= 0 <= f(upper), differentiable in what it is made from.
        lower: lower end of each bracket.
        upper: upper end of each bracket.
        steps: bound on the iterations.

    Returns:
        The root to the resolution of the dtype, differentiable once in what the function is made from.
    """

    def stepped(x: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = function(x)
        return value, value / slope

    root = bracketed_root(stepped, 0.5 * (lower + upper), lower, upper, steps=steps)
    value, slope = function(root)
    return root - value / slope.detach()
