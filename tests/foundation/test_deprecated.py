"""Old names: each gives the thing from its new place, with one warning that says where that is."""

import sys
import types

import pytest

from nfbench.foundation.deprecated import moved
from nfbench.specification import registry


@pytest.fixture
def old():
    """A module whose only name has moved to another module."""
    module = types.ModuleType("old_module")
    module.__getattr__ = moved("old_module", {"Counter": "collections.Counter"})
    sys.modules["old_module"] = module
    yield module
    del sys.modules["old_module"]


def test_a_name_warns_once(old, recwarn):
    """The first use warns and names both places; from then on the name is simply there."""
    from collections import Counter

    with pytest.warns(DeprecationWarning, match=r"old_module\.Counter is deprecated .*: use collections\.Counter$"):
        assert old.Counter is Counter
    assert old.Counter is Counter
    assert len(recwarn) == 0


def test_other_names_are_absent(old):
    """What has not moved is no attribute, as in any module."""
    assert not hasattr(old, "OrderedDict")
    with pytest.raises(AttributeError, match="module 'old_module' has no attribute 'deque'"):
        _ = old.deque


@pytest.mark.parametrize(
    ("name", "new"),
    [("posterior", "register_posterior"), ("target", "register_target"), ("protocol", "register_data")],
)
def test_decorators_of_before(monkeypatch, name, new):
    """The decorators' old names are the new ones, with a warning."""
    with pytest.warns(DeprecationWarning, match=f"registry.{name} is deprecated .*: use nfbench.{new}$"):
        decorator = getattr(registry, name)
    assert decorator is getattr(registry, new)
    monkeypatch.delattr(registry, name)  # as it was, for whoever asks next
