"""Memory of large results: used again when they are gone, never before."""

import pytest
import torch

from nfbench.kernels import memory


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(memory, "_free", {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_is_used_again(dtype):
    """Memory of a tensor that is gone serves the next of its size; while a view lives, it does not."""
    like = torch.zeros(1, dtype=dtype)
    first = memory.empty(3, 2**19, like=like)
    assert (first.shape, first.dtype, first.is_contiguous()) == ((3, 2**19), dtype, True)
    place, view = first.data_ptr(), first[1:].fill_(7.0)
    del first
    assert memory.empty(3, 2**19, like=like).data_ptr() != place
    assert (view == 7).all()
    del view
    taken = [memory.empty(3, 2**19, like=like).data_ptr() for _ in range(2)]
    assert place in taken


def test_two_at_once_are_apart():
    """Two that live at the same time do not share memory."""
    one, other = (memory.empty(2**20, like=torch.zeros(1)).fill_(value) for value in (1.0, 2.0))
    assert (one == 1).all()
    assert (other == 2).all()


def test_little_is_kept(monkeypatch):
    """No more than the limit is kept."""
    monkeypatch.setattr(memory, "_KEPT", 3 * 2**22)
    live = [memory.empty(2**20, like=torch.zeros(1)) for _ in range(5)]
    live.clear()
    assert [block.nbytes for block in memory._free.values()] == [2**22] * 3


def test_small_tensors_are_torchs_own():
    """Below the limit nothing is kept."""
    place = memory.empty(4, like=torch.zeros(1))
    del place
    assert not memory._free


def test_gradients_that_are_kept_stay():
    """A gradient that the user holds is not overwritten by later ones."""
    from nfbench import posterior

    q = posterior("planar:K=60", 30, points=100)
    noise, kept = torch.randn(1, 100, 30, generator=torch.Generator().manual_seed(0)), []
    for scale in (1.0, 2.0, 3.0):
        q.zero_grad(set_to_none=True)
        z, log_q = q(noise)
        (scale * (z.sum() + log_q.sum())).backward()
        kept.append(q.source.theta.grad)
    assert torch.allclose(2 * kept[0], kept[1], rtol=1e-4, atol=1e-5)
    assert torch.allclose(3 * kept[0], kept[2], rtol=1e-4, atol=1e-5)
