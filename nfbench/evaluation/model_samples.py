"""Pictures of what a model of data has learned: samples, and reconstructions of some test points."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nfbench.evaluation import noise
from nfbench.evaluation.density_grid import Arrays
from nfbench.evaluation.likelihood import Observed
from nfbench.foundation.randomness import stream
from nfbench.targets.contract import LatentVariableModel
from nfbench.training.objective import Inference

SAMPLES = 64
RECONSTRUCTIONS = 32


def pictures(model: Inference, target: LatentVariableModel, data: Observed, seed: int) -> Arrays:
    """Rows of bytes `(number, pixels)`, 255 for 1; `picture_shape` says how a row is a picture, (C, H, W).

    - `samples`: the mean of p(x|z), z from the prior N(0, I).
    - `originals`, `reconstructions`: evenly spaced test points, and the mean of p(x|z), z one draw of q(z|x) of each.

    Nothing where a mean is not finite.
    """
    chosen = data.spread(RECONSTRUCTIONS)
    device, dtype = noise.place(model)
    prior = torch.randn(
        (SAMPLES, 1, target.dim),
        generator=stream(seed, "evaluation", "samples", device=device),
        device=device,
        dtype=dtype,
    )
    (drawn,) = noise.blocks(model, 1, len(chosen), seed, "reconstructions")
    z, _ = model.posterior(drawn, chosen.features, lambda z: target.log_joint(z, chosen.x))
    samples, reconstructions = target.mean(prior).squeeze(1), target.mean(z).squeeze(0)
    if not bool(samples.isfinite().all() and reconstructions.isfinite().all()):
        return {}
    rows = {"samples": samples, "originals": chosen.x, "reconstructions": reconstructions}
    return {"picture_shape": np.array(target.shape)} | {name: _bytes(values) for name, values in rows.items()}


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    return (255 * values).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
