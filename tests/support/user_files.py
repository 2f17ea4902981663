"""Files with a user's own models, and the one line that refuses a wrong one."""

import pytest

from nfbench import InputError


def written(folder, kind, text, name="mine.py"):
    """Write a file's source; give the spec of its density (`file`) or of its function `model` (`pyro`, `numpyro`)."""
    (folder / name).write_text(text)
    return f"{kind}:{folder / name}" + ("" if kind == "file" else "::model")


def refused_in_one_line(call, words):
    """`call` raises an `InputError` of one line that has all these words, whatever is next to them."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
