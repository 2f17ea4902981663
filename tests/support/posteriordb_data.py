"""The data of posteriordb, where they are at hand."""

import pytest

from nfbench.data.sets import posteriordb as archive
from nfbench.data.storage.files import find
from nfbench.targets.posteriordb.model import MODELS


def need(name):
    """Skip where the data of a posterior are not at hand."""
    model = MODELS[name]
    for key in (("data", model.data), ("draws", model.draws)):
        if find(archive._FILES[key]) is None:
            pytest.skip(f"no {key[0]} of {name} here: nfbench data get posteriordb")
