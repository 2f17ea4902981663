"""Nodes of the graph: what torch's own wrappers do, `applied` and `once` do too."""

import pytest
import torch
from torch.autograd.function import once_differentiable

from nfbench.kernels.autograd import Node, once


class _Cubes(Node):
    """x^3 + y^3, whose way back is left out of the graph."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x**3 + y**3

    @staticmethod
    @once
    def backward(ctx, grad):
        assert not torch.is_grad_enabled()
        return tuple(3 * grad * one**2 for one in ctx.saved_tensors)


class _Torchs(torch.autograd.Function):
    forward = _Cubes.forward
    backward = staticmethod(once_differentiable(_Cubes.backward.__wrapped__))


def _given():
    return [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in ([1.0, -2.0], [0.5, 3.0])]


def test_applied_is_apply():
    """Outputs, gradients and the node are those of torch's `apply`; without gradients there is no node."""
    ours, theirs = _given(), _given()
    found, known = _Cubes.applied(*ours), _Torchs.apply(*theirs)
    assert torch.equal(found, known)
    assert len(found.grad_fn.next_functions) == len(known.grad_fn.next_functions) == 2
    for mine, other in zip(
        torch.autograd.grad(found.sum(), ours), torch.autograd.grad(known.sum(), theirs), strict=True
    ):
        assert torch.equal(mine, other)
    with torch.no_grad():
        assert _Cubes.applied(*ours).grad_fn is None


@pytest.mark.parametrize("kind", [_Cubes, _Torchs])
def test_a_second_derivative_is_refused(kind):
    """Where the gradient itself is to be differentiated, both say that it cannot."""
    x, y = _given()
    value = kind.applied(x, y) if kind is _Cubes else kind.apply(x, y)
    (grad,) = torch.autograd.grad(value.square().sum(), [x], create_graph=True)
    assert grad.requires_grad
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
