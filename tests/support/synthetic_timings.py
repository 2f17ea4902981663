"""Plausible records of timings without any timing: what the tests of their statistics, tables and pictures read."""

import itertools
from pathlib import Path

import numpy as np

from nfbench.analysis.timing_blocks import HOUSE
from nfbench.records.timings import Case, Timing, identity
from nfbench.records.timings import write as write_timing
from support.synthetic import LABELS, PROVENANCE, spec

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
