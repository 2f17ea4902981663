"""What of the process a number may depend on."""

import warnings

import torch

from nfbench.foundation.inductor import forget_compiled


def test_forgetting_says_nothing_of_torchs_own_imports(monkeypatch):
    """With CUDA torch imports inductor here, which uses what torch has deprecated: no user can do anything about it."""
    called = []

    def reset():
        called.append(True)
        warnings.warn("`torch.jit.script_method` is deprecated.", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr(torch.compiler, "reset", reset)
    forget_compiled()
    assert called == [True]
