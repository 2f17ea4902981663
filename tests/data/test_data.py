"""Data protocols: the numbers a model sees are the ones the hash says."""

import dataclasses
import hashlib

import numpy as np
import pytest

from nfbench.data.sets.digits import PROTOCOL, load
from nfbench.foundation.errors import InputError


@pytest.fixture(scope="module")
def grey():
    from sklearn.datasets import load_digits

    return load_digits().data


def test_digits_are_the_hashed_ones():
    """Drawn anew, the rows are binary, split as stated, and their bytes have the constant in the source as sha256."""
    load.cache_clear()
    parts = load()
    assert tuple(part.shape for part in parts) == ((1197, 64), (300, 64), (300, 64))
    rows = np.concatenate(parts)
    assert rows.dtype == np.uint8
    assert set(np.unique(rows)) == {0, 1}
    assert hashlib.sha256(rows.tobytes()).hexdigest() == PROTOCOL.sha256
    assert str(PROTOCOL) == f"digits:static,1197+300+300@{PROTOCOL.sha256[:12]}"


def test_digits_follow_the_grey_levels(grey):
    """Each pixel's count of ones is that of independent draws of probability grey / 16, and certain pixels are sure."""
    ones = np.concatenate(load()).sum(0)
    chance = grey / 16
    deviation = np.sqrt((chance * (1 - chance)).sum(0))
    assert (np.abs(ones - chance.sum(0)) <= 5 * deviation).all()
    assert (deviation == 0).any()


def test_digits_draw_nothing_from_the_global_generator():
    """Loading leaves numpy's global stream where it was."""
    state = np.random.get_state()[1].copy()
    load.cache_clear()
    load()
    assert (np.random.get_state()[1] == state).all()


def test_digits_cannot_be_written_to():
    """The rows are shared within a process, so nobody may change them."""
    with pytest.raises(ValueError, match="read-only"):
        load()[0][0, 0] = 1


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"split": (1197, 300, 299)}])
def test_another_protocol_is_refused(change):
    """A corrupt constant or a split that does not add up is an error that names both hashes."""
    protocol = dataclasses.replace(PROTOCOL, **change)
    with pytest.raises(InputError) as caught:
        load(protocol)
    message = str(caught.value)
    assert "\n" not in message
    assert protocol.sha256 in message
    if change.keys() == {"sha256"}:
        assert PROTOCOL.sha256 in message


def test_another_seed_is_refused():
    """Another draw of the same images is not the protocol's."""
    with pytest.raises(InputError, match=PROTOCOL.sha256):
        load(seed=1)


@pytest.mark.parametrize("damage", ["pixel", "order"])
def test_damaged_rows_are_refused(damage):
    """One flipped pixel or two exchanged rows are noticed."""
    rows = np.concatenate(load())
    PROTOCOL.divide(rows)
    if damage == "pixel":
        rows[700, 20] ^= 1
    else:
        rows[[0, 1]] = rows[[1, 0]]
    with pytest.raises(InputError, match=hashlib.sha256(rows.tobytes()).hexdigest()):
        PROTOCOL.divide(rows)
