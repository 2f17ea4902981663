"""The table of equal budgets: what every configuration had reached when it had spent the same."""

from typing import Any

import pandas as pd

from nfbench.analysis.blocks import Block, blocks, configuration_key
from nfbench.analysis.budgets import Budget, at_budget, parse_budget
from nfbench.analysis.refuted import REASON, refuted
from nfbench.analysis.scores import metric_of
from nfbench.analysis.summary import PARTS
from nfbench.foundation.errors import InputError
from nfbench.present.tables.compared import Compared
from nfbench.present.tables.labels import budget as protocol_of
from nfbench.present.tables.labels import depth, spread
from nfbench.present.tables.render import NOTHING, Table, number, significant
from nfbench.records.glossary import measure
from nfbench.records.results import StoredResults

_UNITS = {
    "updates": "updates",
    "gradient-evaluations": "gradient evaluations, of ln p(x, z) at one draw and one data point",
    "seconds": "seconds: of the whole cell, which seeds share, spread evenly over its updates",
    "parameters": "learned numbers",
}
_CUT = (
    "A training that is read before its end is not one that was planned to be that short: its learning rate was still "
    "high, and its bound may still have been annealed."
)


def at(results: StoredResults, frame: pd.DataFrame, text: str) -> Compared:
    """The configurations of an experiment at equal budgets.

    Args:
        results: where the curves are.
        frame: a table of records of one experiment.
        text: ``updates``, ``gradient-evaluations``, ``seconds`` or ``parameters``, with ``=AMOUNT`` behind it if the
            budget is not to be the least that any configuration of a target spent.

    Returns:
        One table for each block that has a configuration within the budget, and the data.

    Raises:
        InputError: another budget, or nothing within it.
    """
    budget, tables, parts = parse_budget(text), [], []
    for block in blocks(frame):
        if block.done.empty:
            continue
        table = at_budget(results, block, budget)
        if len(table):
            tables.append(_table(block, table, budget))
            parts.append(_flat(table))
    if not parts:
        raise InputError(f"budget {text!r}: no record has a value within it; expected a larger one")
    return Compared(tables, pd.concat(parts, ignore_index=True))


def _table(block: Block, table: pd.DataFrame, budget: Budget) -> Table:
    several, of_size = block.rows["target"].nunique() > 1, budget.kind == "parameters"
    if of_size:
        name = measure(metric_of(block, None)).title
    else:
        name = measure("kl" if table["log_z"].notna().all() else "free_energy").title
    end = "of its largest member" if of_size else "at its end"
    spent = "parameters" if of_size else "updates until then"
    head = [*(["Target"] if several else []), "Posterior", "K", f"{name} at the budget", end, "rank", spent]
    head += ["seeds"] if of_size else ["seeds", f"{budget.kind} in all"]
    rows = []
    for row in table.to_dict("records"):
        names = [*([row["target_label"]] if several else []), row["label"], depth(row)]
        reached = [spread(row["at"]), spread(row["end"]), _ranks(row)]
        if of_size:
            rows.append([*names, *reached, number(row["spent"], 0, ","), str(row["seeds"])])
        else:
            updates = number(row["step"], 0, ",")
            rows.append([*names, *reached, updates, str(row["seeds"]), significant(row["spent"])])
    amounts = ", ".join(dict.fromkeys(_amount(value) for value in table["budget"]))
    protocol = f"{protocol_of(block)} At {amounts} {_UNITS[budget.kind]}."
    if budget.amount is None and not of_size:
        protocol += " That is the least that any configuration of the target spent in all."
    elif budget.amount is None:
        protocol += " That is the size of the smallest of the families' largest members."
    notes = ["Rank: among the rows of a target at the budget; in brackets that by the values beside it, if it differs."]
    if of_size:
        notes.append("Of each family the member with the most learned numbers within the budget.")
        absent = dict.fromkeys(family for family in block.done["family"] if family not in set(table["family"]))
        notes += [f"No member is that small: {', '.join(absent)}."] if absent else []
    else:
        notes.append(
            "Values are those of the stored curves: the last point within the budget, on validation data where there "
            "are any, else of the training's own draws, which are fewer than those of the evaluation."
        )
        notes.append(_CUT)
    if untrusted := refuted(block):
        notes.append(f"Without a rank, as {REASON}: {', '.join(untrusted)}.")
    lost = block.rows["status"].value_counts().get("diverged", 0)
    notes += [f"{lost} cell{'' if lost == 1 else 's'} diverged, without a value here."] if lost else []
    keys = [configuration_key(row) for row in table.to_dict("records")]
    title = f"{block.title}: at equal {budget.kind.replace('-', ' ')}"
    best = {(place, 2 + several): "best" for place, rank in enumerate(table["rank_at"]) if rank == 1}
    return Table(title, protocol, head, rows, keys, notes, leading=2 + several, marks=best)


def _ranks(row: dict[Any, Any]) -> str:
    if pd.isna(row.get("rank_at")):
        return NOTHING
    at, end = int(row["rank_at"]), int(row["rank_end"])
    return str(at) if at == end else f"{at} ({end})"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else significant(value)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """The estimates as columns of numbers."""
    flat = table.drop(columns=["at", "end"])
    for name in ("at", "end"):
        flat[name] = [each.mean for each in table[name]]
        for part in PARTS:
            flat[f"{name}_{part}"] = [getattr(each, part) for each in table[name]]
    return flat
