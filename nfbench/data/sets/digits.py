"""Scikit-learn's digits under a fixed binarisation: 1,797 images of 8 x 8 pixels, real data that need no download."""

import functools

import numpy as np
import torch

from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol, Rows
from nfbench.data.source import Source
from nfbench.specification.registry import register_data

_GREY_LEVELS = 16
_SEED = 2015  # of the draw and of the shuffle

SOURCE = Source("digits", "that of scikit-learn, which brings them along")
PROTOCOL = Protocol(
    name="digits",
    kind="static",
    split=(1197, 300, 300),
    sha256="93c763c70b13ff59f43508d937b86d08cb21020d56a296d4b6bdb88bb0e0317d",
)


@functools.cache
def load(protocol: Protocol = PROTOCOL, seed: int = _SEED) -> tuple[Rows, Rows, Rows]:
    """Binarise, shuffle and split the images.

    They are the test set of the UCI optical recognition data (Alpaydin & Kaynak 1998), grey from 0 to 16. As in the
    paper's binarised MNIST, every pixel is drawn once, with probability grey / 16 of being 1. Draw and shuffle use
    `numpy.random.RandomState`, whose streams numpy keeps as they are (NEP 19).

    Args:
        protocol: the split, and the hash that the rows must have.
        seed: of the draw and of the shuffle.

    Returns:
        Training, validation and test images, (n, 64) of 0 and 1, read-only.

    Raises:
        InputError: the rows have another sha256.
    """
    from sklearn.datasets import load_digits

    grey = load_digits().data
    random = np.random.RandomState(seed)
    rows = (random.random_sample(grey.shape) < grey / _GREY_LEVELS).astype(np.uint8)
    rows = rows[random.permutation(len(rows))]
    rows.setflags(write=False)
    return protocol.divide(rows)


@register_data("digits", SOURCE, label="Digits, fixed binarisation", cite="Alpaydin & Kaynak 1998", year=1998)
def static() -> Observations:
    """1,197 training, 300 validation and 300 test images of 8 x 8 pixels that are 0 or 1."""
    train, valid, test = (torch.tensor(part) for part in load())
    return Observations(str(PROTOCOL), train, valid, test, (1, 8, 8), "binary")
