"""Nodes of the graph: `applied` is torch's `apply`, and a gradient with a graph is that of the plain form."""

import pytest
import torch

from nfbench.kernels.autograd import Node, by_kernel


class _Cubes(Node):
    """x^3 + y^3, whose way back is left out of the graph."""

    @staticmethod
    def forward(ctx, x, y, name):
        ctx.save_for_backward(x, y)
        return x**3 + y**3

    @staticmethod
    @by_kernel
    def backward(ctx, grad):
        assert not torch.is_grad_enabled()
        return *(3 * grad * one**2 for one in ctx.saved_tensors), None

    @staticmethod
    def plain(ctx):
        return lambda x, y: x**3 + y**3, (*ctx.saved_tensors, None)


def _given():
    return [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in ([1.0, -2.0], [0.5, 3.0])]


def test_applied_is_apply():
    """Outputs, gradients and the node are those of torch's `apply`; without gradients there is no node."""
    ours, theirs = _given(), _given()
    value, known = _Cubes.applied(*ours, "a"), _Cubes.apply(*theirs, "a")
    assert torch.equal(value, known)
    assert len(value.grad_fn.next_functions) == len(known.grad_fn.next_functions)
    for mine, other in zip(
        torch.autograd.grad(value.sum(), ours), torch.autograd.grad(known.sum(), theirs), strict=True
    ):
        assert torch.equal(mine, other)
    with torch.no_grad():
        assert _Cubes.applied(*ours, "a").grad_fn is None


@pytest.mark.parametrize("wanted", [(0,), (1,), (0, 1)])
def test_a_second_derivative_is_that_of_the_plain_form(wanted):
    """d/dx of (3 x^2)^2 is 36 x^3, in the inputs that ask for it; the gradient in the gradient is there, too."""
    inputs = [value if place in wanted else value.detach() for place, value in enumerate(_given())]
    asked = [inputs[place] for place in wanted]
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    first = torch.autograd.grad(_Cubes.applied(*inputs, "a"), asked, weight, create_graph=True)
    for value, gradient in zip(asked, first, strict=True):
        second, to_weight = torch.autograd.grad(gradient.square().sum(), [value, weight], retain_graph=True)
        torch.testing.assert_close(second, 36 * value**3)
        torch.testing.assert_close(to_weight, 18 * value**4)


def test_batches_of_gradients_take_the_plain_form():
    """Where torch hands several gradients at once to a node, no kernel sees them."""
    x, y = _given()
    value = _Cubes.applied(x, y, "a")
    (rows,) = torch.autograd.grad(value, [x], torch.eye(2, dtype=torch.float64), is_grads_batched=True)
    torch.testing.assert_close(rows, torch.diag(3 * x.detach() ** 2))
