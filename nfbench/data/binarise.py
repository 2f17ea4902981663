"""Random binarisation of grey images: a pixel becomes 1 with probability grey / 255 (Salakhutdinov & Murray 2008)."""

import numpy as np
import torch
from torch import Tensor

from nfbench.data.protocol import Rows


def once(grey: Rows, seed: int) -> Rows:
    """Binarise once and for all: numpy keeps the random numbers of a seed as they are (NEP 19).

    Args:
        grey: (n, pixels), 0 to 255.
        seed: of numpy's `RandomState`.

    Returns:
        (n, pixels) of 0 and 1.
    """
    return (np.random.RandomState(seed).random_sample(grey.shape) < grey / 255).astype(np.uint8)


def anew(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Binarise anew at each call.

    Args:
        grey: (..., pixels) uint8, 0 to 255.
        generator: of random numbers, on the device of `grey`.

    Returns:
        (..., pixels) uint8 of 0 and 1.
    """
    return (torch.rand(grey.shape, generator=generator, device=grey.device) < grey / 255).to(torch.uint8)
