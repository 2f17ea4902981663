"""Data of a protocol, for tests that skip where its files are not on the machine."""

import numpy as np
import pytest

from nfbench.data.load import load
from nfbench.data.source import source
from nfbench.data.storage.files import find


def need(name):
    """Skip where the files of a protocol are not here."""
    for file in source(name).files:
        if find(file) is None:
            pytest.skip(f"the data of {name} are not on this machine: no {file.names[0]}")


def loaded(name, **options):
    need(name)
    return load(name, **options)


def images(name):
    """What the source's files hold, as one array."""
    need(name)
    return np.concatenate(source(name).rows())
