"""The process that talks to a Ray cluster: it starts workers as tasks, again where they died, until nothing is left.

Run by ``python -m nfbench.executors.ray_driver HANDLE JOB``: a pipe's handle for signs of life, and the job as JSON.
"""

import json
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nfbench.executors.engine import Sweep, Workers, end_with

NO_CLUSTER = 3  # exit code where there is no cluster
GONE = 4  # exit code where this machine's node is none of the cluster's any more
_MOST_DEATHS = 100  # of workers, that are replaced
_ENDED = (0, 1, 2)  # exit codes of workers that have ended by themselves: nothing to claim, or nowhere to write
_CALL = 10.0  # seconds in which a head takes a call
_PAUSE = 2.0  # seconds between two looks at tasks and nodes


def capacity(nodes: Sequence[Mapping[str, Any]], gpus: float) -> int:
    """How many workers a cluster has room for.

    Args:
        nodes: as `ray.nodes` tells of them.
        gpus: share of a GPU that a worker has; 0: it has a core.

    Returns:
        The number of cores of the nodes that live, or of shares of their GPUs.

    >>> capacity([{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}, {"Alive": False}], 0.25)
    8
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if gpus:
        return sum(int(node.get("GPU", 0)) * round(1 / gpus) for node in alive)
    return sum(int(node.get("CPU", 0)) for node in alive)


def work(arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run one worker in a task.

    Args:
        arguments: of ``nfbench worker``.
        variables: of its environment.

    Returns:
        Its exit code; -n where signal n has ended it.
    """
    return Workers(Sweep(tuple(arguments), "cpu", (), Path(), variables))()[0]


def drive(job: Mapping[str, Any], signs: int) -> int:
    """Connect to the cluster, keep as many tasks as it has room for, and wait until they find nothing to claim.

    A worker that ends by itself has found nothing that it could claim: none is started after it. One that was killed,
    or whose node has died, is replaced. Nodes that join get workers.

    Args:
        job: ``address`` of the cluster, empty for this machine's; ``arguments`` and ``environment`` of workers,
            ``most`` of them at once, the share of ``gpus`` of each.
        signs: handle to which a line is written whenever the cluster has answered.

    Returns:
        An exit code.
    """
    import ray

    try:
        _call(job["address"])
        ray.init("auto", logging_level=logging.WARNING, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return NO_CLUSTER
    own, gpus = ray.get_runtime_context().get_node_id(), job["gpus"]
    needed = {"num_cpus": 0, "num_gpus": gpus} if gpus else {"num_cpus": 1}
    task = ray.remote(max_retries=0, **needed)(work)
    running: list[Any] = []
    is_ending, deaths = False, 0
    while True:
        nodes = ray.nodes()
        if not any(node["Alive"] and node["NodeID"] == own for node in nodes):
            return GONE
        room = capacity(nodes, gpus)
        if not is_ending and deaths <= _MOST_DEATHS:
            wanted = max(1, min(job["most"], room))
            running += [task.remote(job["arguments"], job["environment"]) for _ in range(wanted - len(running))]
        none = f"no node of the Ray cluster has a {'GPU' if gpus else 'core'}; waiting for one"
        state = "workers run on a Ray cluster" if room else none
        os.write(signs, f"{state}\n".encode())
        if not running:
            return 0
        ended, running = ray.wait(running, num_returns=1, timeout=_PAUSE)
        for each in ended:
            try:
                code = ray.get(each)
            except ray.exceptions.RayError as error:
                print(error, file=sys.stderr)
                code = -1
            by_itself = code in _ENDED
            is_ending, deaths = is_ending or by_itself, deaths + (not by_itself)


def _call(address: str) -> None:
    """Raise `OSError` where nobody answers at an address ``HOST:PORT``, which Ray takes minutes to find out."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _CALL).close()


def main(handle: str, text: str) -> int:
    """Drive a job whose starter holds the other ends of standard input and of a pipe.

    Args:
        handle: number of the pipe's file.
        text: the job, as JSON.

    Returns:
        An exit code.
    """
    end_with(0)
    return drive(json.loads(text), int(handle))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
