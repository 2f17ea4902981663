"""Old names that still work for one version: each gives the thing from its new place, after a warning."""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

GONE = "0.3"  # the version that no longer has the old names


def moved(module: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Make a module's ``__getattr__`` for names that live elsewhere now.

    The first use of a name warns and names the new place; the name then stays in the old module.

    Args:
        module: ``__name__`` of the old place.
        places: old name -> new place, such as ``{"Flow": "nfbench.posteriors.contract.Flow"}``.

    Returns:
        A function ``name -> thing``, which raises `AttributeError` for any other name.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807  it becomes the module's
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        message = f"{module}.{name} is deprecated and will be gone in nfbench {GONE}: use {places[name]}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        home, _, new_name = places[name].rpartition(".")
        thing = getattr(importlib.import_module(home), new_name)
        setattr(sys.modules[module], name, thing)
        return thing

    return __getattr__
