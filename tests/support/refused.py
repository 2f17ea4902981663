"""Calls with tensors that do not fit each other."""

import re

import pytest
import torch

from nfbench import InputError
from support.families import specs

EVERY = pytest.mark.parametrize("spec", specs(0, 1, 8))
DEEP = pytest.mark.parametrize("spec", specs(8))


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
