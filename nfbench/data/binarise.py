"""Grey images made black and white by chance: a pixel is 1 with probability grey / 255."""

import numpy as np
import torch
from torch import Tensor

from nfbench.data.protocol import Rows


def once(grey: Rows, seed: int) -> Rows:
    """`grey (n, pixels) -> (n, pixels)` of 0 and 1, drawn for ever: numpy keeps this stream as it is (NEP 19)."""
    return (np.random.RandomState(seed).random_sample(grey.shape) < grey / 255).astype(np.uint8)


def anew(grey: Tensor, generator: torch.Generator) -> Tensor:
    """`grey (..., pixels) uint8 -> (..., pixels) uint8` of 0 and 1, on the tensor's device."""
    return (torch.rand(grey.shape, generator=generator, device=grey.device) < grey / 255).to(torch.uint8)
