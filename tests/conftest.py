"""What tests ask for by name, and what holds for all of them."""

import os

import pytest
from torch.distributions import Distribution

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.specification import registry
from nfbench.timing.contenders.contract import CONTENDERS

collect_ignore = ["support/own_models"]  # models as users write them: they find each other by their folder alone


@pytest.fixture
def compiled(monkeypatch):
    """The compiled kernels, under whatever ``NFBENCH_BACKEND`` the tests as a whole are run."""
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")


@pytest.fixture(autouse=True, scope="session")
def _unflushed():
    """No test survives a loss of power: what is written is not flushed to the disk, 12 ms a file on a common one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(autouse=True)
def _as_if_alone():
    """No test sees what another registered, or that zuko, once imported, turns off torch's check of arguments."""
    registries = (registry.posteriors, registry.targets, registry.protocols, CONTENDERS)
    before = [{entry.name: entry for entry in each.in_order()} for each in registries]
    Distribution.set_default_validate_args(__debug__)
    yield
    for each, entries in zip(registries, before, strict=True):
        each._entries = entries
