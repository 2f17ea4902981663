"""How long families of maps with networks take beside the same kind of map in other libraries.

    python -P benchmarks/library_speed.py --dims 2 40 --draws 100 10000
    python -P benchmarks/library_speed.py --dims 40 --draws 1 --points 100 1000

A case is ``q(noise)`` and the gradient of all learned numbers, in turn, round by round, as `nfbench time` does it.
Unlike there the libraries compute another function, with networks as they make them: the numbers of parameters say how
alike the two are. Pairs come from the registrations: ``LIBRARY:NAME`` beside ``NAME`` of the same kind, and two names
that libraries have for what is registered under another one. A library that is not installed is left out.
"""

import argparse
import os
import sys
from collections.abc import Iterator

import torch

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.posteriors.build import posterior
from nfbench.posteriors.contract import Posterior
from nfbench.specification.registrations import registrations
from nfbench.specification.registry import posteriors
from nfbench.timing.measure.clock import Entrant, Protocol, Run, ratio, rounds, spread, wall, warm_up
from nfbench.timing.run import threads

SAME = {"maf": "iaf", "unaf": "umnn"}  # what a family is called here
OURS = {"iaf": "mode=affine"}  # the form that libraries have
PROTOCOL = Protocol(rounds=25, budget=1.0)


def pairs(families: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each family that a library has too, with the names of those that are installed."""
    known = {name: posteriors[name] for name in posteriors.names()}
    kinds = registrations()
    for name in families or known:
        ours = posteriors[name]
        others = [
            other
            for other, entry in known.items()
            if entry.library is not None and entry.installed
            if SAME.get(short := other.partition(":")[2], short) == name and kinds[other].kind == kinds[name].kind
        ]
        if ours.library is None and others:
            yield name, others


def spec(name: str, depth: int, context: int) -> str:
    """A family with a depth, and without a context where there are no data points."""
    options = [f"K={depth}", *filter(None, [OURS.get(name)])]
    if "context" in posteriors[name].options:
        options.append(f"context={context}")
    return name + ("," if ":" in name else ":") + ",".join(options)


def work(q: Posterior, draws: int) -> Run:
    """One repetition: draws, ln q and the gradient of their sum."""
    noise = torch.randn(draws, q.points, q.noise_dim, generator=stream(0, "noise"))
    learned = [parameter for parameter in q.parameters() if parameter.requires_grad]

    def run() -> object:
        z, log_q = q(noise)
        return torch.autograd.grad(z.sum() + log_q.sum(), learned, allow_unused=True)

    return run


def case(name: str, others: list[str], dim: int, depth: int, draws: int, points: int) -> str:
    """A row of the table: the family, the fastest library beside it, then the others."""
    entrants, sizes = {}, {}
    for each in (name, *others):
        try:
            q = posterior(spec(each, depth, context=16 if points > 1 else 0), dim, points=points)
            run = work(q, draws)
            entrants[each] = Entrant(run, warm_up(run, wall, PROTOCOL).seconds)
        except InputError as error:
            print(f"{each}, D = {dim}, {points} points: {error}", file=sys.stderr)
            continue
        sizes[each] = sum(parameter.numel() for parameter in q.parameters())
    samples = rounds(entrants, wall, PROTOCOL, name)
    for seconds in samples.values():
        if isinstance(seconds, Exception):
            raise seconds
    own = spread([*samples[name].values()])
    ratios = {each: ratio(samples[each], samples[name]) for each in samples if each != name}
    numbers = f"{sizes[name]:,} | {1e3 * own.median:.3g} [{1e3 * own.low:.3g}, {1e3 * own.high:.3g}]"
    against = "none can | — | —"
    if ratios:
        fastest, *slower = sorted(ratios, key=lambda each: ratios[each].median)
        best, library = ratios[fastest], posteriors[fastest].library
        others = ", ".join(f"{each.partition(':')[0]} {ratios[each].median:.2f}" for each in slower) or "—"
        against = f"{library}: {sizes[fastest]:,} | {best.median:.2f} [{best.low:.2f}, {best.high:.2f}] | {others}"
    return f"| {name} | {dim} | {draws:,} | {points:,} | {numbers} | {against} |"


def main() -> None:
    """Time all pairs at all sizes, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="*", default=[], help="names; all that a library has, if omitted")
    parser.add_argument("--dims", nargs="+", type=int, default=[2, 40])
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--draws", nargs="+", type=int, default=[100, 10_000])
    parser.add_argument("--points", nargs="+", type=int, default=[1], help="data points, each with numbers of its own")
    options = parser.parse_args()
    try:
        beside = [*pairs(options.families)]
    except InputError as error:
        parser.error(str(error))
    library = "fastest library: parameters | against it | against others"
    print(f"| family | D | S | B | parameters | nfbench (ms) | {library} |")
    print(9 * "| --- " + "|")
    with threads(len(os.sched_getaffinity(0))):
        for name, others in beside:
            for dim in options.dims:
                for draws in options.draws:
                    for points in options.points:
                        print(case(name, others, dim, options.depth, draws, points), flush=True)


if __name__ == "__main__":
    main()
