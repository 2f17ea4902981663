"""What of this process a number may depend on beside the code: device, threads, backend."""

from typing import Any

import torch

from nfbench.kernels.backend import backend


def runtime(device: str) -> dict[str, Any]:
    """The part of a record's provenance that can change between two calls of one process."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return {"device": name, "threads": torch.get_num_threads(), "backend": backend()}
