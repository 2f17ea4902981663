"""MNIST under the fixed binarisation of Larochelle & Murray (2011): the paper's data (Sec 6.2)."""

import numpy as np
import torch

from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol
from nfbench.data.source import Source
from nfbench.data.storage import formats
from nfbench.data.storage.files import File
from nfbench.specification.registry import register_data

_MIRRORS = (
    "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/9b5f74da4e4009c5556e8d7a87c88c8e291c253d/",
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
)
_SHA256 = "07ad6da6ba6894a550cb68ae290ff3deb006a01f6b6ce1b3123edec502f1fce8"


def _file(part: str, num: int, size: int, sha256: str) -> File:
    """The file of one part: `num` images in about `size` bytes of download, `sha256` of the decoded rows."""
    name = f"binarized_mnist_{part}"
    return File(
        names=(f"binarized_mnist/{name}.mat", f"binarized_mnist/{name}.amat"),
        decode=formats.binary,
        shape=(num, 784),
        size=size,
        sha256=sha256,
        mirrors=tuple(f"{mirror}{name}.amat" for mirror in _MIRRORS),
    )


SOURCE = Source(
    "binarized-mnist",
    "none stated; derived from MNIST",
    (
        _file("train", 50_000, 2_852_060, "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a"),
        _file("valid", 10_000, 571_883, "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e"),
        _file("test", 10_000, 490_132, "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86"),
    ),
)


@register_data(
    "binarized-mnist:static", SOURCE, label="MNIST, fixed binarisation", cite="Larochelle & Murray 2011", year=2011
)
def static(*, merge_valid: bool = False) -> Observations:
    """50,000 training, 10,000 validation and 10,000 test images whose pixels are 0 or 1.

    Args:
        merge_valid: validation images are trained on, too: 60,000, as in the paper's text.
    """
    split = (60_000, 0, 10_000) if merge_valid else (50_000, 10_000, 10_000)
    data_protocol = Protocol("binarized-mnist", "static", split, _SHA256)
    train, valid, test = map(torch.from_numpy, data_protocol.divide(np.concatenate(SOURCE.rows())))
    return Observations(str(data_protocol), train, valid, test, (1, 28, 28), "binary")
