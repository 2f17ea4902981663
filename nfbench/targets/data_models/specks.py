"""Random binary images under a deep latent Gaussian model: a training step's work at any size, without real data."""

import functools

import torch

from nfbench.data.observations import Observations
from nfbench.foundation.randomness import stream
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.data_models.dlgm import Count, DeepLatentGaussian

_IMAGES = 1000  # a tenth each for validation and test
_ONES = 0.13  # share of pixels that are 1: the mean grey of handwritten digits


@register_target(
    "specks", label="Specks (D={dim}, {pixels} pixels)", cite="none: nothing can be learned from it", year=2026
)
def specks(pixels: Count = 64, dim: Count = 10, hidden: Count = 64) -> Target:
    """Deep latent Gaussian model of images whose pixels are independent specks: for timing, at any size.

    Args:
        pixels: of an image.
        dim: D, number of latent variables.
        hidden: units of the encoder's and of the decoder's one layer.

    Returns:
        The model, its weights drawn from torch's own generator.
    """
    return DeepLatentGaussian(dim, hidden, _observations(pixels))


@functools.cache
def _observations(pixels: int) -> Observations:
    """Images of so many pixels, the same in every process, made once a process."""
    images = torch.rand(_IMAGES, pixels, generator=stream(0, "specks")) < _ONES
    train, valid, test = torch.split(
        images.to(torch.uint8), [_IMAGES - 2 * (_IMAGES // 10), _IMAGES // 10, _IMAGES // 10]
    )
    protocol = f"specks, {pixels} pixels, {_ONES} ones"
    return Observations(protocol, train, valid, test, (1, 1, pixels), "binary")
