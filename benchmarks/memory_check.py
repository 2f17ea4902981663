"""Random calls of every kernel under valgrind: is memory touched that is not theirs?

    python -P benchmarks/memory_check.py --calls 125

Every public entry of the kernels is called so often, forward and backward, with the random sizes of
``tests/support/kernel_entries.py``. First without valgrind, so that compiled kernels are in numba's cache, then
under it; it emulates a processor with AVX2, so that kernels are compiled for such a one. As a control, a kernel that
writes one number behind an array is run in the same way and must be found. An error counts where its innermost frame is
compiled by numba, which valgrind shows as ``???``; CPython, torch and the linker have errors of their own while they
start. Debian's package ``valgrind`` is needed. On two cores it takes some five minutes.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
CPU = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+sse4.2,+popcnt,+lzcnt"}
CONTROL = """
import numba, numpy
@numba.njit(cache=True)
def write(numbers, place):
    numbers[place] = 1.0
write(numpy.zeros(1000), 3)
write(numpy.zeros(1000), 1000)
"""


class Draw:
    """Stands in for hypothesis' `draw`: random members of the strategies that the tests use.

    Args:
        seed: of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, strategy: Any) -> Any:
        """A member of a strategy of sampled values or of whole numbers."""
        while hasattr(strategy, "wrapped_strategy"):
            strategy = strategy.wrapped_strategy
        if hasattr(strategy, "elements"):
            return self.random.choice(list(strategy.elements))
        return self.random.randint(strategy.start, strategy.end)


def call_all(calls: int) -> None:
    """Call every entry so often, with sizes that fit."""
    sys.path.insert(0, str(TESTS))
    import torch
    from support.kernel_entries import ENTRIES, results

    torch.set_num_threads(1)
    for name, entry in ENTRIES.items():
        for seed in range(calls):
            results(entry, entry.shapes(Draw(seed)), torch.float32)
        print(f"{name}: {calls} calls", flush=True)


def errors(command: list[str], environment: dict[str, str], log: Path) -> tuple[int, int]:
    """Run a command natively, then under valgrind.

    Args:
        command: of Python.
        environment: of both runs.
        log: file of valgrind's words.

    Returns:
        The number of places with errors, and of those within code that numba compiled.
    """
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    checked = ["valgrind", "--error-limit=no", f"--log-file={log}", *command]
    subprocess.run(checked, env=environment, check=True)
    text = log.read_text(errors="replace")
    places = re.findall(r"(?:Invalid|Use of|Conditional).*\n==\d+==    at 0x[0-9A-F]+: (.*)", text)
    return len(places), sum(place.startswith("???") for place in places)


def main() -> None:
    """Run the control and the calls, print a line each; exit status 1 where a kernel touches what is not its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=125, help="of each entry")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        call_all(options.calls)
        return
    if not shutil.which("valgrind"):
        sys.exit("memory_check: no valgrind here; expected Debian's package of that name")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **CPU, "NUMBA_CACHE_DIR": f"{folder}/numba", "XDG_CACHE_HOME": folder}
        environment |= {"NFBENCH_BACKEND": "numba", "PYTHONMALLOC": "malloc", "OMP_NUM_THREADS": "1"}
        control = Path(folder) / "control.py"
        control.write_text(CONTROL)
        _, found = errors([sys.executable, str(control)], environment, Path(folder) / "control.log")
        print(f"control: {found} places in compiled code; expected at least 1")
        calls = [sys.executable, "-P", __file__, "--inside", "--calls", str(options.calls)]
        places, ours = errors(calls, environment, Path(folder) / "calls.log")
        print(f"kernels: {ours} places in compiled code, {places - ours} in others' code; expected 0 in compiled code")
    sys.exit(0 if found and not ours else 1)


if __name__ == "__main__":
    main()
