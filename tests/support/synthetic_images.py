"""Plausible records of models of images, with every array that such a record can have."""

import math
from dataclasses import dataclass

import numpy as np

from nfbench.records.cells import Facts, Metric, Record
from nfbench.specification.config import Cell, Evaluation
from support.synthetic import FIGURE3_KL, LABELS, Plan, quick_training, spec, store


@dataclass(frozen=True)
class Imagery:
    """An experiment with a model of images: F and -ln p(x) of each posterior, and what its pictures are of."""

    experiment: str
    target: str
    data: str
    shape: tuple[int, int, int]
    values: dict[tuple[str, int | None], tuple[float, float]]


TABLE2 = Imagery(
    "table2",
    "dlgm:data=binarized-mnist:static,dim=40,hidden=400",
    "binarized-mnist:static,50000+10000+10000@0123456789ab",
    (1, 28, 28),
    {("gaussian", None): (97.6, 90.6)}
    | {
        (family, depth): (97.5 - fall * math.log10(depth), 90.5 - 0.65 * fall * math.log10(depth))
        for family, fall in {"planar": 3.9, "radial": 2.9, **dict.fromkeys(list(FIGURE3_KL)[2:], 2.3)}.items()
        for depth in (10, 20, 40, 80)
    },
)
TABLE3 = Imagery(
    "table3",
    "dlgm:data=cifar10-patches,dim=30,hidden=400",
    "cifar10-patches:random 8x8,50000+0+10000@0123456789ab",
    (3, 8, 8),
    {("gaussian", None): (-280.0, -293.0)}
    | {("planar", depth): (-280.0 - 14 * depth**0.3, -293.0 - 12 * depth**0.3) for depth in (2, 5, 10)},
)


def of_images(plan: Plan, imagery: Imagery = TABLE2) -> list[Record]:
    """Records of a model of images with every array that such a record can have."""
    found = []
    for j, ((family, depth), (bound, nll)) in enumerate(imagery.values.items()):
        for seed in range(plan.seeds):
            rng = np.random.default_rng([seed, j])
            shift = plan.spread * rng.normal()
            arrays = of_points(bound + shift, nll + shift, rng) | of_pictures(imagery.shape, rng)
            found.append(_of_images(plan, imagery, (family, depth, seed, j), arrays, rng))
    return found


def _of_images(plan, imagery, which, arrays, rng) -> Record:
    family, depth, seed, j = which
    free_energy, nll = (float(arrays[f"example_{name}"].mean()) for name in ("free_energy", "nll"))
    cell = Cell(
        experiment=imagery.experiment, profile=plan.profile, target=imagery.target, posterior=spec(family, depth),
        seed=seed, training=quick_training(plan), evaluation=Evaluation(), data=imagery.data,
    )  # fmt: skip
    facts = Facts(
        family=family, label=LABELS[family], cite="Rezende & Mohamed 2015", year=2015, K=depth or 0, dim=40,
        target_label="DLGM (D=40)", target_cite="Rezende & Mohamed 2015", log_z=None, order=(0, j),
        num_params=1000 + 10 * (depth or 0),
    )  # fmt: skip
    metrics = {
        "free_energy": Metric(value=free_energy, se=0.3),
        "nll": Metric(value=nll, se=0.3),
        "gap": Metric(value=free_energy - nll, se=0.05),
        "nll_long": Metric(value=float(arrays["example_nll_long"].mean()), se=0.3),
        "ess": Metric(value=float(arrays["example_ess"].mean())),
        "khat_bad": Metric(value=float((arrays["example_khat"] > 0.7).mean())),
    }
    return store(plan, cell, facts, metrics, annealed_curve(free_energy, rng), arrays)


def of_points(bound: float, nll: float, rng: np.random.Generator, points=200, few=50) -> dict[str, np.ndarray]:
    """Per-example values and the curve against S, as records keep them."""
    spread = 25 * np.random.default_rng(0).normal(size=points)  # of the data, the same for every model
    level = nll + spread - spread.mean()
    gap = rng.gamma(6.0, (bound - nll) / 6, size=points) + 0.3 * rng.normal(size=points)
    draws = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000])
    settled = nll - 0.8
    return {
        "example_free_energy": (level + gap).astype(np.float32),
        "example_nll": level.astype(np.float32),
        "example_ess": rng.uniform(2, 60, points).astype(np.float32),
        "example_nll_long": (level[:few] - 0.5).astype(np.float32),
        "example_khat": (0.08 * (bound - nll) + 0.13 * rng.normal(size=few)).astype(np.float32),
        "curve_draws": draws,
        "curve_nll": (settled + (bound - settled) * draws**-0.38).astype(np.float32),
        "curve_nll_se": (0.4 * draws**-0.5).astype(np.float32),
    }


def of_pictures(shape, rng: np.random.Generator, samples=36, points=16) -> dict[str, np.ndarray]:
    """Samples, originals (the same for every record) and blurred reconstructions, as records keep them."""
    originals = strokes(points, shape, np.random.default_rng(0))
    blurred = 0.7 * originals + 0.3 * np.roll(originals, 1, axis=-1) + 0.05 * rng.random(originals.shape)
    pictures = {"samples": 0.8 * strokes(samples, shape, rng), "originals": originals > 0.5, "reconstructions": blurred}
    rows = {name: np.clip(255 * found, 0, 255).astype(np.uint8) for name, found in pictures.items()}
    return {"picture_shape": np.array(shape)} | {name: found.reshape(len(found), -1) for name, found in rows.items()}


def strokes(number: int, shape, rng: np.random.Generator) -> np.ndarray:
    """Pictures `(number, C, H, W)` in [0, 1] of one bent line each, of another colour in every channel."""
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width][:, None] / max(height, width) - 0.5  # (1, H, W)
    t = np.linspace(0, 1, 40)[:, None, None]
    found = []
    for _ in range(number):
        a, b, c, d = rng.uniform(-1.0, 1.0, 4)
        across, down = 0.3 * np.sin(3 * a + 4 * b * t), 0.35 * np.cos(3 * c + 5 * d * t)
        line = np.exp(-((x - across) ** 2 + (y - down) ** 2) / 0.003).max(0)
        found.append(line * rng.uniform(0.4, 1.0, (channels, 1, 1)) if channels > 1 else line[None])
    return np.stack(found)


def annealed_curve(end: float, rng: np.random.Generator) -> dict[str, list[float | None]]:
    """A training curve that starts high, has a hump while beta is small, and settles at `end`."""
    steps = np.arange(40, 4001, 40)
    beta = np.minimum(1, 0.01 + steps / 1600)
    bound = end + 40 * np.exp(-steps / 500) + 90 * np.exp(-(((steps - 200) / 120) ** 2)) + 0.1 * rng.normal(size=100)
    return {"step": steps.tolist(), "free_energy": bound.tolist(), "beta": beta.tolist()}
