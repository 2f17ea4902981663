"""The noise of an evaluation: standard normal numbers from named streams."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nfbench.foundation.randomness import stream
from nfbench.training.objective import Inference

BLOCK = 2**20  # numbers drawn at once; another value would give other draws, and so other results


def device_and_dtype(model: Inference) -> tuple[torch.device, torch.dtype]:
    """The device and the dtype of a model's parameters.

    Args:
        model: target and posterior.

    Returns:
        Those of the first parameter.
    """
    parameter = next(model.parameters())
    return parameter.device, parameter.dtype


def blocks(model: Inference, draws: int, batch: int, seed: int, *names: str | int) -> Iterator[Tensor]:
    """Draw the noise of several data points from one stream, some draws at a time.

    Args:
        model: gives N, device and dtype.
        draws: draws for each data point.
        batch: B, the number of data points.
        seed: seed of the evaluation.
        names: names of the stream, beside the seed.

    Yields:
        Standard normal noise of shape (S, B, N); the S add up to `draws`.
    """
    device, dtype = device_and_dtype(model)
    generator = stream(seed, "evaluation", *names, device=device)
    length = max(1, BLOCK // (batch * model.posterior.noise_dim))
    for start in range(0, draws, length):
        size = (min(length, draws - start), batch, model.posterior.noise_dim)
        yield torch.randn(size, generator=generator, device=device, dtype=dtype)


def of_point(model: Inference, draws: int, seed: int, *names: str | int) -> Tensor:
    """Draw the noise of one data point from a stream of its own, so that it does not depend on other data points.

    Args:
        model: gives N, device and dtype.
        draws: S.
        seed: seed of the evaluation.
        names: names of the stream, beside the seed.

    Returns:
        Standard normal noise of shape (S, N).
    """
    device, dtype = device_and_dtype(model)
    generator = stream(seed, "evaluation", *names, device=device)
    return torch.randn(draws, model.posterior.noise_dim, generator=generator, device=device, dtype=dtype)
