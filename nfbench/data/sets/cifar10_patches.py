"""Random 3 x 8 x 8 patches of CIFAR-10's images, with colour levels inside (0, 1) (paper, Sec 6.3).

The paper does not say whether a training image always gives the same patch. Here a new patch is drawn each time the
image is used; patches for validation and test are drawn once. Level l of 0 to 255 becomes eps + (1 - 2 eps) l / 255
with eps = 0.0001; with uniform noise u in [0, 1), which the paper does not mention, eps + (1 - 2 eps) (l + u) / 256.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol, Rows
from nfbench.data.source import Source
from nfbench.data.storage import formats
from nfbench.data.storage.files import File
from nfbench.specification.registry import register_data

_NAME = "cifar10-patches"
_EPS = 1e-4
_SIDE, _PATCH = 32, 8
_PLACES = _SIDE - _PATCH + 1
_SEED = 2015  # of the places of validation and test patches, and of the noise on them
_FIRST = {  # sha256 of the rows of `first4000`, without and with dequantisation
    False: "975be5657d325523fe2834ff085d7460f4cc4acaa402222e19626de7dddede86",
    True: "c2f3e56efb56ec0ad432b338567125dd1d0fd85fb2f40bd543a0b9f40585b763",
}
_LICENCE = "none stated"
_CITE, _YEAR = "Krizhevsky 2009", 2009
_ARCHIVE = "cifar10/cifar-10-binary.tar.gz"
_SIZE = 170_052_171
_MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
)

ALL = Source(
    _NAME,
    _LICENCE,
    (
        File(
            names=(_ARCHIVE,),
            decode=formats.cifar,
            shape=(60_000, 3 * _SIDE**2),
            size=_SIZE,
            container="sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            mirrors=_MIRRORS,
        ),
    ),
)
FIRST = Source(
    f"{_NAME}:first4000",
    _LICENCE,
    (
        File(
            names=("cifar10_part/cifar10_first4000_train_png_lossless.npz", _ARCHIVE),
            decode=formats.first_cifar,
            shape=(4_000, 3 * _SIDE**2),
            size=_SIZE,
            sha256="28afc872aa454f5edfb44b9dc53187ac9e792b2e75c81b091face3432c78e91b",
            mirrors=_MIRRORS,
        ),
    ),
)


@register_data(_NAME, ALL, label="CIFAR-10 patches", cite=_CITE, year=_YEAR)
def patches(*, merge_valid: bool = False, dequantise: bool = False) -> Observations:
    """3 x 8 x 8 patches: drawn anew from 45,000 images for training, one each of 5,000 for validation, 10,000 for test.

    Args:
        merge_valid: validation images are trained on, too: 50,000, as in the paper.
        dequantise: uniform noise is added between the levels.
    """
    (images,) = ALL.rows()
    parts = np.split(images, [50_000, 50_000] if merge_valid else [45_000, 50_000])
    train, valid, test = _observations(parts, 1, dequantise=dequantise)
    data_protocol = Protocol.of_rows(
        _NAME, _kind("", dequantise=dequantise), train.numpy(), valid.numpy(), test.numpy()
    )
    return _as_observations(data_protocol, train, valid, test, dequantise=dequantise)


@register_data(f"{_NAME}:first4000", FIRST, label="Patches of 4,000 CIFAR-10 images", cite=_CITE, year=_YEAR)
def first4000(*, dequantise: bool = False) -> Observations:
    """3 x 8 x 8 patches of 4,000 images: drawn anew from 3,000 for training, four each of 500 for validation and test.

    The images are the first ones of CIFAR-10's first training batch.

    Args:
        dequantise: uniform noise is added between the levels.
    """
    (images,) = FIRST.rows()
    train, valid, test = _observations(np.split(images, [3_000, 3_500]), 4, dequantise=dequantise)
    kind = _kind("first4000,", dequantise=dequantise)
    data_protocol = Protocol(_NAME, kind, (3_000, 2_000, 2_000), _FIRST[dequantise])
    data_protocol.prove(train.numpy(), valid.numpy(), test.numpy())
    return _as_observations(data_protocol, train, valid, test, dequantise=dequantise)


def anew(images: Tensor, generator: torch.Generator, *, dequantise: bool = False) -> Tensor:
    """Draw a random patch of each image.

    Args:
        images: (..., 3072) uint8, three colours of 32 x 32 pixels.
        generator: of random numbers, on the images' device.
        dequantise: uniform noise is added between the levels.

    Returns:
        (..., 192) float32, strictly inside (0, 1).
    """
    size, device = images.shape[:-1], images.device
    cut = _cut(images, torch.randint(_PLACES**2, size, generator=generator, device=device)).to(torch.float32)
    return _levels(cut, torch.rand(cut.shape, generator=generator, device=device) if dequantise else None)


def _observations(parts: list[Rows], each: int, *, dequantise: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Training images as they are, and `each` patches of every validation and test image."""
    train, *evaluated = (torch.tensor(part) for part in parts)
    random = np.random.RandomState(_SEED)
    images = torch.cat(evaluated).repeat_interleave(each, 0)
    cut = _cut(images, torch.from_numpy(random.randint(_PLACES**2, size=len(images)))).to(torch.float64)
    noise = torch.from_numpy(random.random_sample(cut.shape)) if dequantise else None
    levels, num = _levels(cut, noise).to(torch.float32), each * len(evaluated[0])
    return train, levels[:num], levels[num:]


def _cut(images: Tensor, place: Tensor) -> Tensor:
    """Cut the patch at a place, `images (..., 3072), place (...) -> (..., 192)`; place 25 i + j is row i, column j."""
    inside = torch.arange(_PATCH, device=images.device)
    colours = torch.arange(3, device=images.device) * _SIDE**2
    numbers = (colours[:, None, None] + _SIDE * inside[:, None] + inside).flatten()
    corner = _SIDE * (place // _PLACES) + place % _PLACES
    return images.gather(-1, corner.unsqueeze(-1) + numbers)


def _levels(cut: Tensor, noise: Tensor | None) -> Tensor:
    """Map levels 0 to 255 into (0, 1), `(..., 192) -> (..., 192)`, with noise between levels if there is any."""
    share = cut / 255 if noise is None else (cut + noise) / 256
    return _EPS + (1 - 2 * _EPS) * share


def _kind(part: str, *, dequantise: bool) -> str:
    """The `kind` of the protocol, after the name of a part of the images."""
    return f"{part}eps={_EPS}{',dequantised' * dequantise}"


def _as_observations(data_protocol: Protocol, *parts: Tensor, dequantise: bool) -> Observations:
    """Observations of training images, which are cut anew, and of validation and test patches."""
    train, valid, test = parts
    redraw = functools.partial(anew, dequantise=dequantise)
    return Observations(str(data_protocol), train, valid, test, (3, _PATCH, _PATCH), "levels", redraw)
