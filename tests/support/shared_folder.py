"""Small sweeps of several processes on one folder of records: their plan, workers that are killed, and the outcome."""

import os
import random
import re
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from nfbench.executors.claims import Sharing
from nfbench.experiments.plan import plan
from nfbench.experiments.work import work
from nfbench.records import store
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.training.acceleration import PLAIN

NAME = "trial"
TRAINING = Training(learning_rate=0.01, updates=3, draws=4, anneal_updates=1, together=1)
EVALUATION = Evaluation(draws=20, forward_draws=20, importance_draws=2, grid=4)
KILLED = -signal.SIGKILL


def groups(cells=4, posteriors=("gaussian",), training=TRAINING, targets=("u1",)):
    """Groups of one cell each."""
    seeds = cells // len(posteriors) // len(targets)
    profile = Profile(seeds=seeds, training=training, evaluation=EVALUATION)
    experiment = Experiment(
        name=NAME, title="", summary="", targets=list(targets), posteriors=list(posteriors), profiles={"smoke": profile}
    )
    return plan(experiment, "smoke")


def worked(root, parts, **sharing):
    """One worker in this process."""
    return work(parts, root, acceleration=PLAIN, sharing=Sharing(retry=False, **sharing))


def undisturbed(root, cells):
    """The outcome of one worker that nothing disturbs."""
    assert worked(root, groups(cells)).counts == {"done": cells}
    return outcome(root)


def runs_told(text):
    """How many runs of one cell to its end workers told of; not their summaries, such as ``6 cells: 1 done; ...``."""
    return len(re.findall(r"\[\d+/\d+\] [^\n]*: 1 done", text))


def forked(function, log):
    """Call a function in a child of this process, which writes what it says into a file, and ends with code 0 or 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of forks in processes with threads
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout = sys.stderr = os.fdopen(handle, "w", buffering=1)
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(message)
        function()
        code = 0
    except KeyboardInterrupt as error:
        code = getattr(error, "exit_code", 130)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child):
    """Wait for a child; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def disturbed(root, parts, log, *, workers, kills, moment, seed=0):
    """Have workers work on a plan to its end, of which as many are killed, each after a random time, and restarted.

    Args:
        root: folder of the records.
        parts: the plan.
        log: file of what the workers say.
        workers: at once.
        kills: SIGKILLs in all.
        moment: seconds that the longest life of a killed worker has.
        seed: of the random times.

    Returns:
        Number of kills that hit a worker at work.
    """
    random_numbers, hits = random.Random(seed), 0

    def start():
        return forked(lambda: worked(root, parts), log)

    alive = [start() for _ in range(workers)]
    while alive:
        if hits < kills:
            time.sleep(random_numbers.uniform(0, moment) / workers)
            victim = alive.pop(random_numbers.randrange(len(alive)))
            os.kill(victim, signal.SIGKILL)
            hits += ended(victim) == KILLED
            alive.append(start())
        else:
            assert ended(alive.pop()) == 0, log.read_text()
    return hits


def children_of(process):
    """Numbers of the processes that a process has started."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(number) for file in tasks for number in file.read_text().split()]


def family_of(process):
    """Numbers of a process and of all that it, and they, have started."""
    return [process, *(each for child in children_of(process) for each in family_of(child))]


def outcome(root):
    """What a folder of records says: metrics, curves and arrays of every cell, and the names of all files in it."""
    records = {record.id: record for record in store.records(root)}
    numbers = {
        name: (record.status, record.metrics, record.curves, store.arrays(root, NAME, name, record.arrays))
        for name, record in records.items()
    }
    return numbers, {str(path.relative_to(root)) for path in root.rglob("*")}


def equal(one, other):
    """Whether two outcomes are the same, bit by bit."""
    (numbers, names), (others, other_names) = one, other
    return names == other_names and numbers.keys() == others.keys() and all(
        said[:3] == others[name][:3]
        and said[3].keys() == others[name][3].keys()
        and all(np.array_equal(array, others[name][3][key]) for key, array in said[3].items())
        for name, said in numbers.items()
    )  # fmt: skip
