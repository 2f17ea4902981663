"""Random 3 x 8 x 8 patches of CIFAR-10's images, their colour levels moved inside (0, 1) (paper, Sec 6.3).

The paper does not say whether a training image gives the same patch for ever. Here it gives a new one each time it is
fed; patches for validation and test are drawn once. Level l of 0 to 255 becomes eps + (1 - 2 eps) l / 255 with
eps = 0.0001, and with noise u between the levels, which the paper does not mention, eps + (1 - 2 eps) (l + u) / 256.
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
_FIRST = {
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
    """3 x 8 x 8 patches: anew of 45,000 training images, one of each of 5,000 for validation and of 10,000 for test.

    Args:
        merge_valid: validation images are trained on: 50,000, as the paper has it.
        dequantise: noise, uniform between the levels.
    """
    (images,) = ALL.rows()
    parts = np.split(images, [50_000, 50_000] if merge_valid else [45_000, 50_000])
    train, valid, test = _observations(parts, 1, dequantise=dequantise)
    told = Protocol.found(_NAME, _kind("", dequantise=dequantise), train.numpy(), valid.numpy(), test.numpy())
    return _told(told, train, valid, test, dequantise=dequantise)


@register_data(f"{_NAME}:first4000", FIRST, label="Patches of 4,000 CIFAR-10 images", cite=_CITE, year=_YEAR)
def first4000(*, dequantise: bool = False) -> Observations:
    """3 x 8 x 8 patches of only 4,000 images: anew of 3,000, four of each of 500 for validation and of 500 for test.

    These are the first images of CIFAR-10's first training batch.

    Args:
        dequantise: noise, uniform between the levels.
    """
    (images,) = FIRST.rows()
    train, valid, test = _observations(np.split(images, [3_000, 3_500]), 4, dequantise=dequantise)
    kind = _kind("first4000,", dequantise=dequantise)
    told = Protocol(_NAME, kind, (3_000, 2_000, 2_000), _FIRST[dequantise])
    told.prove(train.numpy(), valid.numpy(), test.numpy())
    return _told(told, train, valid, test, dequantise=dequantise)


def anew(images: Tensor, generator: torch.Generator, *, dequantise: bool = False) -> Tensor:
    """A random patch of each image, `(..., 3072) uint8 -> (..., 192)`, its levels strictly inside (0, 1)."""
    size, device = images.shape[:-1], images.device
    cut = _cut(images, torch.randint(_PLACES**2, size, generator=generator, device=device)).to(torch.float32)
    return _levels(cut, torch.rand(cut.shape, generator=generator, device=device) if dequantise else None)


def _observations(parts: list[Rows], each: int, *, dequantise: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Training images, and `each` patches of every image for validation and test."""
    train, *held = (torch.tensor(part) for part in parts)
    random = np.random.RandomState(_SEED)
    images = torch.cat(held).repeat_interleave(each, 0)
    cut = _cut(images, torch.from_numpy(random.randint(_PLACES**2, size=len(images)))).to(torch.float64)
    noise = torch.from_numpy(random.random_sample(cut.shape)) if dequantise else None
    levels, num = _levels(cut, noise).to(torch.float32), each * len(held[0])
    return train, levels[:num], levels[num:]


def _cut(images: Tensor, place: Tensor) -> Tensor:
    """The patch whose upper left corner is at a place, `(..., 3072), (...) -> (..., 192)`."""
    inside = torch.arange(_PATCH, device=images.device)
    colours = torch.arange(3, device=images.device) * _SIDE**2
    numbers = (colours[:, None, None] + _SIDE * inside[:, None] + inside).flatten()
    corner = _SIDE * (place // _PLACES) + place % _PLACES
    return images.gather(-1, corner.unsqueeze(-1) + numbers)


def _levels(cut: Tensor, noise: Tensor | None) -> Tensor:
    share = cut / 255 if noise is None else (cut + noise) / 256
    return _EPS + (1 - 2 * _EPS) * share


def _kind(part: str, *, dequantise: bool) -> str:
    return f"{part}eps={_EPS}{',dequantised' * dequantise}"


def _told(told: Protocol, *parts: Tensor, dequantise: bool) -> Observations:
    train, valid, test = parts
    redraw = functools.partial(anew, dequantise=dequantise)
    return Observations(str(told), train, valid, test, (3, _PATCH, _PATCH), "levels", redraw)
