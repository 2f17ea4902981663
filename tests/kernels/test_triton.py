"""Triton kernels of the fused chains: run by Triton's interpreter where there is no GPU, and compiled for one."""

import os
import subprocess
import sys

import pytest
import torch
from support.triton_chains import DEVICES, DTYPES, EVERY, MAPS, fused, plain, wild

from nfbench.kernels.gpu import launch
from nfbench.kernels.planar import triton

SIZES = [  # G, N, D, K
    (1, 130, 1, 3),
    (1, 130, 2, 17),
    (1, 130, 3, 1),
    (1, 130, 40, 3),
    (1, 130, 65, 1),
    (2, 37, 5, 4),
    (3, 5, 1, 17),
    (3, 5, 3, 3),
    (3, 5, 65, 3),
    (3, 1, 2, 3),
    (3, 1, 40, 17),
    (3, 1, 513, 1),
    (1, 5, 513, 3),
    (1, 1, 65, 17),
]


@pytest.fixture
def few_programs(monkeypatch):
    """Large tiles, and slots that several tiles must share: the interpreter is slow for each program."""
    monkeypatch.setattr(launch, "_FILL", 1)
    monkeypatch.setattr(launch, "_SLOTS", 2)


@EVERY
@DEVICES
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("few_programs")
def test_agrees_with_the_formula(name, device, size):
    """Values and gradients at wild parameters: float64 to 2^13 roundings, float32 to 16 times plain float32's error.

    The backward pass rebuilds z from z_K, which has lost digits where a map contracts: 2^7 roundings are granted.
    """
    given = wild(name, size)
    single = [one.float() for one in given]
    for exact, ours in zip(plain(name, given), fused(name, given, device), strict=True):
        assert ours.dtype == torch.float64
        assert ours.shape == exact.shape
        assert (ours - exact).norm() <= 2**13 * torch.finfo(torch.float64).eps * exact.norm().clamp_min(1e-3)
    singles = (plain(name, given), plain(name, single), fused(name, single, device))
    for exact, theirs, ours in zip(*singles, strict=True):
        assert ours.dtype == torch.float32
        granted = 2**7 * torch.finfo(torch.float32).eps * exact.norm().clamp_min(1e-3)
        assert (ours - exact).norm() <= 16 * (theirs - exact).norm() + granted


@EVERY
@DEVICES
@DTYPES
@pytest.mark.parametrize("size", [(1, 0, 3, 2), (0, 4, 3, 2)], ids=str)
def test_nothing_in_nothing_out(name, device, dtype, size):
    """No draws or no groups: empty results of the right shapes, zero gradients, no launch."""
    z_k, log_det, to_z, to_maps = fused(name, [one.to(dtype) for one in wild(name, size)], device)
    groups, draws, dim, depth = size
    assert z_k.shape == to_z.shape == (groups, draws, dim)
    assert log_det.shape == (groups, draws)
    assert torch.equal(to_maps, torch.zeros(groups, depth, MAPS[name][0].numbers(dim), dtype=dtype))


@EVERY
@DEVICES
@pytest.mark.usefixtures("few_programs")
def test_any_memory_order(name, device):
    """Strided, transposed and expanded arguments give, bit for bit, what contiguous ones give."""
    given = wild(name, (3, 9, 5, 4))
    given[2], given[3] = torch.ones(1, 1, 5).expand(3, 9, 5).double(), torch.ones(1, 1).expand(3, 9).double()
    expected = fused(name, [one.contiguous() for one in given], device)
    strided = [torch.stack([one, one], -1)[..., 0] for one in given[:2]] + given[2:]
    turned = [one.transpose(0, 1).contiguous().transpose(0, 1) for one in given[:2]] + given[2:]
    for other in (strided, turned):
        assert not other[0].is_contiguous()
        for ours, theirs in zip(fused(name, other, device), expected, strict=True):
            assert torch.equal(ours, theirs)


@EVERY
@DEVICES
@DTYPES
@pytest.mark.usefixtures("few_programs")
def test_nan_stays_in_its_draw(name, device, dtype):
    """A draw that is NaN comes out as NaN, with NaN gradients; all others come out as without it."""
    given = [one.to(dtype) for one in wild(name, (1, 70, 3, 4))]
    clean = fused(name, given, device)
    given[0][0, 5, 1] = torch.nan
    found = fused(name, given, device)
    others = torch.arange(70) != 5
    for ours, theirs in zip(found[:3], clean[:3], strict=True):
        assert ours[0, 5].isnan().all()
        assert torch.equal(ours[0, others], theirs[0, others])


@EVERY
@DEVICES
@pytest.mark.usefixtures("few_programs")
def test_bits_repeat(name, device):
    """Two runs give the same bits, with tiles that share slots of partial sums."""
    given = [one.float() for one in wild(name, (1, 700, 3, 2))]
    tile = launch.tile_of(given[0])
    sums, shared = launch.partial_sums(tile, given[1])
    assert tile.parts > len(sums) > 1
    assert shared
    for one, other in zip(fused(name, given, device), fused(name, given, device), strict=True):
        assert torch.equal(one, other)


@DEVICES
@DTYPES
def test_saturated_and_gentle_activations(device, dtype):
    """The tanh is right to 4 roundings, exactly 1 in saturation; ln|det| = ln softplus(w.u) at h = 0 to 8."""
    size = torch.logspace(-6, 1.9, 100, dtype=torch.float64).to(dtype)
    z = torch.cat([size, -size])
    identity = torch.tensor([[[1.0, 0.0, 0.0]]], dtype=dtype, device=device)
    h = triton.forward(z.to(device).view(1, -1, 1), identity)[2].flatten().cpu()
    exact = torch.tanh(z.double())
    assert ((h.double() - exact) / exact).abs().max() <= 4 * torch.finfo(dtype).eps
    assert (h[z.abs() > 20].abs() == 1).all()
    for wu in (-80.0, -20.0, -1.0, 1.0, 50.0):
        given = torch.tensor([[[1.0, wu, 0.0]]], dtype=dtype, device=device)
        log_det = triton.forward(given.new_zeros(1, 1, 1), given)[1].item()
        exact = torch.tensor(wu).double().exp().log1p().log().item()
        assert log_det == pytest.approx(exact, rel=8 * torch.finfo(dtype).eps)


COMPILE = """
import torch, triton
from importlib import import_module
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from nfbench.kernels.gpu.launch import AHEAD, AHEAD_BACKWARD, tile_of
CASES = [(torch.float32, "*fp32", (1, 100_000, 40), True), (torch.float64, "*fp64", (1, 100, 2), False)]
INTEGERS = {"tiles", "slots", "num_groups", "num_draws", "num_maps"}
for name in ("planar", "radial"):
    kernels = import_module(f"nfbench.kernels.{name}.triton")
    for dtype, text, size, shared in CASES:
        tile = tile_of(torch.empty(size, dtype=dtype, device="meta"))
        for kernel, ahead in ((kernels._forward, AHEAD), (kernels._backward, AHEAD_BACKWARD)):
            constants = {"D": size[2], "DRAWS": tile.draws, "DIMS": tile.dims, "SHARED": shared, "LIMIT": 8}
            constants["STAGES"] = 1 if shared else ahead
            constants = {key: value for key, value in constants.items() if key in kernel.arg_names}
            kind = {key: "constexpr" if key in constants else text for key in kernel.arg_names}
            kind |= {key: "i32" for key in INTEGERS & set(kind)}
            for ones in (set(), INTEGERS & set(kind)):  # a launch makes each integer that is 1 a constant
                source = ASTSource(kernel, kind | dict.fromkeys(ones, "constexpr"), constants | dict.fromkeys(ones, 1))
                made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": tile.warps})
                print(name, kernel.fn.__name__, text, len(made.asm["cubin"]))
"""


def test_compiles_for_a_gpu_that_is_not_there(tmp_path):
    """What the interpreter accepts also compiles, to machine code for an H100: no GPU is needed for that."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    ran = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    sizes = [int(line.split()[-1]) for line in ran.stdout.splitlines()]
    assert len(sizes) == 16
    assert min(sizes) > 1000
