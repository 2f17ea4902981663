"""One evaluation of bounds, divergences and likelihoods, the same for every family; all in nats."""

import math
from typing import NamedTuple

import torch

from nfbench.evaluation import density_grid
from nfbench.evaluation.density import evaluate_density
from nfbench.evaluation.density_grid import Arrays
from nfbench.evaluation.diagnostics import evaluate_weights
from nfbench.evaluation.likelihood import evaluate_data, observed
from nfbench.evaluation.model_samples import pictures
from nfbench.evaluation.reference import evaluate_reference
from nfbench.records.cells import Metric
from nfbench.specification.config import Evaluation
from nfbench.targets.contract import LatentVariableModel
from nfbench.training.objective import Inference


class Evaluated(NamedTuple):
    """The evaluation of a trained posterior, as its record stores it.

    Attributes:
        metrics: name -> value with its Monte-Carlo standard error, where the value is finite.
        arrays: name -> density images, values of single data points, or pictures.
    """

    metrics: dict[str, Metric]
    arrays: Arrays


def evaluate(model: Inference, config: Evaluation, seed: int) -> Evaluated:
    """Compute every metric that the target allows, and the arrays for plots.

    - `free_energy`: F = E_q[ln q - ln p(x, z)]; for a target with data the mean over the test data.
    - `kl`: KL(q||p) = F + ln Z, where ln Z is exact.
    - `forward_kl`: KL(p||q) from exact samples, where there is a sampler and q has a density at points.
    - `box_kl`, `box_mass`: KL of the pair truncated to the target's box, and q's probability of the box.
    - with `diagnosis_draws` those of `diagnostics.evaluate_weights`; with `reference_draws`, where the target has exact
      or reference draws, those of `reference.evaluate_reference`.
    - for a target with data those of `likelihood.evaluate_data`, from the test data.

    Args:
        model: target and trained posterior; it is cast to the evaluation's dtype in place.
        config: numbers of draws and dtype.
        seed: seed of all draws.

    Returns:
        The metrics, those that are not finite left out; and arrays: images of the densities on the plane, or the values
        of single data points and pictures.
    """
    model = model.to(dtype=getattr(torch, config.dtype)).eval()
    # Not inference mode: a posterior may follow the target's gradient.
    with torch.no_grad():
        if not isinstance(model.target, LatentVariableModel):
            drawable = density_grid.drawable(model.target) and model.posterior.has_density
            arrays = density_grid.of_model(model, config) if drawable else {}
            metrics = evaluate_density(model, config, seed)
            if config.diagnosis_draws is not None:
                diagnosis, moments = evaluate_weights(model, config.diagnosis_draws, seed)
                metrics, arrays = metrics | diagnosis, arrays | moments
            if config.reference_draws is not None:
                metrics |= evaluate_reference(model, config.reference_draws, seed)
            return Evaluated(finite(metrics), arrays)
        data = observed(model, model.target)
        metrics, arrays = evaluate_data(model, model.target, data, config, seed)
        return Evaluated(finite(metrics), arrays | pictures(model, model.target, data, seed))


def finite(metrics: dict[str, Metric]) -> dict[str, Metric]:
    """Leave out the metrics whose value is not finite: JSON cannot store them, and an absent number is visibly absent.

    Args:
        metrics: name -> metric.

    Returns:
        The finite ones, in the same order.
    """
    return {
        name: metric if math.isfinite(metric.se or 0.0) else Metric(value=metric.value)
        for name, metric in metrics.items()
        if math.isfinite(metric.value)
    }
