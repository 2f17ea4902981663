"""What configurations reached with equal budgets, from the curves that their trainings left."""

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nfbench.analysis.blocks import CONFIGURATION, FACTS, Block, groups
from nfbench.analysis.refuted import refuted
from nfbench.analysis.scores import metric_of
from nfbench.analysis.summary import Estimate, estimate, over
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.records.cells import Record
from nfbench.records.glossary import better
from nfbench.records.results import StoredResults

BUDGETS = ("updates", "gradient-evaluations", "seconds", "parameters")
CURVES = ("free_energy_valid", "free_energy")  # the first that a record has: on validation data, else of the training
_TEXT = re.compile(r"([a-z-]+)(?:=([0-9][0-9_.e+-]*))?")


class Budget(NamedTuple):
    """What every configuration may spend.

    Attributes:
        kind: one of `BUDGETS`.
        amount: of it; None for the least that any configuration of a target spent (parameters: that any family's
            largest member has), so that every one has a value.
    """

    kind: str
    amount: float | None = None


def parse_budget(text: str) -> Budget:
    """A budget in words.

    Args:
        text: ``seconds`` or ``seconds=10``.

    Returns:
        The budget.

    Raises:
        InputError: another kind, or an amount that is no number above 0.

    >>> parse_budget("updates=500")
    Budget(kind='updates', amount=500.0)
    """
    match = _TEXT.fullmatch(text.strip())
    kind = match[1] if match else text.partition("=")[0].strip()
    if kind not in BUDGETS:
        raise unknown("budget", kind, BUDGETS)
    try:
        amount = float(match[2]) if match and match[2] else None
    except ValueError:
        amount = math.nan
    if match is None or (amount is not None and not 0 < amount < math.inf):
        raise InputError(f"budget {text!r}: expected {kind}, or {kind}=AMOUNT with a number above 0")
    return Budget(kind, amount)


def at_budget(results: StoredResults, block: Block, budget: Budget) -> pd.DataFrame:
    """Every configuration of a block at an equal budget, beside what it reached at its end.

    Updates, gradient evaluations and seconds: the free energy of the last stored point of each seed's curve within the
    budget, as KL where ln Z is known. A gradient evaluation is one of ln p(x, z) at one draw and one data point;
    families that follow the target take several a draw, and records from before these were counted have no row. The
    seconds of an update are those of the whole cell divided by the updates that were made. Parameters: of each family
    the member with the most learned numbers within the budget, by the metric that ranks.

    Args:
        results: where the curves are.
        block: the records of a table.
        budget: its kind and amount.

    Returns:
        One row a configuration that has a value: the columns of `CONFIGURATION` and of `FACTS`, ``budget`` (the amount
        for its target), ``spent`` (the mean over seeds of what the whole training took), ``step`` (updates within the
        budget; None for parameters), the estimates ``at`` and ``end``, ``rank_at`` and ``rank_end`` among the rows of
        its target (none for a posterior that ``nfbench verify`` refuted), and ``seeds``.
    """
    of_size = budget.kind == "parameters"
    rows = _of_parameters(block, budget) if of_size else _of_curves(results, block, budget)
    untrusted = set(refuted(block))
    sign = -1.0 if of_size and better(metric_of(block, None)) == "higher" else 1.0
    for target in dict.fromkeys(row["target"] for row in rows):
        _rank([row for row in rows if row["target"] == target and row["posterior"] not in untrusted], sign)
    return pd.DataFrame(rows)


def _of_curves(results: StoredResults, block: Block, budget: Budget) -> list[dict[str, Any]]:
    rows = []
    for _, part in block.by_target():
        seeds = {str(names["posterior"]): _seeds(results, cells, budget) for names, cells in _configurations(part)}
        totals = [mean for each in seeds.values() if (mean := _mean(seed.spent for seed in each)) is not None]
        amount = budget.amount or min(totals, default=math.nan)
        for names, cells in _configurations(part):
            each = seeds[str(names["posterior"])]
            points = [seed.within(amount) for seed in each]
            if all(point is None for point in points):
                continue
            at = estimate([point[1] for point in points if point])
            steps = [point[0] for point in points if point]
            spent, step = _mean(seed.spent for seed in each), float(np.mean(steps))
            more = {"budget": amount, "spent": spent, "step": step, "at": at}
            rows.append(names | more | _facts(cells) | {"end": estimate([seed.last for seed in each]), "seeds": at.n})
    return rows


class _Seed(NamedTuple):
    """The curve of one seed: its steps, its values, what an update costs, and the cost of all."""

    steps: np.ndarray
    values: np.ndarray
    cost: float
    spent: float

    def within(self, amount: float) -> tuple[float, float] | None:
        """Step and value of the last point within an amount, with room for rounding; None before the first one."""
        places = np.flatnonzero((self.steps * self.cost <= amount * (1 + 1e-9)) & np.isfinite(self.values))
        return (float(self.steps[places[-1]]), float(self.values[places[-1]])) if len(places) else None

    @property
    def last(self) -> float:
        """The value at the end of the curve."""
        return float(self.values[-1])


def _seeds(results: StoredResults, cells: pd.DataFrame, budget: Budget) -> list[_Seed]:
    """The curves of the cells that are done and have one."""
    done = [results.record(row) for row in cells[cells["status"] == "done"].to_dict("records")]
    longest = max((record.curves["step"][-1] or 0.0 for record in done if record.curves), default=0.0)
    found = []
    for record in done:
        name = next((name for name in CURVES if name in record.curves), None)
        training, gradients = record.cell.training, _gradients(record)
        if name is None or training is None or (gradients is None and budget.kind == "gradient-evaluations"):
            continue
        steps = np.array(record.curves["step"], dtype=float)
        values = np.array(record.curves[name], dtype=float) + (record.facts.log_z or 0.0)
        per_update = {
            "updates": 1.0,
            "gradient-evaluations": training.draws * (training.batch if record.cell.data else 1) * (gradients or 1.0),
            "seconds": record.seconds / longest,  # shared equally by seeds that trained until the last of them ended
        }
        cost = per_update[budget.kind]
        found.append(_Seed(steps, values, cost, record.seconds if budget.kind == "seconds" else cost * steps[-1]))
    return found


def _gradients(record: Record) -> float | None:
    """The gradients of ln p(x, z) that a draw took in training; None of an old record that does not say."""
    known = record.facts.target_gradients
    return known or (None if record.facts.auxiliary else 1.0)


def _of_parameters(block: Block, budget: Budget) -> list[dict[str, Any]]:
    metric = metric_of(block, None)
    known = block.done[block.done["num_params"].notna()]
    largest = known.groupby("family")["num_params"].max()
    amount = budget.amount or float(largest.min())
    rows = []
    for _, part in groups(known[known["num_params"] <= amount], ["target", "family"]):
        most = part[part["num_params"] == part["num_params"].max()]
        every = known[(known["family"] == most["family"].iloc[0]) & (known["target"] == most["target"].iloc[0])]
        end = every[every["num_params"] == every["num_params"].max()]
        for names, cells in _configurations(most):
            at, last = over(cells, metric), over(end, metric)
            more = {"budget": amount, "spent": float(cells["num_params"].iloc[0]), "step": None}
            rows.append(names | more | _facts(cells) | {"at": at, "end": last, "seeds": at.n})
    return rows


def _configurations(block: "Block | pd.DataFrame") -> Iterable[tuple[dict[str, Any], pd.DataFrame]]:
    return groups(block.rows if isinstance(block, Block) else block, CONFIGURATION)


def _facts(cells: pd.DataFrame) -> dict[str, Any]:
    return {name: cells.iloc[0][name] for name in FACTS}


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return float(np.mean(known)) if known else None


def _rank(rows: list[dict[str, Any]], sign: float) -> None:
    """Number the rows of a target by what they reached, times `sign`, the lowest first."""
    for name in ("at", "end"):
        order = sorted(rows, key=lambda row, name=name: _place(row[name], sign))  # type: ignore[misc]
        for place, row in enumerate(order, 1):
            row[f"rank_{name}"] = place


def _place(reached: Estimate, sign: float) -> float:
    return math.inf if reached.mean is None else sign * reached.mean
