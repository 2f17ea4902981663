"""Omniglot: handwritten characters of many alphabets, 28 x 28 pixels, binarised at random whenever they are used."""

import numpy as np
import torch

from nfbench.data import binarise
from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol, Rows
from nfbench.data.source import Source
from nfbench.data.storage import formats
from nfbench.data.storage.files import File
from nfbench.specification.registry import register_data

_SEED = 2015  # of the shuffle, and of the draw of validation and test images
_SMALL = "4efa8a037b1d928e61165dab3ffacdf4e94f6aa661ceeb07c295b8cedc1ef5f8"

IWAE = Source(
    "omniglot",
    "MIT",
    (
        File(
            names=("omniglot/chardata.mat",),
            decode=formats.omniglot,
            shape=(24_345 + 8_070, 784),
            size=None,
            container="git:016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
            mirrors=(
                "https://raw.githubusercontent.com/yburda/iwae/78a6075484bd7dd6f47a4bb9880d2295bc7a5220/datasets/OMNIGLOT/chardata.mat",
                "https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",
            ),
        ),
    ),
)
SMALL = Source(
    "omniglot:small",
    "MIT",
    (
        File(
            names=("omniglot_small/omniglot_small_28x28_box.npz",),
            decode=formats.characters,
            shape=(4_840, 784),
            size=465_046,
            sha256="a914a1af3384ba444a4f6a94ef6594ff3b2f75dc9bdf028c993059f68052ab1b",
        ),
    ),
)


@register_data("omniglot", IWAE, label="Omniglot", cite="Lake et al. 2015; Burda et al. 2016", year=2015)
def iwae() -> Observations:
    """IWAE's 28 x 28 images: 23,000 for training, 1,345 for validation, shuffled once; its own 8,070 for test."""
    (rows,) = IWAE.rows()
    images, test = np.split(rows, [24_345])
    train, valid = np.split(_shuffled(images), [23_000])
    parts = _parts(train, valid, test)
    return _observations(Protocol.of_rows("omniglot", "dynamic", *parts), *parts)


@register_data("omniglot:small", SMALL, label="Omniglot, 8 alphabets", cite="Lake et al. 2015", year=2015)
def small() -> Observations:
    """4,840 characters of 8 alphabets in 28 x 28 boxes, not IWAE's images: 3,840, 500 and 500, shuffled once."""
    (rows,) = SMALL.rows()
    parts = _parts(*np.split(_shuffled(rows), [3_840, 4_340]))
    data_protocol = Protocol("omniglot", "small,dynamic", (3_840, 500, 500), _SMALL)
    data_protocol.prove(*parts)
    return _observations(data_protocol, *parts)


def _shuffled(rows: Rows) -> Rows:
    """The rows (n, 784) in random order, the same in every process."""
    return rows[np.random.RandomState(_SEED).permutation(len(rows))]


def _parts(train: Rows, valid: Rows, test: Rows) -> tuple[Rows, Rows, Rows]:
    """Training images as they are, grey; validation and test images binarised once, (n, 784) each."""
    drawn_valid, drawn_test = np.split(binarise.once(np.concatenate([valid, test]), _SEED), [len(valid)])
    return train, drawn_valid, drawn_test


def _observations(data_protocol: Protocol, *parts: Rows) -> Observations:
    """Observations of grey training images, binarised anew, and of binary validation and test images."""
    train, valid, test = map(torch.from_numpy, parts)
    return Observations(str(data_protocol), train, valid, test, (1, 28, 28), "binary", binarise.anew)
