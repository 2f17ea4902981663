"""MNIST's grey images made binary: at random, anew whenever they are used, or by a threshold."""

import numpy as np
import torch

from nfbench.data import binarise
from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol, Rows
from nfbench.data.source import Source
from nfbench.data.storage import formats
from nfbench.data.storage.files import File
from nfbench.specification.registry import register_data

_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
_SPLIT = (50_000, 10_000, 10_000)
_SEED = 2015  # of the draw of validation and test images
_HALF = 127.5  # half of white, 255
_DYNAMIC = "b02842ac23aaa51e1135056eea93eacb27cad0b5c6498e16b8aa85fb674faa5d"
_THRESHOLD = "492f31c506e212989f39f49e48b1068adbbb3dda47c190b6bc439756a84f43f6"


def _file(part: str, num: int, size: int, sha256: str) -> File:
    """The file of one part: `num` images in about `size` bytes of download, `sha256` of the decoded rows."""
    name = f"{part}-images-idx3-ubyte"
    return File(
        names=(f"mnist/{name}.gz", f"mnist/{name}"),
        decode=formats.idx,
        shape=(num, 784),
        size=size,
        sha256=sha256,
        mirrors=tuple(f"{mirror}{name}.gz" for mirror in _MIRRORS),
    )


SOURCE = Source(
    "mnist",
    "CC BY-SA 3.0, as Keras states it",
    (
        _file("train", 60_000, 9_912_422, "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"),
        _file("t10k", 10_000, 1_648_877, "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"),
    ),
)


def _grey() -> tuple[Rows, Rows, Rows]:
    """Grey training, validation and test images (n, 784); the last 10,000 training images are for validation."""
    images, test = SOURCE.rows()
    train, valid = np.split(images, [_SPLIT[0]])
    return train, valid, test


@register_data("mnist:dynamic", SOURCE, label="MNIST, binarised anew each time", cite="LeCun et al. 1998", year=1998)
def dynamic() -> Observations:
    """50,000 training images, binarised anew whenever they are used; 10,000 for validation, 10,000 for test, once."""
    train, valid, test = _grey()
    data_protocol = Protocol("mnist", "dynamic", _SPLIT, _DYNAMIC)
    valid, test = np.split(binarise.once(np.concatenate([valid, test]), _SEED), [_SPLIT[1]])
    data_protocol.prove(train, valid, test)
    rows = torch.tensor(train)
    return Observations(
        str(data_protocol), rows, torch.from_numpy(valid), torch.from_numpy(test), (1, 28, 28), "binary", binarise.anew
    )


@register_data("mnist:threshold", SOURCE, label="MNIST, thresholded at 0.5", cite="LeCun et al. 1998", year=1998)
def threshold() -> Observations:
    """50,000 training, 10,000 validation and 10,000 test images, a pixel 1 where it is lighter than half of white."""
    parts = [(part > _HALF).astype(np.uint8) for part in _grey()]
    data_protocol = Protocol("mnist", "threshold", _SPLIT, _THRESHOLD)
    data_protocol.prove(*parts)
    train, valid, test = map(torch.from_numpy, parts)
    return Observations(str(data_protocol), train, valid, test, (1, 28, 28), "binary")
