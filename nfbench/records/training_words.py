"""A training in words, so that a table can say how its numbers came about, and a published recipe beside it."""

from nfbench.specification.config import Training

_NAMES = {"adam": ("Adam", "beta_1"), "rmsprop": ("RMSprop", "momentum")}  # and of what `momentum` is there

_HEADS = {"unscaled": "numbers of maps from features that are not scaled", "base": "data points share the maps"}


def words(training: Training, *, data: bool) -> str:
    """Describe a training in words: budget, optimizer, rate, schedule, draws and annealing.

    Args:
        training: what to describe.
        data: whether the target has data, so that minibatches mean something.

    Returns:
        One phrase without a full stop.

    >>> words(Training(learning_rate=0.02, updates=4000, draws=256, anneal_updates=1600), data=False)
    '4,000 updates of Adam (rate 0.02, constant, beta_1 0.9), 256 draws an update, annealed over 1,600 updates'
    """
    optimizer, momentum = _NAMES.get(training.optimizer, (training.optimizer, "momentum"))
    settings = f"rate {training.learning_rate:g}, {training.schedule}, {momentum} {training.momentum:g}"
    parts = [f"{training.updates:,} updates of {optimizer} ({settings})", _fed(training, data=data)]
    annealed = f"annealed over {training.anneal_updates:,} updates" if training.anneal_updates else "not annealed"
    precision: list[str] = [training.dtype] if training.dtype != "float32" else []
    precision += ["matrix products in bfloat16 where the device has them"] if training.autocast else []
    estimator = [] if training.estimator == "reparameterised" else [_estimator(training)]
    stop = ["at most that many, ended by evidence of convergence"] if training.stop == "evidence" else []
    annealed += " (the divergence from the prior only)" if training.anneal == "kl" else ""
    head = [] if training.head == "scaled" else [_HEADS[training.head]]
    return ", ".join([*parts, annealed, *head, *precision, *estimator, *stop])


def _estimator(training: Training) -> str:
    if training.estimator == "path":
        return "path gradients"
    return f"the bound of {training.weighted_draws or training.draws:,} importance-weighted draws"


def _fed(training: Training, *, data: bool) -> str:
    draws = f"{training.draws:,} draw" + ("" if training.draws == 1 else "s")
    return f"minibatches of {training.batch:,} with {draws} a data point" if data else f"{draws} an update"
