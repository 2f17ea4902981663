"""Calls with tensors that do not fit each other."""

import re

import pytest
import torch

from nfbench import InputError
from support.families import firsts, specs

_DEEP = ["planar:K=8", *specs(2)]  # deep networks take long to build, and are refused no otherwise
EVERY = pytest.mark.parametrize("spec", [*_DEEP, *firsts(0)])
DEEP = pytest.mark.parametrize("spec", _DEEP)


def zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


def refused(call, *words):
    """`call` raises an `InputError` of one line in which all words occur."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert re.search(rf"(?<![\w.]){re.escape(str(word))}(?!\w)", message), (word, message)
