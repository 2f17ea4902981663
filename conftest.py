"""Before any test: where there is no GPU, Triton's kernels run in its interpreter."""

import importlib.util
import os

import torch

collect_ignore_glob = [] if importlib.util.find_spec("triton") else ["nfbench/kernels/*_triton.py"]

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read at Triton's first import
