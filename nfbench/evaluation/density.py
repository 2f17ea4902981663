"""Bounds and divergences of a posterior of one density, and push-forwards through untrained maps; all in nats."""

import math

import torch
from torch import Tensor

from nfbench.evaluation import noise
from nfbench.foundation.randomness import stream
from nfbench.posteriors.contract import Flow
from nfbench.records.cells import Metric
from nfbench.specification.config import Evaluation, Push
from nfbench.targets.contract import Target
from nfbench.training.objective import Inference, free_energy


def push_through(flow: Flow, base: Target, theta: Tensor, config: Evaluation, seed: int) -> dict[str, Metric]:
    """Push exact samples of a density through a flow and measure the result (paper, Figure 1).

    Args:
        flow: the chain of maps.
        base: density with exact samples.
        theta: parameters of the maps, shape (1, P).
        config: `draws` is the number of samples.
        seed: seed of the samples.

    Returns:
        `entropy`, that of the density q_K after the maps, and `log_det`, the mean of ln|det dz_K/dz|; both in nats with
        Monte-Carlo standard errors.
    """
    with torch.no_grad():
        z = base.sample(config.draws, stream(seed, "evaluation")).to(theta.dtype).unsqueeze(1)
        _, log_det = flow(z, theta)
        log_base = base.log_joint(z) - (base.log_z or 0.0)
        return {"entropy": _mean(log_det - log_base), "log_det": _mean(log_det)}


def draw_theta(flow: Flow, push: Push, seed: int, dtype: torch.dtype) -> Tensor:
    """Draw the parameters of an untrained flow, each independently from N(0, scale^2).

    Args:
        flow: gives P, the number of parameters.
        push: gives `scale`, the standard deviation.
        seed: seed of the draw.
        dtype: dtype of the parameters.

    Returns:
        theta, shape (1, P), on the CPU.
    """
    return push.scale * torch.randn(1, flow.num_params, generator=stream(seed, "push"), dtype=dtype)


def evaluate_density(model: Inference, config: Evaluation, seed: int) -> dict[str, Metric]:
    """Evaluate a posterior of one density: F and the divergences that the target's exact facts allow.

    Args:
        model: target and posterior.
        config: gives the numbers of draws.
        seed: seed of the draws.

    Returns:
        Metrics in nats with Monte-Carlo standard errors: `free_energy`; `kl` where ln Z is exact; `forward_kl` where
        there is a sampler too and the posterior has a density at points; `box_mass` (a probability) and `box_kl` where
        the target has a box.
    """
    target = model.target
    pairs = [(free_energy(*model(block)), block) for block in noise.blocks(model, config.draws, 1, seed)]
    values = torch.cat([value for value, _ in pairs]).squeeze(1)
    metrics = {"free_energy": _mean(values)}
    if target.log_z is not None:
        metrics["kl"] = Metric(value=metrics["free_energy"].value + target.log_z, se=metrics["free_energy"].se)
        if target.has_sampler and model.posterior.has_density:
            metrics["forward_kl"] = _forward_kl(model, target.log_z, config, seed)
    if target.box is not None:
        z = torch.cat([model.posterior(block, None, target.log_joint)[0] for _, block in pairs]).squeeze(1)
        metrics |= _box(values, target.box.contains(z), target.box.log_z)
    return metrics


def _forward_kl(model: Inference, log_z: float, config: Evaluation, seed: int) -> Metric:
    """KL(p||q) = E_p[ln p - ln q] from exact samples of p."""
    device, dtype = noise.device_and_dtype(model)
    z = model.target.sample(config.forward_draws, stream(seed, "forward", device=device)).to(dtype).unsqueeze(1)
    chunks = torch.split(z, max(1, noise.BLOCK // model.target.dim))
    ratio = torch.cat([model.target.log_joint(part) - log_z - model.posterior.log_prob(part) for part in chunks])
    return _mean(ratio)


def _box(values: Tensor, inside: Tensor, log_z: float) -> dict[str, Metric]:
    """KL(q_B||p_B) = E_q[1_B (ln q + U)] / M - ln M + ln Z_B with M = q(B), and M.

    The standard error is the delta method's for a ratio of means.

    Args:
        values: ln q - ln p~ of each draw of q, shape (S,).
        inside: whether each draw lies in the box B, shape (S,).
        log_z: ln Z_B, the log-normaliser of the target on the box.
    """
    num, mass = len(values), float(inside.double().mean())
    metrics = {"box_mass": Metric(value=mass, se=math.sqrt(mass * (1 - mass) / num))}
    if mass > 0:
        mean = float(values[inside].mean())
        influence = torch.where(inside, (values - mean - 1) / mass, 0.0) + 1
        se = float(influence.std() / math.sqrt(num))
        metrics["box_kl"] = Metric(value=mean - math.log(mass) + log_z, se=se)
    return metrics


def _mean(values: Tensor) -> Metric:
    """The mean of independent values with its standard error."""
    return Metric(value=float(values.mean()), se=float(values.std() / math.sqrt(values.numel())))
