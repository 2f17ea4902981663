"""Plausible records of the paper's image experiments, a value a configuration: what tests of comparisons read."""

import numpy as np

from nfbench.records.cells import Facts, Metric, Record
from nfbench.specification.config import Cell, Evaluation, Training
from support.synthetic import LABELS, Plan, spec, store, training_curve

TABLE2 = {
    ("gaussian", None): (98.0, 91.4),
    ("planar", 10): (94.5, 88.6),
    ("planar", 80): (91.3, 86.4),
    ("radial", 10): (95.9, 89.7),
    ("nice:mixing=permutation", 10): (95.6, 89.6),
    ("nice:mixing=permutation", 80): (93.4, 88.1),
    ("nice:mixing=orthogonal", 10): (95.7, 89.7),
}  # (family, K) -> F, -ln p
TABLE3 = {("gaussian", None): (-280.0, -293.0), ("planar", 2): (-290.0, -305.0), ("planar", 10): (-300.0, -319.0)}
STATIC = ("binarized-mnist:static", "binarized-mnist:static,50000+10000+10000@0123456789ab")
PATCHES = ("cifar10-patches", "cifar10-patches:eps=0.0001,45000+5000+10000@0123456789ab")
FIRST = ("cifar10-patches:first4000", "cifar10-patches:first4000,eps=0.0001,3000+2000+2000@0123456789ab")
PAPER = Training(optimizer="rmsprop", learning_rate=1e-5, updates=500_000, anneal_updates=10_000)
REDUCED = Training(learning_rate=2e-3, schedule="one-cycle", updates=12_000, anneal_updates=1_200)


def compared(plan: Plan, values=TABLE2, data=STATIC, training=REDUCED, evaluation=None, **model) -> list[Record]:
    """Records of a model of images; over seeds F and -ln p vary by `plan.spread` nats, together.

    Args:
        plan: where and how many; of the seeds, the first is above the mean, the next below, and so on.
        values: (family, K) -> mean of F and of -ln p(x).
        data: name in the target's spec, and protocol.
        training: of every cell.
        evaluation: of every cell.
        model: options of the target beside `data`.
    """
    options = {"data": data[0], "dim": 40, "hidden": 400, **model}
    target = "dlgm:" + ",".join(f"{name}={value}" for name, value in options.items())
    settings = {"training": training, "evaluation": evaluation or Evaluation(long_draws=5000, long_points=500)}
    common = {"experiment": plan.experiment, "profile": plan.profile, "target": target, "data": data[1], **settings}
    rows = [(place, *key, *pair) for place, (key, pair) in enumerate(values.items())]
    return [_one(plan, common, seed, *row) for row in rows for seed in range(plan.seeds)]


def _one(plan, common, seed, place, family, depth, free_energy, nll) -> Record:
    shift = plan.spread * (1 if seed % 2 == 0 else -1)
    cell = Cell(**common, posterior=spec(family, depth), seed=seed)
    facts = Facts(
        family=family, label=LABELS[family], cite="Rezende & Mohamed 2015", year=2015, K=depth or 0, dim=40,
        target_label="Images (D=40)", target_cite="", log_z=None, num_params=1000, order=(0, place),
    )  # fmt: skip
    metrics = {
        "free_energy": Metric(value=free_energy + shift, se=0.02),
        "nll": Metric(value=nll + shift, se=0.01),
        "gap": Metric(value=free_energy - nll, se=0.02),
        "nll_long": Metric(value=nll + shift - 0.4, se=0.01),
        "ess": Metric(value=31.0 + place),
        "khat_bad": Metric(value=0.125),
    }
    return store(plan, cell, facts, metrics, training_curve(free_energy, np.random.default_rng(seed)), None)
