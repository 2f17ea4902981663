"""Observations, each set under a protocol that says which images, split and binarisation, and their sha256."""

import inspect
from typing import TYPE_CHECKING, Any

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean
from nfbench.specification.registry import protocols

if TYPE_CHECKING:
    from nfbench.data.observations import Observations


def load(name: str, **options: Any) -> "Observations":
    """The observations of the protocol `name`, such as ``binarized-mnist:static``.

    Options that are None or False count as not given, so that a caller may pass what only some protocols take.

    Raises:
        InputError: unknown protocol, an option that it does not take, or data that are missing or not the protocol's.
    """
    factory = protocols[name].factory
    given = {key: value for key, value in options.items() if value}
    known = inspect.signature(factory).parameters
    for key, value in given.items():
        if key not in known:
            hint = did_you_mean(key, known)
            listed = ", ".join(known) or "none"
            raise InputError(f"data {name!r}: {key}={value}: takes no such option;{hint} known: {listed}")
    found: Observations = factory(**given)
    return found
