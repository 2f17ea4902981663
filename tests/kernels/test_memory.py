"""Memory of large results: used again when they are gone, never before."""

import gc

import numpy as np
import pytest
import torch
from support.families import posterior, specs

from nfbench.kernels.cpu import memory

pytestmark = pytest.mark.usefixtures("compiled")


def _tensor(*shape, dtype=np.float32):
    return torch.from_numpy(memory.empty(shape, np.dtype(dtype)))


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(memory, "_free", {})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_used_again(dtype):
    """Memory of a tensor that is gone serves the next of its size; while a view lives, it does not."""
    first = _tensor(3, 2**19, dtype=dtype)
    assert (first.shape, first.numpy().dtype, first.is_contiguous()) == ((3, 2**19), dtype, True)
    place, view = first.data_ptr(), first[1:].fill_(7.0)
    del first
    assert _tensor(3, 2**19, dtype=dtype).data_ptr() != place
    assert (view == 7).all()
    del view
    taken = [_tensor(3, 2**19, dtype=dtype).data_ptr() for _ in range(2)]
    assert place in taken


def test_views_hold_on_to_it():
    """A part of an array, or a tensor over a part, keeps the whole from being used again."""
    first = memory.empty((3, 2**19), np.dtype(np.float32))
    place, part, tensor = first.ctypes.data, first.swapaxes(0, 1), torch.from_numpy(first[1:])
    del first
    assert memory.empty((3, 2**19), np.dtype(np.float32)).ctypes.data != place
    del part
    assert memory.empty((3, 2**19), np.dtype(np.float32)).ctypes.data != place
    del tensor
    taken = [memory.empty((3, 2**19), np.dtype(np.float32)) for _ in range(2)]
    assert place in [one.ctypes.data for one in taken]


def test_two_at_once_are_apart():
    """Two that live at the same time do not share memory."""
    one, other = (_tensor(2**20).fill_(value) for value in (1.0, 2.0))
    assert (one == 1).all()
    assert (other == 2).all()


def test_little_is_kept(monkeypatch):
    """No more than the limit is kept."""
    monkeypatch.setattr(memory, "_FREE_LIMIT", 3 * 2**22)
    live = [_tensor(2**20) for _ in range(5)]
    live.clear()
    assert [block.nbytes for block in memory._free.values()] == [2**22] * 3


def test_small_arrays_are_numpys_own():
    """Below the limit nothing is kept."""
    place = _tensor(4)
    del place
    assert not memory._free


def test_gradients_that_are_kept_stay():
    """A gradient that the user holds is not overwritten by later ones."""
    q = posterior("planar:K=60", 30, points=100)
    noise, kept = torch.randn(1, 100, 30, generator=torch.Generator().manual_seed(0)), []
    for scale in (1.0, 2.0, 3.0):
        q.zero_grad(set_to_none=True)
        z, log_q = q(noise)
        (scale * (z.sum() + log_q.sum())).backward()
        kept.append(q.source.theta.grad)
    assert torch.allclose(2 * kept[0], kept[1], rtol=1e-4, atol=1e-5)
    assert torch.allclose(3 * kept[0], kept[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("draws", [200, 20_000])
def test_peak_memory_counts_the_kernels(draws):
    """What a chain keeps for its gradient, one number a draw and map, is part of its peak memory, however much it is.

    It is held while the gradient of z is made: beside both stand z_K and the two gradients of it that are given.
    """
    from nfbench.timing.measure.memory import peak

    q, noise = posterior("planar:K=30", 4), torch.randn(draws, 1, 4, generator=torch.Generator().manual_seed(0))

    def run():
        z, log_q = q(noise)
        (z.sum() + log_q.sum()).backward()

    kept, z = 4 * 30 * draws, 4 * 4 * draws
    assert kept + 2 * z <= peak(run, "cpu") <= kept + 12 * z + 100_000
    assert not memory._use_torch[0]


@pytest.mark.parametrize("spec", specs(3))
@pytest.mark.parametrize("points", [1, 2])
def test_a_loss_that_is_kept_keeps_no_memory(spec, points):
    """After `backward` the node that made the draws holds no array, though the loss lives; before it, it does."""
    q = posterior(spec, 8, points=points)
    pooled = spec.startswith(("planar", "radial"))
    draws = 50_000 if pooled else 100  # plain PyTorch keeps gigabytes of so many draws of some families
    z, log_q = q(torch.randn(draws, points, q.noise_dim))
    loss = (z.square().sum(-1) + log_q).mean()
    del z, log_q
    assert memory._in_use or not pooled
    torch.autograd.grad(loss, tuple(q.parameters()), retain_graph=True)
    loss.backward()
    gc.collect()
    assert not memory._in_use
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()
