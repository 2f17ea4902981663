"""Random binary images under a deep latent Gaussian model: the work of a training step without its data."""

import functools

import torch

from nfbench.data.observations import Observations
from nfbench.foundation.randomness import stream
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.data_models.dlgm import Count, DeepLatentGaussian

_IMAGES = 1000  # of which a tenth each for validation and test
_ONES = 0.13  # as many as the mean grey of handwritten digits would give


@register_target(
    "specks", label="Specks (D={dim}, {pixels} pixels)", cite="none: nothing can be learned from it", year=2026
)
def specks(pixels: Count = 64, dim: Count = 10, hidden: Count = 64) -> Target:
    """Deep latent Gaussian model of images whose pixels are independent specks: for timing, at any size."""
    return DeepLatentGaussian(dim, hidden, _observations(pixels))


@functools.cache
def _observations(pixels: int) -> Observations:
    """The same images in every process, shared by all models."""
    images = torch.rand(_IMAGES, pixels, generator=stream(0, "specks")) < _ONES
    train, valid, test = torch.split(
        images.to(torch.uint8), [_IMAGES - 2 * (_IMAGES // 10), _IMAGES // 10, _IMAGES // 10]
    )
    told = f"specks, {pixels} pixels, {_ONES} ones"
    return Observations(told, train, valid, test, (1, 1, pixels), "binary")
