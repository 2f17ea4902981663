"""Small cases for the tests of timings."""

from nfbench.registry import posteriors
from nfbench.timing import sizes
from nfbench.timing.clock import Protocol
from nfbench.timing.contender import BASE
from nfbench.timings import Case

QUICK = Protocol(rounds=3, budget=0.001, sample=1e-6, warm_calls=2, warm_seconds=0, warm_limit=0.001)
MODES = ("sample", "forward", "backward", "inverse")


def case_of(spec="planar:K=2", mode="backward", **rest):
    """A small case; the spec is made canonical."""
    given = {"profile": "test", "dim": 2, "draws": 8, "threads": 1} | rest
    return Case(posterior=str(posteriors.choose(spec)), mode=mode, **given)


def planned(case, *names):
    return sizes.Planned(case, posteriors.choose(case.posterior), [BASE, *names])
