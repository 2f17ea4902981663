"""What tests ask for by name."""

import pytest

from nfbench.foundation.settings import BACKEND_VARIABLE


@pytest.fixture
def compiled(monkeypatch):
    """The compiled kernels, under whatever ``NFBENCH_BACKEND`` the tests as a whole are run."""
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
