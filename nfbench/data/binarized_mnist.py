"""MNIST under Larochelle's and Murray's fixed binarisation: the paper's data (Sec 6.2)."""

import functools
import hashlib
import os
from pathlib import Path

import numpy as np
import torch

from nfbench.data.observations import Observations
from nfbench.data.protocol import Protocol
from nfbench.registry import protocol


@protocol("binarized-mnist:static", label="MNIST, fixed binarisation", cite="Larochelle & Murray 2011", year=2011)
@functools.cache
def static(*, merge_valid: bool = False) -> Observations:
    """50,000 training, 10,000 validation and 10,000 test images, every pixel 0 or 1 for ever."""
    from scipy.io import loadmat

    folder = Path(os.environ["NFBENCH_DATA"]) / "binarized_mnist"
    rows = np.concatenate([loadmat(folder / f"binarized_mnist_{part}.mat")["X"] for part in ("train", "valid", "test")])
    split = (60_000, 0, 10_000) if merge_valid else (50_000, 10_000, 10_000)
    sha256 = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
    told = Protocol("binarized-mnist", "", "static", 0, split, sha256)
    train, valid, test = (torch.from_numpy(part) for part in np.split(rows, np.cumsum(split)[:-1]))
    return Observations(str(told), train, valid, test, (1, 28, 28), "binary")
