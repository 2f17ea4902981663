"""The evaluation of a fitted posterior, as a table of metrics."""

import copy
from types import NoneType
from typing import Any

import pandas as pd

from nfbench.evaluation.evaluate import evaluate
from nfbench.foundation.checks import brief, instance, settings, whole_number
from nfbench.foundation.errors import InputError
from nfbench.specification.config import Evaluation
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.targets.function import FunctionTarget
from nfbench.training.fitted import Fitted
from nfbench.training.objective import Inference


def evaluate_fitted(
    fitted: Fitted, target: Target | None = None, *, seed: int | None = None, **changes: Any
) -> pd.DataFrame:
    """Compute every metric that the target allows; see `nfbench.evaluate` for an example.

    Args:
        fitted: a fitted posterior, as `nfbench.fit` or `nfbench.load` returned it; it is not changed.
        target: a target in place of the one of the fit.
        seed: seed of the evaluation's draws; None: the training's.
        changes: fields of `nfbench.specification.config.Evaluation` in place of the defaults.

    Returns:
        One row for each metric: `value` in nats and its Monte-Carlo standard error `se`.

    Raises:
        InputError: no fitted posterior, no target, an unknown field, or a value outside its range.
    """
    if not isinstance(fitted, Fitted):
        raise InputError(f"evaluate: {brief(fitted)}: expected what nfbench.fit or nfbench.load returned")
    instance("evaluate", "target", target, (Target, NoneType), "a Target, or None for that of the fit")
    if seed is not None:
        whole_number("evaluate", "seed", seed)
    target = fitted.target if target is None else target
    if target is None:
        raise InputError("evaluate: the file keeps no target, as it was code; expected evaluate(fitted, target)")
    # A user's function may hold numbers of its own in float32: it is asked in the dtype of the training.
    defaults: dict[str, Any] = {"dtype": fitted.training.dtype} if isinstance(target, FunctionTarget) else {}
    if isinstance(target, LatentVariableModel):
        defaults |= {"draws": 100}
    config = settings("evaluate", Evaluation, defaults, changes)
    model = copy.deepcopy(Inference(target, fitted.posterior))  # the evaluation may cast it
    metrics, _ = evaluate(model, config, fitted.seed if seed is None else seed)
    rows = {name: {"value": metric.value, "se": metric.se} for name, metric in metrics.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "se"]).rename_axis("metric")
