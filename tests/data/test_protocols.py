"""Every data protocol that can be loaded: pinned, split by image, and made observations as it says."""

import hashlib
import inspect

import numpy as np
import pytest
import torch
from support.data_sets import images, loaded, need

from nfbench.data import binarise
from nfbench.data.load import load
from nfbench.data.sets import cifar10_patches, digits, omniglot
from nfbench.data.source import source
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.specification.registry import protocols

PINNED = [
    ("binarized-mnist:static", {}, "binarized-mnist:static,50000+10000+10000@07ad6da6ba68"),
    ("binarized-mnist:static", {"merge_valid": True}, "binarized-mnist:static,60000+0+10000@07ad6da6ba68"),
    ("mnist:dynamic", {}, "mnist:dynamic,50000+10000+10000@b02842ac23aa"),
    ("mnist:threshold", {}, "mnist:threshold,50000+10000+10000@492f31c506e2"),
    ("cifar10-patches:first4000", {}, "cifar10-patches:first4000,eps=0.0001,3000+2000+2000@975be5657d32"),
    (
        "cifar10-patches:first4000",
        {"dequantise": True},
        "cifar10-patches:first4000,eps=0.0001,dequantised,3000+2000+2000@c2f3e56efb56",
    ),
    ("frey", {}, "frey:levels,1565+200+200@3f4fa328ac14"),
    ("omniglot:small", {}, "omniglot:small,dynamic,3840+500+500@4efa8a037b1d"),
    ("digits", {}, "digits:static,1197+300+300@93c763c70b13"),
]
# README of the binarised files and of MNIST: sha256 of the official text files and of the raw IDX files.
OFFICIAL_TEXT = (
    "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
)
RAW_IDX = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
)


@pytest.mark.parametrize(("name", "options", "told"), PINNED, ids=[told for _, _, told in PINNED])
def test_protocols_are_pinned(name, options, told):
    """The string of a record is the pinned one, and its digits are the sha256 of the rows as they lie in memory."""
    found = loaded(name, **options)
    digest = hashlib.sha256()
    for part in (found.train, found.valid, found.test):
        digest.update(part.numpy().astype(part.numpy().dtype.newbyteorder("<")).tobytes())
    assert found.protocol == told
    assert told.endswith("@" + digest.hexdigest()[:12])


@pytest.mark.parametrize(("name", "options", "told"), PINNED, ids=[told for _, _, told in PINNED])
def test_observations_are_as_declared(name, options, told):
    """Sizes are the string's; observations have the shape's pixels, and are 0 or 1, or strictly between."""
    found = loaded(name, **options)
    sizes = tuple(map(len, (found.train, found.valid, found.test)))
    assert "+".join(map(str, sizes)) == told.rpartition("@")[0].rpartition(",")[2]
    fed = found.observe(found.train[:500], stream(0, "fed"))
    for part in (fed, found.valid, found.test):
        assert part.shape[1] == np.prod(found.shape)
        if found.values == "binary":
            assert part.dtype == torch.uint8
            assert len(part) == 0 or set(part.unique().tolist()) == {0, 1}
        else:
            assert part.dtype == torch.float32
            assert part.min() > 0
            assert part.max() < 1
    if found.redraw is not None:
        assert found.train.dtype == torch.uint8


def test_every_protocol_is_tested():
    """No registered protocol is forgotten: it is pinned here, has no images, or its files cannot be had offline."""
    far, other = {"cifar10-patches", "omniglot"}, {"posteriordb"}  # which holds no observations
    assert {name for name, _, _ in PINNED} | far | other == set(protocols.names())


@pytest.mark.parametrize(("name", "options", "told"), PINNED, ids=[told for _, _, told in PINNED])
def test_loaded_once(name, options, told):
    """A second load gives the very same object."""
    assert loaded(name, **options) is load(name, **options)


def test_the_binarised_files_are_the_official_ones():
    """Written as text, the rows have the sha256 of the official text files."""
    need("binarized-mnist:static")
    for rows, official in zip(source("binarized-mnist:static").rows(), OFFICIAL_TEXT, strict=True):
        text = np.full((len(rows), 2 * rows.shape[1]), ord(" "), np.uint8)
        text[:, ::2] = rows + ord("0")
        text[:, -1] = ord("\n")
        assert hashlib.sha256(text.data).hexdigest() == official


def test_mnist_files_are_the_official_ones():
    """Behind the header of the raw format, the rows have the sha256 of the official files."""
    need("mnist:dynamic")
    for rows, official in zip(source("mnist:dynamic").rows(), RAW_IDX, strict=True):
        header = np.array([0x803, len(rows), 28, 28], ">i4").tobytes()
        assert hashlib.sha256(header + rows.tobytes()).hexdigest() == official


def test_merged_validation_images_are_the_last_to_train_on():
    """The 60,000 are the 50,000 with the 10,000 after them; the test images stay."""
    plain, merged = loaded("binarized-mnist:static"), load("binarized-mnist:static", merge_valid=True)
    assert torch.equal(merged.train, torch.cat([plain.train, plain.valid]))
    assert torch.equal(merged.test, plain.test)
    assert merged.valid.shape == (0, 784)


def test_no_image_is_in_two_splits():
    """No binarised test image is a training or validation image."""
    found = loaded("binarized-mnist:static")
    seen = [{row.tobytes() for row in part.numpy()} for part in (found.train, found.valid, found.test)]
    assert not seen[2] & (seen[0] | seen[1])
    assert not seen[0] & seen[1]


def test_frey_faces_are_shuffled_and_each_is_used_once():
    """Turned back into levels, the three splits together are a rearrangement of the file's rows."""
    found, rows = loaded("frey"), images("frey")
    levels = (torch.cat([found.train, found.valid, found.test]).numpy() * 256 - 0.5).astype(np.uint8)
    assert sorted(map(bytes, levels)) == sorted(map(bytes, rows))
    assert not np.array_equal(levels, rows)
    assert found.shape == (1, 28, 20)


def test_small_omniglot_is_split_by_image():
    """Training images are rows of the file; held out are as many others, black where the file is black."""
    found, rows = loaded("omniglot:small"), images("omniglot:small")
    order = np.random.RandomState(2015).permutation(len(rows))
    assert sorted(order) == list(range(4840))
    assert np.array_equal(found.train.numpy(), rows[order[:3840]])
    drawn, grey = torch.cat([found.valid, found.test]).numpy(), rows[order[3840:]]
    assert (drawn[grey == 0] == 0).all()
    assert (drawn[grey == 255] == 1).all()


def test_dynamic_mnist_is_split_as_stated():
    """Training rows are the first 50,000 grey images; held-out pixels are drawn from the others' grey levels."""
    found, grey = loaded("mnist:dynamic"), images("mnist:dynamic")
    assert np.array_equal(found.train.numpy(), grey[:50_000])
    drawn, chance = torch.cat([found.valid, found.test]).numpy(), grey[50_000:] / 255
    assert (drawn[chance == 0] == 0).all()
    assert (drawn[chance == 1] == 1).all()
    ones, deviation = drawn.sum(0), np.sqrt((chance * (1 - chance)).sum(0))
    assert (np.abs(ones - chance.sum(0)) <= 5.5 * deviation + 1e-9).all()


def test_threshold():
    """A pixel is 1 exactly where its grey level is at least 128 of 255."""
    found, grey = loaded("mnist:threshold"), images("mnist:threshold")
    rows = torch.cat([found.train, found.valid, found.test]).numpy()
    assert np.array_equal(rows, grey >= 128)
    assert found.redraw is None


def test_redrawn_pixels_have_the_mean_of_their_grey():
    """Over 400 draws, the ones of each of 64 images are grey / 255 in all, within 5 standard errors."""
    grey = torch.randint(256, (64, 784), generator=stream(1, "grey")).to(torch.uint8)
    generator, draws = stream(2, "draws"), 400
    ones = sum(binarise.anew(grey, generator).sum(1, dtype=torch.float64) for _ in range(draws))
    chance = grey.double() / 255
    error = (draws * (chance * (1 - chance)).sum(1)).sqrt()
    excess = ones - draws * chance.sum(1)
    assert (excess.abs() <= 5 * error).all()
    assert excess.sum().abs() <= 5 * error.square().sum().sqrt()


def test_certain_pixels_are_certain():
    """Black is never 1 and white never 0."""
    grey = torch.tensor([[0, 255]], dtype=torch.uint8).repeat(100_000, 1)
    assert binarise.anew(grey, stream(3, "draws")).double().mean(0).tolist() == [0, 1]


@pytest.mark.parametrize("name", ["binarise", "patches", "dequantised"])
def test_redraw_is_a_function_of_rows_and_generator(name):
    """Equal generators give equal observations, others others; torch's own generator and the rows are left alone."""
    redraw = {
        "binarise": binarise.anew,
        "patches": cifar10_patches.anew,
        "dequantised": lambda rows, generator: cifar10_patches.anew(rows, generator, dequantise=True),
    }[name]
    rows = torch.randint(256, (20, 3072), generator=stream(4, "rows")).to(torch.uint8)
    before, state = rows.clone(), torch.get_rng_state()
    first = redraw(rows, stream(5, "a"))
    assert torch.equal(first, redraw(rows, stream(5, "a")))
    assert not torch.equal(first, redraw(rows, stream(5, "b")))
    assert torch.equal(rows, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert redraw(rows.view(4, 5, 3072), stream(5, "a")).shape == (4, 5, first.shape[-1])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["mnist:dynamic", "cifar10-patches:first4000", "omniglot:small"])
def test_a_gpu_redraws_too(name):
    """Rows on a device become observations there, the same for the same generator."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    found = loaded(name)
    rows = found.train[:50].cuda()
    first, second = (found.observe(rows, stream(6, "gpu", device="cuda")) for _ in range(2))
    assert first.is_cuda
    assert torch.equal(first, second)


def test_iwae_omniglot_keeps_its_test_images(monkeypatch):
    """Made of stand-ins: 23,000 and 1,345 of the training images, shuffled; the 8,070 test images in their order."""
    sure = 255 * np.random.RandomState(2).randint(2, size=(32_415, 784), dtype=np.uint8)
    monkeypatch.setattr(omniglot.Source, "rows", lambda _: [sure])
    found = inspect.unwrap(omniglot.iwae)()
    assert found.protocol.startswith("omniglot:dynamic,23000+1345+8070@")
    assert np.array_equal(255 * found.test.numpy(), sure[24_345:])
    held = {row.tobytes() for row in 255 * found.valid.numpy()}
    assert held | {row.tobytes() for row in found.train.numpy()} == {row.tobytes() for row in sure[:24_345]}


def test_digits_are_wrapped():
    """The observations are the digits that were there before."""
    for part, rows in zip((load("digits").train, load("digits").test), digits.load()[::2], strict=True):
        assert np.array_equal(part.numpy(), rows)


def test_unknown_names_and_options():
    """A name with a typing error gets a suggestion; an option that a protocol does not have is refused."""
    with pytest.raises(InputError, match="did you mean mnist:dynamic"):
        load("mnist:dynamik")
    with pytest.raises(InputError, match=r"'digits': dequantise=True: takes no such option; known: none"):
        load("digits", dequantise=True)
    assert load("digits", dequantise=False, merge_valid=None) is load("digits")
