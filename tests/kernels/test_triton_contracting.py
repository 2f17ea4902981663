"""Radial maps that contract towards one centre, by the Triton kernels: a draw's direction must not be lost."""

import pytest
import torch
from support.families import normal
from support.triton_chains import DEVICES, fused

from nfbench.kernels.radial import reference as radial


def gradients(inputs, dtype):
    """The gradients in z (G, N, D) and maps (G, K, D + 2) by plain PyTorch, computed in `dtype`."""
    z, maps, grad_z, grad_log_det = (tensor.to(dtype) for tensor in inputs)
    z, maps = z.requires_grad_(), maps.requires_grad_()
    z_k, log_det = (part.transpose(0, 1) for part in radial.reference(z.transpose(0, 1), maps))
    return [grad.double() for grad in torch.autograd.grad((z_k, log_det), (z, maps), (grad_z, grad_log_det))]


@DEVICES
@pytest.mark.parametrize("size", [(1, 40, 2), (3, 5, 8), (4, 1, 40)], ids=["draws", "groups", "points"])
@pytest.mark.parametrize(("depth", "alpha", "beta"), [(3, 6.0, -3.0), (30, 1.0, 0.5), (80, 1.0, 0.5)])
def test_gradients_are_as_good_as_plain_ones(size, depth, alpha, beta, device):
    """In float32 gradients are within four times plain float32's error, though z is computed going down from z_K."""
    groups, draws, dim = size
    centre = torch.full((groups, depth, dim), 0.3) + 0.03 * normal(groups, depth, dim, seed=4)
    maps = torch.cat([centre, torch.tensor([alpha, beta]).expand(groups, depth, 2)], -1)
    tensors = (normal(*size, seed=1), maps, normal(*size, seed=2), normal(groups, draws, seed=3))
    inputs = [tensor.float() for tensor in tensors]
    exact, plain = gradients(inputs, torch.float64), gradients(inputs, torch.float32)
    for truth, theirs, ours in zip(exact, plain, fused("radial", inputs, device)[2:], strict=True):
        assert (ours.double() - truth).norm() < 4 * (theirs - truth).norm() + 1e-6 * truth.norm()
