"""Plausible records without any training: what the tests of statistics, tables, plots and the report read."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nfbench.records.cells import Facts, Metric, Record
from nfbench.records.store import write
from nfbench.specification.config import Cell, Evaluation, Push, Training

LOG_Z = {"u1": 1.8775, "u2": math.log(0.4 * math.sqrt(2 * math.pi) * 8.63), "u3": 2.7, "u4": 2.75}
FIGURE3_KL = {
    "planar": {2: 0.28, 8: 0.03, 32: 0.011},
    "radial": {2: 0.33, 8: 0.09, 32: 0.02},
    "nice:mixing=permutation": {2: 0.9, 8: 0.2, 32: 0.06},
    "nice:mixing=orthogonal": {2: 0.88, 8: 0.16, 32: 0.05},
}
LABELS = {
    "gaussian": "Diagonal Gaussian",
    "planar": "Planar flow",
    "radial": "Radial flow",
    "nice:mixing=permutation": "NICE (permutation)",
    "nice:mixing=orthogonal": "NICE (orthogonal)",
}
PROVENANCE = {"nfbench": "0.1.0", "revision": "abc", "python": "3.11", "libraries": {"torch": "2.13.0"}, "cores": 2}


@dataclass
class Plan:
    """What to pretend: where the records go and how they turn out."""

    root: Path
    experiment: str = "figure3"
    profile: str = "quick"
    learning_rate: float = 0.02
    seeds: int = 5
    spread: float = 0.1  # standard deviation over seeds, relative
    diverged: set[tuple[str, str, int]] = field(default_factory=set)  # (target, posterior, seed)
    failed: set[tuple[str, str, int]] = field(default_factory=set)
    revision: str = "abc"


def spec(family: str, depth: int | None) -> str:
    """The canonical spec of `family` with its depth put first."""
    if depth is None:
        return family
    name, _, options = family.partition(":")
    return f"{name}:K={depth}" + (f",{options}" if options else "")


def figure3(plan: Plan, targets=("u1", "u2", "u3", "u4"), kls=FIGURE3_KL) -> list[Record]:
    """Records of the four energies, with densities and curves."""
    found = []
    for i, target in enumerate(targets):
        for j, (family, depth, kl) in enumerate(
            (f, k, kl) for f, by_depth in kls.items() for k, kl in by_depth.items()
        ):
            for seed in range(plan.seeds):
                found.append(_energy(plan, target, family, depth, kl, seed, (i, j)))
    return found


def _energy(plan, target, family, depth, kl, seed, order) -> Record:
    rng = np.random.default_rng([seed, *order])
    canonical = target if target == "u1" else f"{target}:walls=0.25"
    value = kl * math.exp(plan.spread * rng.normal()) + 0.001 * rng.normal()
    metrics = {
        "free_energy": Metric(value=value - LOG_Z[target], se=0.003),
        "kl": Metric(value=value, se=0.003),
        "forward_kl": Metric(value=1.3 * value, se=0.01),
    }
    facts = Facts(
        family=family,
        label=LABELS[family],
        cite="Rezende & Mohamed 2015" if "nice" not in family else "Dinh et al. 2014",
        year=2015,
        K=depth,
        target_label=f"{target.upper()}" + ("" if target == "u1" else " with walls"),
        target_cite="Rezende & Mohamed 2015, Table 1",
        dim=2,
        log_z=LOG_Z[target],
        num_params=4 + 5 * depth,
        order=order,
    )
    cell = Cell(
        experiment=plan.experiment,
        profile=plan.profile,
        target=canonical,
        posterior=spec(family, depth),
        seed=seed,
        training=quick_training(plan),
        evaluation=Evaluation(),
    )
    p = energy_density(target)
    q = 0.0 * p if math.isnan(value) else _approximation(p, min(1.0, value))
    return store(plan, cell, facts, metrics, training_curve(value - LOG_Z[target], rng), images(p, q))


def quick_training(plan: Plan) -> Training:
    return Training(learning_rate=plan.learning_rate, updates=4000, anneal_updates=1600, draws=256)


def store(plan, cell, facts, metrics, curves, arrays) -> Record:
    key = (cell.target.partition(":")[0], cell.posterior, cell.seed)
    status = "diverged" if key in plan.diverged else "failed" if key in plan.failed else "done"
    record = Record(
        id=cell.id,
        cell=cell,
        facts=facts,
        status=status,
        message=None if status == "done" else f"the bound of update 17 is not finite ({status})",
        metrics=metrics if status == "done" else {},
        curves=curves,
        seconds=12.5,
        finished="2026-01-02T03:04:05Z",
        provenance=PROVENANCE | {"revision": plan.revision},
    )
    write(plan.root, record, arrays if status == "done" else None)
    return record


def training_curve(end: float, rng: np.random.Generator) -> dict[str, list[float | None]]:
    steps = np.arange(0, 4001, 50)
    bound = end + 3.0 * np.exp(-steps / 400) + 0.02 * rng.normal(size=len(steps))
    beta = np.minimum(1, 0.01 + steps / 1600)
    return {"step": steps.tolist(), "free_energy": bound.tolist(), "beta": beta.tolist()}


def centres(num: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Cell centres of the box, z1 along columns and z2 along rows, ascending."""
    axis = (np.arange(num) + 0.5) * 8 / num - 4
    z1, z2 = np.meshgrid(axis, axis)
    return z1, z2


def energy_density(target: str) -> np.ndarray:
    """The paper's Table 1, normalised in the box."""
    z1, z2 = centres()
    w1 = np.sin(np.pi * z1 / 2)
    w2, w3 = 3 * np.exp(-0.5 * ((z1 - 1) / 0.6) ** 2), 3 / (1 + np.exp(-(z1 - 1) / 0.3))
    if target == "u1":
        sides = np.logaddexp(-0.5 * ((z1 - 2) / 0.6) ** 2, -0.5 * ((z1 + 2) / 0.6) ** 2)
        log_p = -0.5 * ((np.hypot(z1, z2) - 2) / 0.4) ** 2 + sides
    elif target == "u2":
        log_p = -0.5 * ((z2 - w1) / 0.4) ** 2
    else:
        width, shift = (0.35, -w2) if target == "u3" else (0.4, -w3)
        log_p = np.logaddexp(-0.5 * ((z2 - w1) / width) ** 2, -0.5 * ((z2 - w1 - shift) / 0.35) ** 2)
    p = np.exp(log_p)
    return p / p.sum() * 100


def _approximation(p: np.ndarray, badness: float) -> np.ndarray:
    z1, z2 = centres()
    broad = np.exp(-0.5 * (z1**2 + z2**2) / 2.2)
    q = p ** (1 - 0.8 * badness) * broad**badness
    return q / q.sum() * 100


def images(p: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray]:
    """Densities as records keep them: bytes with a scale."""
    stored: dict[str, np.ndarray] = {"half_width": np.array(4.0)}
    for name, density in (("p", p), ("q", q)):
        top = density.max() or 1.0
        stored |= {name: np.round(density / top * 255).astype(np.uint8), f"{name}_max": np.array(top)}
    return stored


def figure1(plan: Plan) -> list[Record]:
    """Records of untrained maps on a Gaussian and a uniform base."""
    z1, z2 = centres()
    bases = {
        "normal": np.exp(-0.5 * (z1**2 + z2**2)) / (2 * np.pi),
        "uniform": (np.maximum(abs(z1), abs(z2)) < 2) / 16.0,
    }
    found = []
    for i, (target, p) in enumerate(bases.items()):
        for j, (family, depth) in enumerate((f, k) for f in ("planar", "radial") for k in (1, 2, 10)):
            for seed in range(plan.seeds):
                rng = np.random.default_rng([seed, i, j])
                q = sum(np.roll(p, tuple(rng.integers(-9, 9, 2)), (0, 1)) for _ in range(depth)) / depth
                cell = Cell(
                    experiment="figure1", profile=plan.profile, target=target, posterior=spec(family, depth), seed=seed,
                    push=Push(), evaluation=Evaluation(),
                )  # fmt: skip
                facts = Facts(
                    family=family, label=LABELS[family], cite="Rezende & Mohamed 2015", year=2015, K=depth, dim=2,
                    target_label=f"Standard {target}", target_cite="", log_z=0.0, num_params=5 * depth, order=(i, j),
                )  # fmt: skip
                metrics = {
                    "entropy": Metric(value=2.8 - 0.1 * depth + 0.1 * rng.normal(), se=0.01),
                    "log_det": Metric(value=-0.1 * depth + 0.1 * rng.normal(), se=0.01),
                }
                found.append(store(plan, cell, facts, metrics, {}, images(p, q)))
    return found


def digits(plan: Plan) -> list[Record]:
    """Records of a model of images: no ln Z, no densities, a family without depth among them."""
    cells = [
        ("gaussian", None, 30.1),
        ("planar", 2, 29.8),
        ("planar", 8, 29.2),
        ("radial", 2, 29.9),
        ("radial", 8, 29.7),
    ]
    found = []
    for j, (family, depth, bound) in enumerate(cells):
        for seed in range(plan.seeds):
            rng = np.random.default_rng([seed, j])
            free_energy, nll = bound + 0.1 * rng.normal(), bound - 1.5 + 0.1 * rng.normal()
            cell = Cell(
                experiment="digits", profile=plan.profile, target="digits", posterior=spec(family, depth), seed=seed,
                training=quick_training(plan), evaluation=Evaluation(), data="sklearn-digits thresholded sha256:0123",
            )  # fmt: skip
            facts = Facts(
                family=family, label=LABELS[family], cite="Kingma & Welling 2014", year=2014, K=depth or 0, dim=8,
                target_label="Digits", target_cite="", log_z=None, num_params=1000 + 10 * (depth or 0), order=(0, j),
            )  # fmt: skip
            metrics = {
                "free_energy": Metric(value=free_energy, se=0.3),
                "nll": Metric(value=nll, se=0.3),
                "gap": Metric(value=free_energy - nll, se=0.05),
            }
            found.append(store(plan, cell, facts, metrics, training_curve(free_energy, rng), None))
    return found
