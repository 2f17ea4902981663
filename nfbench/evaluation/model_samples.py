"""Pictures from a trained model of data: samples, and reconstructions of some test points."""

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
    """Draw samples from a model and reconstruct some data points.

    - `samples`: 64 means of p(x|z), z from the prior N(0, I).
    - `originals`: 32 evenly spaced data points; `reconstructions`: for each the mean of p(x|z), z one draw of q(z|x).

    Args:
        model: target and posterior.
        target: the model's target.
        data: encoded data points.
        seed: seed of the draws.

    Returns:
        Rows of bytes, shape (number, pixels), 255 for 1; and `picture_shape`, (C, H, W) of a row. Empty where a mean is
        not finite.
    """
    chosen = data.evenly_spaced(RECONSTRUCTIONS)
    device, dtype = noise.device_and_dtype(model)
    prior = torch.randn(
        (SAMPLES, 1, target.dim),
        generator=stream(seed, "evaluation", "samples", device=device),
        device=device,
        dtype=dtype,
    )
    (posterior_noise,) = noise.blocks(model, 1, len(chosen), seed, "reconstructions")
    z, _ = model.posterior(posterior_noise, chosen.features, lambda z: target.log_joint(z, chosen.x))
    samples, reconstructions = target.mean(prior).squeeze(1), target.mean(z).squeeze(0)
    if not bool(samples.isfinite().all() and reconstructions.isfinite().all()):
        return {}
    rows = {"samples": samples, "originals": chosen.x, "reconstructions": reconstructions}
    return {"picture_shape": np.array(target.shape)} | {name: _bytes(values) for name, values in rows.items()}


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    return (255 * values).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
