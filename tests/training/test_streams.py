"""Noise and minibatches: new for every update and seed, the same when asked again, whatever the company."""

import pytest
import torch

from nfbench import target
from nfbench.foundation.randomness import stream
from nfbench.training import streams
from nfbench.training.streams import Minibatches, Noise

CPU = torch.device("cpu")


def _noise(*seeds: int) -> Noise:
    return Noise(seeds, (16, 1, 2), CPU, torch.float32)


def _batches(*seeds: int, size: int = 20) -> Minibatches:
    return Minibatches(seeds, target("digits:dim=2,hidden=2").splits().train, size)


def test_noise_is_new_for_every_update_and_seed(monkeypatch):
    """Across a block's end too, no update and no seed sees noise that another saw; asked again, it is the same."""
    monkeypatch.setattr(streams, "_BLOCK", 3 * 16 * 2)
    noise = _noise(0, 1)
    assert noise.length == 3
    seen = torch.stack([noise(step) for step in range(8)])
    assert seen.shape == (8, 2, 16, 1, 2)
    assert seen.flatten(0, 1).flatten(1).unique(dim=0).shape == (16, 32)
    assert torch.equal(_noise(0, 1)(4), seen[4])


def test_company_changes_no_draw_and_no_order():
    """A seed alone has the noise and the minibatches that it has among others, bit by bit."""
    for step in (0, 70, 400):
        assert torch.equal(_noise(3)(step)[0], _noise(1, 3, 2)(step)[1])
        assert torch.equal(_batches(3)(step)[0], _batches(1, 3, 2)(step)[1])


def test_noise_and_order_use_streams_of_their_own(monkeypatch):
    """No generator of the minibatches' order starts where one of the noise does."""
    used: dict[str, set[int]] = {}
    for source in (_noise(0, 1), _batches(0, 1)):
        starts = used[type(source).__name__] = set()

        def record(*names, starts=starts, **where):
            starts.add(stream(*names).initial_seed())
            return stream(*names, **where)

        monkeypatch.setattr(streams, "stream", record)
        for step in (0, 59, 1000):
            source(step)
    assert all(len(starts) >= 4 for starts in used.values())
    assert not used["Noise"] & used["Minibatches"]


def test_batches_cover_an_epoch():
    """In one epoch a seed sees no data point twice, and the next epoch has another order."""
    batches = _batches(0)
    steps = len(batches.rows) // 20
    seen = torch.cat([batches(step)[0] for step in range(steps)])
    indices = batches.order[0].clone()
    assert torch.equal(seen, batches.rows[indices[: steps * 20]])
    assert indices.unique().numel() == len(batches.rows)
    batches(steps)
    assert not torch.equal(indices, batches.order[0])


@pytest.mark.parametrize("size", [1, 1197, 5000])
def test_batches_are_at_most_the_data(size):
    """A batch larger than the data is all of them."""
    batches = _batches(0, 1, size=size)
    assert batches(0).shape == (2, min(size, 1197), 64)


def test_rows_are_observed_anew_for_every_update_and_seed():
    """What makes observations of rows gets them in order, and a generator of that seed and update, the same again."""
    seen = []

    def observe(rows, generator):
        seen.append(rows)
        return rows + torch.rand(rows.shape, generator=generator)

    rows = torch.arange(60, dtype=torch.uint8).reshape(30, 2)
    batches = Minibatches((0, 5), rows, 10, observe, torch.float64)
    first, second = batches(0), batches(1)
    plain = Minibatches((0, 5), rows, 10)(0)
    assert first.dtype == torch.float64
    assert torch.equal(first.floor().float(), plain)
    noises = [(batch - batch.floor()).flatten() for batch in (first[0], first[1], second[0], second[1])]
    assert len({tuple(noise.tolist()) for noise in noises}) == 4
    assert torch.equal(Minibatches((5,), rows, 10, observe, torch.float64)(1)[0], second[1])
    assert all(part.dtype == torch.uint8 for part in seen)
