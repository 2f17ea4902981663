"""Updates of several seeds whose gradient was recorded, beside updates that call the models, in turn.

    python -P benchmarks/traced_updates.py planar:K=2 planar:K=32 nsf:K=4 --targets u1 digits

Printed are the milliseconds of an update, the ratio round by round, and the seconds that the recording takes. If the
first 25 updates of both do not end at the same bits, the command ends with an error.
"""

import argparse
import sys

import torch

from nfbench.foundation.errors import InputError
from nfbench.specification.config import Training
from nfbench.timing.measure.clock import Entrant, Protocol, ratio, rounds, spread, wall, warm_up
from nfbench.timing.run import threads
from nfbench.training.objective import initial_model
from nfbench.training.program import Program

CHECKED = 25  # updates that both make before they are timed
CONFIG = Training(updates=10**6, learning_rate=1e-4, batch=100, anneal_updates=0, schedule="constant")
PROTOCOL = Protocol(rounds=25, budget=2.0)


def program(spec: str, target: str, seeds: int, draws: int, *, traced: bool) -> Program:
    """A training that records the gradient of its first update, or that never does."""
    config = CONFIG.model_copy(update={"draws": draws})
    made = Program([initial_model(spec, target, seed) for seed in range(seeds)], range(seeds), config)
    made.update.to_trace = traced
    return made


def row(spec: str, target: str, seeds: int, draws: int) -> str:
    """Time both trainings of a posterior: a line of the table."""
    both = {name: program(spec, target, seeds, draws, traced=name == "recorded") for name in ("called", "recorded")}
    first = {name: wall(one.advance, 1) for name, one in both.items()}
    for one in both.values():
        wall(one.advance, CHECKED - 1)
    called, recorded = (one.update.state() for one in both.values())
    if both["recorded"].update.traced is None or any(not torch.equal(called[name], recorded[name]) for name in called):
        sys.exit(f"{spec} on {target}: not recorded, or other numbers")
    entrants = {name: Entrant(one.advance, warm_up(one.advance, wall, PROTOCOL).seconds) for name, one in both.items()}
    samples = rounds(entrants, wall, PROTOCOL, "recorded")
    for seconds in samples.values():
        if isinstance(seconds, Exception):
            raise seconds
    milliseconds = {name: spread([1e3 * value for value in taken.values()]) for name, taken in samples.items()}
    shown = [*milliseconds.values(), ratio(samples["called"], samples["recorded"])]
    numbers = " | ".join(f"{one.median:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in shown)
    return f"| `{spec}` | `{target}` | {numbers} | {first['recorded'] - milliseconds['recorded'].median / 1e3:.1f} |"


def main() -> None:
    """Time the posteriors on all targets, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("specs", nargs="+", help="of posteriors")
    parser.add_argument("--targets", nargs="+", default=["u1"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--draws", type=int, default=100, help="of an update")
    given = parser.parse_args()
    if given.seeds < 2 or given.draws < 1:
        parser.error(f"--seeds {given.seeds} --draws {given.draws}: expected at least 2 seeds and 1 draw")
    print("| posterior | target | called (ms) | recorded (ms) | called / recorded | recording (s) |")
    print(6 * "| --- " + "|")
    try:
        with threads(1):
            for target in given.targets:
                for spec in given.specs:
                    print(row(spec, target, given.seeds, given.draws), flush=True)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
