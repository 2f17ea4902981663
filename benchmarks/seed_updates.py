"""Two ways in which several seeds train, in turn: updates that call the models, that are recorded, or seed by seed.

    python -P benchmarks/seed_updates.py planar:K=2 planar:K=32 nsf:K=4 --targets u1 digits
    python -P benchmarks/seed_updates.py planar:K=80 --targets u1 --seeds 2 --ways recorded one-by-one

Called and recorded models run under vmap. Printed are the milliseconds of an update, the ratio round by round, and the
seconds that the second way's first update takes more than others, for a recording above all. If the first 25 updates of
both ways under vmap do not end at the same bits, the command ends with an error.
"""

import argparse
import math
import sys

import torch

from nfbench.foundation.errors import InputError
from nfbench.specification.config import Training
from nfbench.timing.measure.clock import Entrant, Protocol, ratio, rounds, spread, wall, warm_up
from nfbench.timing.run import threads
from nfbench.training import update
from nfbench.training.objective import initial_model
from nfbench.training.program import Program

CHECKED = 25  # updates that both make before they are timed
WAYS = ("called", "recorded", "one-by-one")
CONFIG = Training(updates=10**6, learning_rate=1e-4, batch=100, anneal_updates=0, schedule="constant")
PROTOCOL = Protocol(rounds=25, budget=2.0)


def program(spec: str, target: str, seeds: int, draws: int, way: str) -> Program:
    """A training whose updates are made in one of the ways."""
    update.LARGE = 0 if way == "one-by-one" else math.inf
    config = CONFIG.model_copy(update={"draws": draws})
    made = Program([initial_model(spec, target, seed) for seed in range(seeds)], range(seeds), config)
    made.update.to_trace = way == "recorded"
    return made


def row(spec: str, target: str, seeds: int, draws: int, ways: list[str]) -> str:
    """Time both ways for a posterior: a line of the table."""
    both = {way: program(spec, target, seeds, draws, way) for way in ways}
    first = {way: wall(one.advance, 1) for way, one in both.items()}
    for one in both.values():
        wall(one.advance, CHECKED - 1)
    states = [one.update.state() for one in both.values() if not one.update.apart]
    if "recorded" in both and both["recorded"].update.traced is None:
        sys.exit(f"{spec} on {target}: it cannot be recorded")
    if any(not torch.equal(states[0][name], value) for name, value in states[-1].items()):
        sys.exit(f"{spec} on {target}: other numbers")
    entrants = {name: Entrant(one.advance, warm_up(one.advance, wall, PROTOCOL).seconds) for name, one in both.items()}
    samples = rounds(entrants, wall, PROTOCOL, ways[1])
    for seconds in samples.values():
        if isinstance(seconds, Exception):
            raise seconds
    milliseconds = {name: spread([1e3 * value for value in taken.values()]) for name, taken in samples.items()}
    shown = [*milliseconds.values(), ratio(samples[ways[0]], samples[ways[1]])]
    numbers = " | ".join(f"{one.median:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in shown)
    return f"| `{spec}` | `{target}` | {numbers} | {first[ways[1]] - milliseconds[ways[1]].median / 1e3:.1f} |"


def main() -> None:
    """Time both ways for the posteriors on all targets, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("specs", nargs="+", help="of posteriors")
    parser.add_argument("--targets", nargs="+", default=["u1"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=100, help="of an update")
    parser.add_argument(
        "--ways", nargs=2, choices=WAYS, default=["called", "recorded"], help="two, the first by the second"
    )
    given = parser.parse_args()
    if given.seeds < 2 or given.draws < 1:
        parser.error(f"--seeds {given.seeds} --draws {given.draws}: expected at least 2 seeds and 1 draw")
    if given.ways[0] == given.ways[1]:
        parser.error(f"--ways {' '.join(given.ways)}: expected two different ones")
    one, two = given.ways
    print(f"| posterior | target | {one} (ms) | {two} (ms) | {one} / {two} | first update (s) |")
    print(6 * "| --- " + "|")
    try:
        with threads(1):
            for target in given.targets:
                for spec in given.specs:
                    print(row(spec, target, given.seeds, given.draws, given.ways), flush=True)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
