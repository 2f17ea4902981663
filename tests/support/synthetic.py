"""Plausible records without any training: what the tests of statistics, tables, plots and the report read."""

import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nfbench.analysis.timing_blocks import HOUSE
from nfbench.records.cells import Facts, Metric, Record
from nfbench.records.store import write
from nfbench.records.timings import Case, Timing, identity
from nfbench.records.timings import write as write_timing
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
        training=_training(plan),
        evaluation=Evaluation(),
    )
    p = energy_density(target)
    q = 0.0 * p if math.isnan(value) else _approximation(p, min(1.0, value))
    return _store(plan, cell, facts, metrics, _curve(value - LOG_Z[target], rng), images(p, q))


def _training(plan: Plan) -> Training:
    return Training(learning_rate=plan.learning_rate, updates=4000, anneal_updates=1600, draws=256)


def _store(plan, cell, facts, metrics, curves, arrays) -> Record:
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


def _curve(end: float, rng: np.random.Generator) -> dict[str, list[float | None]]:
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
                found.append(_store(plan, cell, facts, metrics, {}, images(p, q)))
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
                training=_training(plan), evaluation=Evaluation(), data="sklearn-digits thresholded sha256:0123",
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
            found.append(_store(plan, cell, facts, metrics, _curve(free_energy, rng), None))
    return found


OWN_TIME = 1e-3  # seconds that nfbench takes in `timing`, in every round
ROUNDS = (0.8, 0.9, 1.0, 1.1, 1.4)  # of a contender, in units of its median: quartiles 0.9 and 1.1


def timing(root: Path, contender: str = "nfbench", factor: float = 1.0, case=(), machine: str = "Test CPU", **fields):
    """One timing record: `factor` times `OWN_TIME` in the median, steady for nfbench, `ROUNDS` for the others."""
    facts_of = {"posterior": "planar:K=32", "mode": "backward", "dim": 2, "draws": 100, "threads": 1}
    work = Case(**{"profile": "quick", **facts_of, **dict(case)})
    name, _, options = work.posterior.partition(":")
    depth = dict(part.split("=") for part in options.split(",") if part).get("K")
    rounds = [OWN_TIME * factor * (1.0 if contender == "nfbench" else part) for part in ROUNDS]
    values = {
        "id": identity(work, contender), "case": work, "contender": contender, "status": "done", "run": "run 1",
        "facts": {
            "family": name, "label": LABELS.get(name, name), "cite": "Rezende & Mohamed 2015", "K": int(depth or 0),
            "order": (0, 0),
        },
        "seconds": rounds, "spread": spread_of(rounds), "ratio": spread_of([part / OWN_TIME for part in rounds]),
        "agreement": {"error": 1e-7, "tolerance": 1e-4}, "peak_bytes": 2**20, "compile_seconds": 0.25,
        "floor": {"bytes": 1e6, "flops": 1e6, "bandwidth": 1e10, "rate": 1e11},
        "versions": {"torch": "2.13.0"} | ({} if contender in HOUSE else {contender: "1.2.3"}),
        "finished": "2026-01-02T03:04:05Z", "provenance": PROVENANCE | {"processor": machine},
    }  # fmt: skip
    record = Timing.model_validate(values | lost(fields.get("status")) | fields)
    return write_timing(root, record)


def spread_of(values) -> dict[str, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"median": median, "low": low, "high": high}


def lost(status: str | None) -> dict[str, object]:
    """What a record lacks that is not done."""
    if status in (None, "done"):
        return {}
    return {"seconds": [], "spread": None, "ratio": None, "agreement": None, "peak_bytes": None, "floor": None} | {
        "compile_seconds": None
    }


def layers(root: Path, profile: str = "quick", **fields) -> None:
    """Timings of chains as a whole run leaves them: several sizes, peers that lack a map, fail or disagree."""
    sizes = [(2, 100, 1, False), (40, 10_000, 1, False), (40, 1, 1000, True)]
    for i, family in enumerate(("planar", "radial")):
        for (dim, draws, batch, amortized), depth in itertools.product(sizes, (2, 8, 32, 80)):
            work = {"profile": profile, "posterior": spec(family, depth), "dim": dim, "draws": draws, "batch": batch}
            points, numbers = draws * batch, depth * (dim if amortized else 0)
            flops, moved = 12.0 * points * dim * depth, 4.0 * points * (6 * dim + 2 * numbers)
            floor = {"bytes": moved, "flops": flops, "bandwidth": 1.2e10, "rate": 9e10}
            own = (3e-4 + 1.6 * max(moved / 1.2e10, flops / 9e10)) / OWN_TIME * (1 + 0.2 * i)
            slow = {"nfbench": 1, "textbook": 6 + 0.4 * depth, "compile": 3 + 0.05 * depth}
            slow |= {"normflows": 8 + 0.5 * depth, "pyro": 7 + 0.4 * depth}
            for j, (contender, ratio) in enumerate(slow.items()):
                more = dict(fields) | {"floor": floor, "peak_bytes": 2**14 + 8 * points * depth * (1 + dim * (j > 0))}
                more |= {"run": f"{family} {depth} {dim} {amortized}", "ratio": spread_of([ratio * r for r in ROUNDS])}
                if amortized and contender in ("normflows", "pyro"):
                    more = dict(fields) | {"status": "lacking", "message": "one set of parameters for all draws only"}
                elif contender == "pyro" and family == "radial":
                    more |= {"agreement": {"error": 0.25, "tolerance": 1e-4}}
                elif contender == "normflows" and depth == 80 and dim == 40:
                    more = dict(fields) | {"status": "failed", "message": "RuntimeError: not enough memory"}
                timing(root, contender, own * ratio, work | {"amortized": amortized}, **more)


def steps(root: Path, profile: str = "quick") -> None:
    """Timings of training steps: nfbench trains all E models at once, the others one."""
    for target, dim, batch, seeds in (("u1", 2, 1, 1), ("u1", 2, 1, 100), ("dlgm", 40, 100, 1)):
        work = {"profile": profile, "mode": "step", "target": target, "dim": dim, "batch": batch, "seeds": seeds}
        own = 2.0 if seeds > 1 else 0.4
        for contender, factor in (("nfbench", own), ("textbook", 1.0), ("compile", 0.8)):
            models = {"models": seeds if contender == "nfbench" else 1}
            ratio = spread_of([factor / own * part for part in ROUNDS])
            timing(root, contender, factor, work, run=f"{target} {seeds}", ratio=ratio, **models)


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
        seed=seed, training=_training(plan), evaluation=Evaluation(), data=imagery.data,
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
    return _store(plan, cell, facts, metrics, annealed_curve(free_energy, rng), arrays)


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
