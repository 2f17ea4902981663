"""Scikit-learn's digits under a fixed binarisation: 1797 images of 8 x 8 pixels, real data that needs no download."""

import functools

import numpy as np
import torch

from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol, Rows
from nfbench.registry import protocol

_GREY_LEVELS = 16

PROTOCOL = Protocol(
    name="digits",
    images="sklearn.datasets.load_digits: the 1797 test images of the UCI optical recognition set, 8 x 8, grey 0 to 16",
    binarisation="static",
    seed=2015,
    split=(1197, 300, 300),
    sha256="93c763c70b13ff59f43508d937b86d08cb21020d56a296d4b6bdb88bb0e0317d",
)


@functools.cache
def load(told: Protocol = PROTOCOL) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test images, `(n, 64)` of 0 and 1, read-only.

    Like the paper's binarised MNIST, every pixel is drawn once, with probability grey / 16 of being 1, and kept for
    ever. Draw and shuffle use `numpy.random.RandomState`, whose streams numpy keeps as they are (NEP 19).

    Raises:
        InputError: what came out is not what the protocol's sha256 says.
    """
    from sklearn.datasets import load_digits

    grey = load_digits().data
    random = np.random.RandomState(told.seed)
    rows = (random.random_sample(grey.shape) < grey / _GREY_LEVELS).astype(np.uint8)
    rows = rows[random.permutation(len(rows))]
    rows.setflags(write=False)
    return told.divide(rows)


@protocol("digits", label="Digits", cite="Alpaydin & Kaynak 1998; scikit-learn's load_digits", year=1998)
@functools.cache
def digits() -> Observations:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels, binarised once: they come with the package."""
    train, valid, test = (torch.tensor(rows) for rows in load())
    return Observations(str(PROTOCOL), train, valid, test, (1, 8, 8), "binary")
