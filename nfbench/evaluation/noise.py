"""The noise of an evaluation: standard normal numbers from named streams."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nfbench.foundation.randomness import stream
from nfbench.training.objective import Inference

BLOCK = 2**20  # numbers drawn at once: part of what a stream gives, so that another value gives other results


def place(model: Inference) -> tuple[torch.device, torch.dtype]:
    """Where a model's parameters are, and how precise."""
    parameter = next(model.parameters())
    return parameter.device, parameter.dtype


def blocks(model: Inference, draws: int, batch: int, seed: int, *names: str | int) -> Iterator[Tensor]:
    """Noise `(S, B, N)` for `draws` draws of each of `batch` data points, some draws at a time."""
    device, dtype = place(model)
    generator = stream(seed, "evaluation", *names, device=device)
    length = max(1, BLOCK // (batch * model.posterior.noise_dim))
    for start in range(0, draws, length):
        size = (min(length, draws - start), batch, model.posterior.noise_dim)
        yield torch.randn(size, generator=generator, device=device, dtype=dtype)


def of_point(model: Inference, draws: int, seed: int, *names: str | int) -> Tensor:
    """Noise `(S, N)` of one data point, from a stream of its own: whatever is evaluated beside it."""
    device, dtype = place(model)
    generator = stream(seed, "evaluation", *names, device=device)
    return torch.randn(draws, model.posterior.noise_dim, generator=generator, device=device, dtype=dtype)
