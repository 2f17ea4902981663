"""The Triton kernels beside the formulas they must reproduce, with Triton's interpreter on where there is no GPU."""

import os

import pytest
import torch

from support.families import normal

ON_GPU = torch.cuda.is_available()
if not ON_GPU:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is imported: it decides then
pytest.importorskip("triton", reason="Triton is not installed: it comes for Linux only")

from triton.runtime.interpreter import InterpretedFunction  # noqa: E402

from nfbench.kernels.planar import triton as planar_triton  # noqa: E402
from nfbench.kernels.radial import triton as radial_triton  # noqa: E402

assert ON_GPU or isinstance(planar_triton._forward, InterpretedFunction), (
    "Triton was imported before TRITON_INTERPRET=1"
)
GPU = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not ON_GPU, reason="no CUDA device")])
INTERPRETER = pytest.param("cpu", marks=pytest.mark.skipif(ON_GPU, reason="Triton compiles here: the CUDA runs serve"))
DEVICES = pytest.mark.parametrize("device", [INTERPRETER, GPU])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def _softplus(x):
    """Without the threshold of torch's, above which it is off by 2e-9."""
    return torch.logaddexp(x, x.new_zeros(()))


def _planar(z, maps):
    """The chain of eq. 10 and App. A.1 by itself: nothing of the package's own reference."""
    dim = z.shape[-1]
    w, u, b = torch.split(maps, [dim, dim, 1], -1)
    wu = (w * u).sum(-1, keepdim=True)
    s = _softplus(wu)
    u_hat = u + (s - 1 - wu) * w / w.square().sum(-1, keepdim=True)
    log_det = 0
    for k in range(maps.shape[1]):
        h = torch.tanh((z * w[:, None, k]).sum(-1, keepdim=True) + b[:, None, k])
        z = z + u_hat[:, None, k] * h
        log_det = log_det + (h.square() + s[:, None, k] * (1 - h.square())).log().squeeze(-1)
    return z, log_det


def _radial(z, maps):
    """The chain of eq. 14 and App. A.2."""
    dim = z.shape[-1]
    centre, raw = torch.split(maps, [dim, 2], -1)
    alphas, sums = _softplus(raw).unbind(-1)
    log_det = 0
    for k in range(maps.shape[1]):
        offset, alpha, s = z - centre[:, None, k], alphas[:, None, k], sums[:, None, k]
        r = offset.norm(dim=-1)
        z = z + ((s - alpha) / (alpha + r)).unsqueeze(-1) * offset
        log_det = log_det + (dim - 1) * ((r + s) / (alpha + r)).log()
        log_det = log_det + ((r.square() + 2 * alpha * r + alpha * s) / (alpha + r).square()).log()
    return z, log_det


MAPS = {"planar": (planar_triton, _planar), "radial": (radial_triton, _radial)}


def by_points(name):
    """The formula from `z (S, B, D), maps (B, K, P)` to `z_K (S, B, D), ln|det| (S, B)`: each point a group."""

    def chain(z, maps):
        z_k, log_det = MAPS[name][1](z.transpose(0, 1), maps)
        return z_k.transpose(0, 1), log_det.transpose(0, 1)

    return chain


EVERY = pytest.mark.parametrize("name", MAPS)


def wild(name, size, seed=1):
    """z, maps, and gradients in z_K and ln|det|, in float32's numbers: w.u about 15 N(0, 1), raw alpha 3 N(0, 1)."""
    groups, draws, dim, depth = size
    maps = 3 * normal(groups, depth, MAPS[name][0].numbers(dim), seed=seed)
    if name == "planar":
        maps[..., : 2 * dim] *= 1.3 / dim**0.25
    given = (
        normal(groups, draws, dim, seed=seed + 1),
        maps,
        normal(groups, draws, dim, seed=seed + 2),
        normal(groups, draws, seed=seed + 3),
    )
    return [one.float().double() for one in given]


def fused(name, given, device="cpu"):
    """Z_K, ln|det| and the gradients in z and maps by the kernels, from what `wild` gives."""
    z, maps, grad_z, grad_log_det = (one.to(device) for one in given)
    kernels = MAPS[name][0]
    z_k, log_det, saved = kernels.forward(z, maps)
    start = (z,) if kernels.RESTARTS else ()
    return [one.cpu() for one in (z_k, log_det, *kernels.backward(z_k, saved, maps, grad_z, grad_log_det, *start))]


def plain(name, given):
    """The same by autograd through the formula."""
    z, maps = (one.clone().requires_grad_() for one in given[:2])
    z_k, log_det = MAPS[name][1](z, maps)
    return [z_k.detach(), log_det.detach(), *torch.autograd.grad((z_k, log_det), (z, maps), tuple(given[2:]))]
