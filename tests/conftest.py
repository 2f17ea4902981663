"""What tests ask for by name, and what holds for all of them."""

import os

import pytest

from nfbench.foundation.settings import BACKEND_VARIABLE


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
