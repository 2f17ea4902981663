"""A sweep by workers that are killed at random and restarted: what of it is lost, run twice, or left behind.

    python benchmarks/killed_workers.py --cells 200 --workers 4 --kills 50

Workers are processes of their own on one folder of results; a kill is SIGKILL. At the end the folder is compared, file
by file and bit by bit (but for times and machines in records), with that of one worker that nobody disturbed.
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.shared_folder import disturbed, equal, groups, outcome, worked

from nfbench.experiments.clean import leftovers, remove


def main() -> int:
    """Run both sweeps and print how they compare; exit code 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--moment", type=float, default=4.0, help="longest life in seconds of a worker that is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the random times")
    asked = parser.parse_args()
    parts = groups(asked.cells, ["gaussian", "planar:K=2", "radial:K=2", "nice:K=2"])
    with tempfile.TemporaryDirectory() as folder:
        whole, torn, log = Path(folder) / "whole", Path(folder) / "torn", Path(folder) / "log"
        began = time.monotonic()
        worked(whole, parts)
        alone = time.monotonic() - began
        hits = disturbed(
            torn, parts, log, workers=asked.workers, kills=asked.kills, moment=asked.moment, seed=asked.seed
        )
        seconds = time.monotonic() - began - alone
        left = leftovers(torn)
        remove(left, torn)
        said = log.read_text()
        told = len(re.findall(r": 1 done$", said, re.MULTILINE))
        named = said.count("finished by another process meanwhile")
        same = equal(outcome(torn), outcome(whole))
        done = sum(status == "done" for status, *_ in outcome(torn)[0].values())
    print(f"{done} of {asked.cells} cells done by {asked.workers} workers, {hits} of which were killed at work")
    print(f"{seconds:.0f} s; one worker that was not disturbed took {alone:.0f} s")
    print(f"told as done {told} times; {named} named as finished twice")
    print(f"{len(left)} files left behind before, {len(leftovers(torn))} after nfbench clean")
    print(f"files and numbers equal to the undisturbed run's: {'yes' if same else 'no'}")
    return 0 if same and done == asked.cells and told - named <= done else 1


if __name__ == "__main__":
    sys.exit(main())
