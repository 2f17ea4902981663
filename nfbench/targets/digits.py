"""Binarised digits under a deep latent Gaussian model."""

import functools
from typing import Annotated

import torch
from pydantic import Field

from nfbench.data.digits import PROTOCOL, load
from nfbench.registry import target
from nfbench.targets.base import Splits, Target
from nfbench.targets.dlgm import DeepLatentGaussian

_Count = Annotated[int, Field(ge=1)]


@target("digits", label="Digits (D={dim})", cite="Alpaydin & Kaynak 1998; scikit-learn's load_digits", year=1998)
def digits(dim: _Count = 10, hidden: _Count = 64) -> Target:
    """Deep latent Gaussian model of 8 x 8 handwritten digits, binarised once and for all."""
    return DeepLatentGaussian(dim, hidden, _observations(), str(PROTOCOL))


@functools.cache
def _observations() -> Splits:
    """The images as tensors, shared by all models of a process."""
    return Splits(*(torch.tensor(rows, dtype=torch.float32) for rows in load()))
