"""Small cases for the tests of timings."""

from nfbench.records.timings import Case, Facts, Timing, identity
from nfbench.specification.registry import posteriors
from nfbench.timing import plan
from nfbench.timing.contenders.contract import BASE
from nfbench.timing.measure.clock import Protocol

QUICK = Protocol(rounds=3, budget=0.001, sample=1e-6, warm_calls=2, warm_seconds=0, warm_limit=0.001)
MODES = ("sample", "forward", "backward", "inverse")
FACTS = Facts(family="planar", label="Planar flow", cite="none", K=2, order=(0, 1))
WHEN = "2026-01-01T00:00:00+00:00"


def case_of(spec="planar:K=2", mode="backward", **rest):
    """A small case; the spec is made canonical."""
    given = {"profile": "test", "dim": 2, "draws": 8, "threads": 1} | rest
    return Case(posterior=str(posteriors.choose(spec)), mode=mode, **given)


def planned(case, *names):
    return plan.Planned(case, posteriors.choose(case.posterior), [BASE, *names])


def timing_of(case=None, contender="textbook", **rest):
    case = case or case_of()
    given = {"status": "done", "run": "r", "finished": WHEN, "provenance": {"device": "cpu"}, "facts": FACTS} | rest
    return Timing(id=identity(case, contender), case=case, contender=contender, **given)
