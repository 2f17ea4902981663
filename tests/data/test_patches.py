"""Patches of CIFAR-10's images: cut out of the right images, at every place alike, their levels inside (0, 1)."""

import inspect

import numpy as np
import pytest
import torch
from support.data_sets import images, loaded

from nfbench.data.sets import cifar10_patches
from nfbench.foundation.randomness import stream

EPS = 1e-4


def places(patch, image):
    """All places of an image (3, 32, 32) that hold the patch (3, 8, 8)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8), axis=(1, 2))
    return np.argwhere((windows == patch[:, None, None]).all(axis=(0, 3, 4))).tolist()


def levels(observations):
    return np.rint((observations.double().numpy() - EPS) / (1 - 2 * EPS) * 255).astype(np.uint8)


def test_test_patches_are_parts_of_held_out_images():
    """Every third one, found by search: four of each of the images 3,000 to 3,499 for validation, then for test."""
    found, rows = loaded("cifar10-patches:first4000"), images("cifar10-patches:first4000")
    assert np.array_equal(found.train.numpy(), rows[:3000])
    pictures, patches = rows.reshape(-1, 3, 32, 32), levels(torch.cat([found.valid, found.test])).reshape(-1, 3, 8, 8)
    where = [places(patches[number], pictures[3000 + number // 4]) for number in range(0, 4000, 3)]
    assert all(where)
    sure = [place[0] for place in where if len(place) == 1]
    assert len(sure) > 0.9 * len(where)
    assert len({tuple(place) for place in sure}) > 500


def test_redrawn_patches_are_parts_of_their_image():
    """Every redrawn patch of a training image is found in it; patches of one image differ from draw to draw."""
    found = loaded("cifar10-patches:first4000")
    pictures = found.train[:200].numpy().reshape(-1, 3, 32, 32)
    first, second = (levels(found.observe(found.train[:200], stream(seed, "patch"))) for seed in (7, 8))
    assert all(places(patch.reshape(3, 8, 8), image) for patch, image in zip(first, pictures, strict=True))
    assert (first != second).any(1).mean() > 0.9


def test_patches_come_from_every_place_alike():
    """On an image that tells row and column, each of the 625 places comes up as often as any other."""
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[0], image[1], image[2] = torch.arange(32)[:, None], torch.arange(32), 77
    num = 62_500
    drawn = levels(cifar10_patches.anew(image.flatten().expand(num, -1), stream(9, "place"))).reshape(num, 3, 8, 8)
    top, left = drawn[:, 0, 0, 0].astype(int), drawn[:, 1, 0, 0].astype(int)
    for number in range(0, num, 1000):
        row, column = top[number], left[number]
        assert np.array_equal(drawn[number], image[:, row : row + 8, column : column + 8].numpy())
    counts = np.bincount(25 * top + left, minlength=625)
    assert len(counts) == 625
    assert (np.abs(counts - num / 625) <= 5.5 * np.sqrt(num / 625)).all()


@pytest.mark.parametrize("dequantise", [False, True])
def test_black_and_white_stay_inside(dequantise):
    """The darkest level is at least eps and the lightest at most 1 - eps, to float32, with noise and without."""
    for level, edge in ((0, EPS), (255, 1 - EPS)):
        drawn = cifar10_patches.anew(
            torch.full((20_000, 3072), level, dtype=torch.uint8), stream(10, "edge"), dequantise=dequantise
        )
        assert drawn.min() >= EPS * (1 - 1e-6)
        assert drawn.max() <= 1 - EPS + 1e-6
        if not dequantise:
            assert (drawn.double() - edge).abs().max() <= 1e-7  # a float32 step below 1 is 6e-8


def test_noise_stays_between_the_levels():
    """Dequantised test patches are the same patches, each number moved within its own level, uniformly."""
    plain, noisy = (loaded("cifar10-patches:first4000", dequantise=noise).test for noise in (False, True))
    assert (plain != noisy).float().mean() > 0.99
    moved = (noisy.double().numpy() - EPS) / (1 - 2 * EPS) * 256 - levels(plain)
    assert moved.min() > -2e-5  # a number near 1 has steps of 6e-8 in float32, of 1.5e-5 levels
    assert moved.max() < 1 + 2e-5
    assert abs(moved.mean() - 0.5) <= 5 * np.sqrt(1 / 12 / moved.size)


@pytest.mark.parametrize("merge_valid", [False, True])
def test_full_cifar_is_split_by_image(monkeypatch, merge_valid):
    """Made of stand-ins for the 60,000 images: the paper's 50,000 and 10,000 on request, one patch a held-out image."""
    rows = np.resize(np.random.RandomState(1).randint(256, size=(600, 3072), dtype=np.uint8), (60_000, 3072))
    monkeypatch.setattr(cifar10_patches.Source, "rows", lambda _: [rows])
    found = inspect.unwrap(cifar10_patches.patches)(merge_valid=merge_valid)
    assert found.protocol.startswith(
        f"cifar10-patches:eps=0.0001,{'50000+0+10000' if merge_valid else '45000+5000+10000'}@"
    )
    assert np.array_equal(found.train[44_999].numpy(), rows[44_999])
    for number in range(0, 10_000, 500):
        patch = levels(found.test[number]).reshape(3, 8, 8)
        assert len(places(patch, rows[50_000 + number].reshape(3, 32, 32))) == 1
