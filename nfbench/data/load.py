"""Loads the observations of a data protocol by name."""

import inspect
from typing import Any

from nfbench.data.observations import Observations
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean
from nfbench.specification.registry import protocols


def load(name: str, **options: Any) -> Observations:
    """Load observations.

    Args:
        name: of a protocol, such as ``binarized-mnist:static``.
        options: of the protocol. None and False count as not set, so that a caller may pass options that only some
            protocols take.

    Returns:
        Training, validation and test data of the protocol.

    Raises:
        InputError: unknown protocol, an option that it does not take, data that are missing or not the protocol's, or
            a protocol without observations.
    """
    factory = protocols[name].factory
    chosen = {key: value for key, value in options.items() if value}
    known = inspect.signature(factory).parameters
    for key, value in chosen.items():
        if key not in known:
            hint = did_you_mean(key, known)
            listed = ", ".join(known) or "none"
            raise InputError(f"data {name!r}: {key}={value}: takes no such option;{hint} known: {listed}")
    observations = factory(**chosen)
    if not isinstance(observations, Observations):
        raise InputError(f"data {name!r}: it holds no observations; expected a protocol of images")
    return observations
