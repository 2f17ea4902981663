"""How the GPU kernels' work is cut up, and the check that decides whether they are used."""

import importlib
import threading

import pytest
import torch
from support.families import normal
from support.triton_chains import DEVICES, DTYPES, EVERY, MAPS, by_points, wild

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.gpu import launch, self_check


def test_tiles_fill_the_machine():
    """Programs hold few draws while multiprocessors are idle, many where there are enough; every draw is in a tile."""
    sizes = [(1, 1, 1), (1, 100, 40), (1, 10_000, 2), (1, 1_000_000, 2), (1, 1_000_000, 40), (1000, 1, 40), (7, 9, 513)]
    tiles = [launch.tile_of(torch.empty(*size, device="meta")) for size in sizes]
    for (_, draws, dim), tile in zip(sizes, tiles, strict=True):
        assert tile.dims >= dim > tile.dims // 2
        assert tile.draws * (tile.parts - 1) < draws <= tile.draws * tile.parts
    assert tiles[1].parts >= 50
    assert [tile.warps for tile in tiles] == [1] * 7
    assert launch.tile_of(torch.empty(1, 100_000, 513, device="meta")).warps == 4
    assert tiles[5].draws == 1


def test_partial_sums_are_bounded():
    """However many draws, the partial sums take at most 128 MiB, and one slot a group where groups are many."""
    z, maps = torch.empty(1, 10_000_000, 513, device="meta"), torch.empty(1, 80, 1027, device="meta")
    sums, shared = launch.partial_sums(launch.tile_of(z), maps)
    assert shared
    assert sums.numel() * 4 <= 2**27
    many = torch.empty(100_000, 2, 1027, device="meta")
    assert len(launch.partial_sums(launch.tile_of(torch.empty(100_000, 900, 513, device="meta")), many)[0]) == 1


@EVERY
@DEVICES
@DTYPES
def test_accepts_what_is_right(name, device, dtype, monkeypatch):
    """The check at first use passes, also where it is asked for inside vmap, and is made once."""
    monkeypatch.setattr(self_check, "_verdicts", {})
    monkeypatch.setattr(launch, "_FILL", 1)
    calls = []

    def reference(z, maps):
        calls.append(threading.get_ident())
        return by_points(name)(z, maps)

    def ask(x):
        assert self_check.usable(name, reference, torch.device(device), dtype)
        return x

    torch.vmap(ask)(torch.zeros(2))
    made = len(calls)
    assert made >= 2 * len(self_check._CASES)
    assert self_check.usable(name, reference, torch.device(device), dtype)
    assert len(calls) == made


@EVERY
@DEVICES
@pytest.mark.parametrize("part", range(4))
def test_refuses_what_is_wrong(name, device, part, monkeypatch):
    """A kernel whose z, ln|det| or either gradient is off by 1 % is refused with one warning that says what is off."""
    kernels, reference = MAPS[name][0], by_points(name)
    where, at = ("forward", part) if part < 2 else ("backward", part - 2)
    right = getattr(kernels, where)

    def wrong(*given):
        found = list(right(*given))
        found[at] = 1.01 * found[at]
        return tuple(found)

    monkeypatch.setattr(self_check, "_verdicts", {})
    monkeypatch.setattr(launch, "_FILL", 1)
    monkeypatch.setattr(kernels, where, wrong)
    what = ("z_K", r"ln\|det\|", "gradient in z", "gradient in maps")[part]
    expected = rf"^Triton {name} in torch\.float32 on {device}: {what} is off by .*; plain PyTorch is used$"
    with pytest.warns(UserWarning, match=expected):
        assert not self_check.usable(name, reference, torch.device(device), torch.float32)
    assert not self_check.usable(name, reference, torch.device(device), torch.float32), (
        "the verdict stands, and is not said again"
    )


@EVERY
def test_refuses_what_does_not_run(name, monkeypatch):
    """An exception in a kernel, its compilation, its import or a recursive question is a refusal, not a crash."""
    kernels, reference = MAPS[name][0], by_points(name)
    monkeypatch.setattr(self_check, "_verdicts", {})

    def fails(*_):
        raise RuntimeError("no image for this device\nand more")

    monkeypatch.setattr(kernels, "forward", fails)
    here = torch.device("cpu")
    with pytest.warns(UserWarning, match=r"RuntimeError: no image for this device and more; plain PyTorch is used$"):
        assert not self_check.usable(name, reference, here, torch.float32)
    with pytest.warns(UserWarning, match="ModuleNotFoundError"):
        assert not self_check.usable("unheard_of", reference, here, torch.float32)


@EVERY
@DEVICES
@DTYPES
@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("seeds", [0, 2])
def test_chains_go_through_the_kernels(name, device, dtype, points, seeds, monkeypatch):
    """The package's own chain passes the check at first use, runs on the kernels, and gives its reference's numbers."""
    chains = importlib.import_module(f"nfbench.kernels.{name}.reference")
    monkeypatch.setenv(BACKEND_VARIABLE, "triton")
    monkeypatch.setattr(self_check, "_verdicts", {})
    monkeypatch.setattr(launch, "_FILL", 1)
    calls, forward = [], MAPS[name][0].forward
    lead = (seeds,) if seeds else ()
    z = normal(*lead, 5, 3, 2, seed=1).to(dtype)
    maps = wild(name, (max(1, seeds) * points, 1, 2, 4), seed=2)[1].unflatten(0, (*lead, points)).to(dtype)
    to_z, to_log = normal(*z.shape, seed=3).to(dtype), normal(*z.shape[:-1], seed=4).to(dtype)

    def counted(*given):
        calls.append(given)
        return forward(*given)

    def outcome(chain):
        given = [one.to(device).requires_grad_() for one in (z, maps)]
        found = torch.vmap(chain)(*given) if seeds else chain(*given)
        grads = torch.autograd.grad(found, given, (to_z.to(device), to_log.to(device)))
        return [one.detach() for one in (*found, *grads)]

    outcome(chains.chain)  # the check
    monkeypatch.setattr(MAPS[name][0], "forward", counted)
    ours = outcome(chains.chain)
    assert len(calls) == 1
    assert list(self_check._verdicts.values()) == [True]
    tolerance = (
        1e-8 if dtype == torch.float64 else 1e-5
    )  # torch's softplus is 2e-9 off; float32's error is asked to stay below 1e-5
    for one, other in zip(ours, outcome(chains.reference), strict=True):
        assert one.dtype == dtype
        assert (one - other).norm() <= tolerance * other.norm()


def test_triton_runs_where_it_can(monkeypatch):
    """On CUDA where Triton is installed, on the CPU only while its interpreter is on."""
    monkeypatch.setattr(launch, "installed", lambda: True)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert launch.runs("cpu")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert not launch.runs("cpu")
    assert launch.runs("cuda")
    assert not launch.runs("mps")
    monkeypatch.setattr(launch, "installed", lambda: False)
    assert not launch.runs("cuda")
