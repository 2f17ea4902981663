"""Densities of users under `torch.vmap`: functions that it cannot follow, and values that bring their own gradients."""

import pytest
import torch

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.targets.own_models.fold import evaluated, folded


class Square(torch.autograd.Function):
    """A step of autograd as users write it, without a rule for `torch.vmap`."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return -0.5 * z.square().sum(-1)

    @staticmethod
    def backward(ctx, slope):
        return -slope.unsqueeze(-1) * ctx.saved_tensors[0]


def odd(z):
    """Looks at values, makes tensors that need gradients, and has a step without a rule."""
    assert float(z.detach().sum()) < 1e9
    assert torch.ones(2).requires_grad_().requires_grad
    return Square.apply(z)


def draws(*shape):
    return torch.randn(*shape, generator=stream(0, "fold"), requires_grad=True)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_seeds_of_a_function_are_draws_of_one_call(axis):
    """Whichever axis is mapped, values and gradients are those of all draws at once, and there is one call."""
    calls = []

    def counted(z):
        calls.append(z.shape)
        return odd(z)

    z = draws(3, 4, 2, 5)
    value = torch.vmap(lambda each: folded(counted, each), in_dims=axis, out_dims=axis)(z)
    torch.testing.assert_close(value, odd(z))
    assert len(calls) == 1
    weights = torch.arange(24.0).reshape(3, 4, 2)
    torch.testing.assert_close(torch.autograd.grad((weights * value).sum(), z)[0], -weights[..., None] * z)


def test_two_maps_inside_each_other_are_folded_both():
    """Under two of `torch.vmap` the function sees plain tensors, too."""
    z = draws(2, 3, 4, 1, 5)
    inner = torch.vmap(lambda each: folded(odd, each))
    torch.testing.assert_close(torch.vmap(inner)(z), odd(z))


def test_an_error_inside_leaves_torch_as_it_was():
    """After a function has raised under `torch.vmap`, another one works."""

    def wrong(z):
        raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        torch.vmap(lambda each: folded(wrong, each))(draws(3, 4, 1, 5))
    z = draws(3, 4, 1, 5)
    torch.testing.assert_close(torch.vmap(lambda each: folded(odd, each))(z), odd(z))


@pytest.mark.parametrize("axis", [0, 1])
def test_values_with_their_own_gradients_are_asked_for_once(axis):
    """Under `torch.vmap` the draws of all seeds are one evaluation, whose gradient is the one that it gave."""
    calls = []

    def evaluation(z):
        calls.append(z.shape)
        return -0.5 * z.square().sum(-1), -3.0 * z  # a gradient that autograd would not find

    z = draws(3, 4, 1, 5)
    value = torch.vmap(lambda each: evaluated(evaluation, each, "it"), in_dims=axis, out_dims=axis)(z)
    assert len(calls) == 1
    torch.testing.assert_close(value, -0.5 * z.square().sum(-1))
    torch.testing.assert_close(torch.autograd.grad((2 * value).sum(), z)[0], -6.0 * z)


def test_second_derivatives_are_refused_where_nobody_knows_them():
    """With `evaluated`, a gradient of a gradient is an error under each way to ask for it, and never a wrong number."""

    def density(z):
        return evaluated(lambda points: (-0.5 * points.square().sum(-1), -points), z, "it").sum()

    z = draws(4, 1, 5)
    (slope,) = torch.autograd.grad(density(z), z, create_graph=True)
    asked = {
        "autograd": lambda: (slope * z).sum().backward(),
        "hessian": lambda: torch.autograd.functional.hessian(density, z),
        "func": lambda: torch.func.grad(lambda x: torch.func.grad(density)(x).square().sum())(z),
        "vmap": lambda: torch.vmap(lambda x: torch.func.grad(density)(x).sum())(draws(3, 4, 1, 5)).sum().backward(),
    }
    for ask in asked.values():
        with pytest.raises(InputError, match=r"^it has values and gradients, but no second derivatives"):
            ask()
