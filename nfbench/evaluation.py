"""One evaluation of bounds, divergences and likelihoods, the same for every family; all in nats."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from nfbench.config import Evaluation, Push
from nfbench.numerics import log_mean_exp, stream
from nfbench.objectives import Inference, free_energy
from nfbench.posteriors.base import Flow
from nfbench.records import Metric
from nfbench.targets.base import LatentVariableModel, Target

_CHUNK = 2**20  # numbers z held at once; memory is a few dozen times as much


def evaluate(model: Inference, config: Evaluation, seed: int) -> dict[str, Metric]:
    """Every metric that the target allows, with its Monte-Carlo standard error.

    - `free_energy`: F = E_q[ln q - ln p(x, z)]; for a target with data the mean over the test data.
    - `kl`: KL(q||p) = F + ln Z, where ln Z is exact.
    - `forward_kl`: KL(p||q) from exact samples, where there is a sampler.
    - `box_kl`, `box_mass`: KL of the pair truncated to the target's box, and q's probability of the box.
    - `nll`, `gap`: importance-sampled -ln p(x), and F - nll, for a target with data (test).
    """
    model = model.to(dtype=getattr(torch, config.dtype)).eval()
    with torch.no_grad():
        if isinstance(model.target, LatentVariableModel):
            return _evaluate_data(model, model.target, config, seed)
        return _evaluate_density(model, config, seed)


def push_through(flow: Flow, base: Target, theta: Tensor, config: Evaluation, seed: int) -> dict[str, Metric]:
    """Entropy of q_K and mean ln|det| when `base` is pushed through a flow with parameters `theta (1, P)`."""
    with torch.no_grad():
        z = base.sample(config.draws, stream(seed, "evaluation")).to(theta.dtype).unsqueeze(1)
        _, log_det = flow(z, theta)
        log_base = base.log_joint(z) - (base.log_z or 0.0)
        return _finite({"entropy": _mean(log_det - log_base), "log_det": _mean(log_det)})


def draw_theta(flow: Flow, push: Push, seed: int, dtype: torch.dtype) -> Tensor:
    """`-> (1, P)`: the parameters of an untrained flow, every raw number ~ N(0, scale^2)."""
    return push.scale * torch.randn(1, flow.num_params, generator=stream(seed, "push"), dtype=dtype)


def _evaluate_density(model: Inference, config: Evaluation, seed: int) -> dict[str, Metric]:
    target = model.target
    pairs = [(free_energy(*model(noise)), noise) for noise in _noise(model, config.draws, 1, seed)]
    values = torch.cat([value for value, _ in pairs]).squeeze(1)
    metrics = {"free_energy": _mean(values)}
    if target.log_z is not None:
        metrics["kl"] = Metric(value=metrics["free_energy"].value + target.log_z, se=metrics["free_energy"].se)
        if target.has_sampler:
            metrics["forward_kl"] = _forward_kl(model, target.log_z, config, seed)
    if target.box is not None:
        z = torch.cat([model.posterior(noise)[0] for _, noise in pairs]).squeeze(1)
        metrics |= _box(values, target.box.contains(z), target.box.log_z)
    return _finite(metrics)


def _forward_kl(model: Inference, log_z: float, config: Evaluation, seed: int) -> Metric:
    device, dtype = _place(model)
    z = model.target.sample(config.forward_draws, stream(seed, "forward", device=device)).to(dtype).unsqueeze(1)
    chunks = torch.split(z, max(1, _CHUNK // model.target.dim))
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


def _evaluate_data(model: Inference, target: LatentVariableModel, config: Evaluation, seed: int) -> dict[str, Metric]:
    device, dtype = _place(model)
    test = target.splits().test.to(device, dtype)
    bounds, errors, nlls, nll_errors = [], [], [], []
    draws = max(config.draws, config.importance_draws)
    length = max(1, _CHUNK // (draws * model.posterior.noise_dim))
    for index, batch in enumerate(torch.split(test, length)):
        noise = torch.cat(list(_noise(model, config.draws, len(batch), seed, index)))
        value = free_energy(*model(noise, batch))
        bounds.append(value.mean(0))
        errors.append(value.var(0) / len(value))
        noise = torch.cat(list(_noise(model, config.importance_draws, len(batch), seed, index, "importance")))
        log_weight = -free_energy(*model(noise, batch))
        nlls.append(-log_mean_exp(log_weight, 0))
        weight = (log_weight - log_weight.amax(0)).exp()
        nll_errors.append(weight.var(0) / weight.mean(0).square() / len(weight))
    bound, nll = _over_data(bounds, errors), _over_data(nlls, nll_errors)
    gap = Metric(value=bound.value - nll.value, se=math.hypot(bound.se or 0.0, nll.se or 0.0))
    return _finite({"free_energy": bound, "nll": nll, "gap": gap})


def _over_data(values: list[Tensor], variances: list[Tensor]) -> Metric:
    """Mean over the data; the error is that of the draws alone, the data being fixed."""
    value, variance = torch.cat(values), torch.cat(variances)
    return Metric(value=float(value.mean()), se=float(variance.sum().sqrt() / len(variance)))


def _noise(model: Inference, draws: int, batch: int, seed: int, *names: str | int) -> Iterator[Tensor]:
    device, dtype = _place(model)
    generator = stream(seed, "evaluation", *names, device=device)
    length = max(1, _CHUNK // (batch * model.posterior.noise_dim))
    for start in range(0, draws, length):
        size = (min(length, draws - start), batch, model.posterior.noise_dim)
        yield torch.randn(size, generator=generator, device=device, dtype=dtype)


def _place(model: Inference) -> tuple[torch.device, torch.dtype]:
    parameter = next(model.parameters())
    return parameter.device, parameter.dtype


def _mean(values: Tensor) -> Metric:
    return Metric(value=float(values.mean()), se=float(values.std() / math.sqrt(values.numel())))


def _finite(metrics: dict[str, Metric]) -> dict[str, Metric]:
    """Without those whose value is not finite: JSON has no word for them, and an absent number is visibly absent."""
    return {name: metric for name, metric in metrics.items() if math.isfinite(metric.value)}
