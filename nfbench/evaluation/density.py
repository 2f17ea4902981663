"""Bounds and divergences of a posterior of one density, and what untrained maps do to one; all in nats."""

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
    """Entropy of q_K and mean ln|det| when `base` is pushed through a flow with parameters `theta (1, P)`."""
    with torch.no_grad():
        z = base.sample(config.draws, stream(seed, "evaluation")).to(theta.dtype).unsqueeze(1)
        _, log_det = flow(z, theta)
        log_base = base.log_joint(z) - (base.log_z or 0.0)
        return {"entropy": _mean(log_det - log_base), "log_det": _mean(log_det)}


def draw_theta(flow: Flow, push: Push, seed: int, dtype: torch.dtype) -> Tensor:
    """`-> (1, P)`: the parameters of an untrained flow, every raw number ~ N(0, scale^2)."""
    return push.scale * torch.randn(1, flow.num_params, generator=stream(seed, "push"), dtype=dtype)


def evaluate_density(model: Inference, config: Evaluation, seed: int) -> dict[str, Metric]:
    """F and whichever divergences the target's exact facts allow."""
    target = model.target
    pairs = [(free_energy(*model(drawn)), drawn) for drawn in noise.blocks(model, config.draws, 1, seed)]
    values = torch.cat([value for value, _ in pairs]).squeeze(1)
    metrics = {"free_energy": _mean(values)}
    if target.log_z is not None:
        metrics["kl"] = Metric(value=metrics["free_energy"].value + target.log_z, se=metrics["free_energy"].se)
        if target.has_sampler:
            metrics["forward_kl"] = _forward_kl(model, target.log_z, config, seed)
    if target.box is not None:
        z = torch.cat([model.posterior(drawn)[0] for _, drawn in pairs]).squeeze(1)
        metrics |= _box(values, target.box.contains(z), target.box.log_z)
    return metrics


def _forward_kl(model: Inference, log_z: float, config: Evaluation, seed: int) -> Metric:
    device, dtype = noise.place(model)
    z = model.target.sample(config.forward_draws, stream(seed, "forward", device=device)).to(dtype).unsqueeze(1)
    chunks = torch.split(z, max(1, noise.BLOCK // model.target.dim))
    ratio = torch.cat([model.target.log_joint(part) - log_z - model.posterior.log_prob(part) for part in chunks])
    return _mean(ratio)


def _box(values: Tensor, inside: Tensor, log_z: float) -> dict[str, Metric]:
    """KL(q_B||p_B) = E_q[1_B (ln q + U)] / M - ln M + ln Z_B with M = q(B), and M.

    The standard error is the delta method's for a ratio of means.
    """
    num, mass = len(values), float(inside.double().mean())
    found = {"box_mass": Metric(value=mass, se=math.sqrt(mass * (1 - mass) / num))}
    if mass > 0:
        mean = float(values[inside].mean())
        influence = torch.where(inside, (values - mean - 1) / mass, 0.0) + 1
        se = float(influence.std() / math.sqrt(num))
        found["box_kl"] = Metric(value=mean - math.log(mass) + log_z, se=se)
    return found


def _mean(values: Tensor) -> Metric:
    return Metric(value=float(values.mean()), se=float(values.std() / math.sqrt(values.numel())))
