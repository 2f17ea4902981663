"""Before any test: where there is no GPU, Triton's kernels run in its interpreter; data that lie beside are found."""

import importlib.util
import os
from pathlib import Path

import torch

collect_ignore_glob = (
    [] if importlib.util.find_spec("triton") else ["nfbench/kernels/*/triton.py", "nfbench/kernels/gpu/elementary.py"]
)

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read at Triton's first import

_DATA = Path(__file__).parents[1] / "shared" / "data"
if _DATA.is_dir():
    os.environ.setdefault("NFBENCH_DATA", str(_DATA))
