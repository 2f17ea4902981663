"""Ray as an engine, on a cluster of this machine: nodes die and join, the head dies, and nothing is lost or hangs."""

import contextlib
import importlib.util
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.shared_folder import TRAINING, equal, family_of, groups, outcome, runs_told, worked

from nfbench.executors import ray as engine
from nfbench.executors.engine import EngineLostError
from nfbench.executors.ray import Ray
from nfbench.executors.ray_driver import capacity
from nfbench.experiments.clean import leftovers, remove
from nfbench.experiments.launch import launch
from nfbench.experiments.status import status
from nfbench.foundation.errors import InputError

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")
CELLS = 12


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results"


class Nodes:
    """A cluster of a head and of nodes that join, with a core each, on this machine."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})

    def add(self):
        """Have a node join; in the main thread, as Ray sets a signal's handler."""
        return self.cluster.add_node(num_cpus=1)

    def kill(self, node):
        """Kill all processes of a node, and what they run, as where a machine dies."""
        own = [each.process.pid for processes in node.all_processes.values() for each in processes]
        for process in [each for parent in own for each in family_of(parent)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def cluster(monkeypatch):
    """A cluster, at which `RAY_ADDRESS` points within the block."""
    with monkeypatch.context() as patched:
        patched.setenv("RAY_worker_niceness", "0")  # else its workers starve beside other work of this machine
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        nodes = Nodes()
        patched.setenv("RAY_ADDRESS", nodes.cluster.address)
        try:
            yield nodes
        finally:
            nodes.cluster.shutdown()


@pytest.fixture
def elsewhere():
    """Calls functions in another thread: this one holds the cluster, for which Ray sets signals' handlers."""
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as threads:
        yield threads
    signal.signal(signal.SIGTERM, before)


def wait_for(root, pattern, call):
    """Wait until a file is there, or a call in another thread has ended."""
    while not list(root.glob(pattern)) and not call.done():
        time.sleep(0.02)


@needs_ray
def test_nodes_and_the_head_may_die(root, tmp_path, elsewhere, monkeypatch):
    """The head dies, which is one line; with another, while a node dies and one joins, the call ends as undisturbed."""
    monkeypatch.setattr(engine, "_SILENCE", 6)
    parts = groups(CELLS, training=TRAINING.model_copy(update={"updates": 100}))
    assert worked(tmp_path / "whole", parts).counts == {"done": CELLS}
    with cluster(monkeypatch) as nodes:
        call = elsewhere.submit(launch, Ray(), parts, root)
        wait_for(root, "trial/*.json", call)
        nodes.kill(nodes.cluster.head_node)
        with pytest.raises(EngineLostError, match="is gone or does not answer"):
            call.result(60)
    assert 0 < status(root).counts["done"] < CELLS
    with cluster(monkeypatch) as nodes:
        node = nodes.add()
        call = elsewhere.submit(launch, Ray(), parts, root)
        wait_for(root, "trial/leases/*.lease", call)
        nodes.kill(node)
        nodes.add()
        assert call.result(60).left == 0
    said = "".join(file.read_text(errors="replace") for file in status(root).logs)
    assert runs_told(said) - CELLS <= said.count("finished by another process meanwhile")
    remove(leftovers(root), root)
    assert leftovers(root) == []
    assert equal(outcome(root), outcome(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("code", "error", "said", "waiting"),
    [
        ("0", InputError, "no Ray cluster here; expected one that this machine belongs to", 0),
        ("os.write(int(sys.argv[1]), b'one sign')", EngineLostError, "is gone or does not answer", 1),
    ],
    ids=["never", "no more"],
)
def test_a_cluster_that_does_not_answer_is_one_line(code, error, said, waiting, root, monkeypatch):
    """The command never waits for it without end; the plan stays where workers may be at work."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(engine, "find_spec", lambda _: True)
    monkeypatch.setattr(engine, "_SILENCE", 2)
    monkeypatch.setattr(engine, "_PATIENCE", 0.5)
    monkeypatch.setattr(engine, "_DRIVER", ("-c", f"import os, sys, time; {code}; time.sleep(1000)"))
    began = time.monotonic()
    with pytest.raises(error, match=said):
        launch(Ray(), groups(1), root)
    assert time.monotonic() - began < 10
    assert status(root).counts["waiting"] == waiting


def test_outcomes_count_although_the_cluster_is_gone(root, monkeypatch):
    """Where all cells were finished meanwhile there is nothing to complain of."""

    def gone(self, sweep):
        worked(root, groups(2))
        raise EngineLostError("gone")

    monkeypatch.setattr(Ray, "run", gone)
    assert launch(Ray(), groups(2), root).counts == {"done": 2}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no Ray cluster at RAY_ADDRESS='127.0.0.1:1'; expected one that this machine belongs to"),
        ("ray://127.0.0.1:1", "RAY_ADDRESS='ray://127.0.0.1:1': expected HOST:PORT of a cluster"),
    ],
)
@needs_ray
def test_no_cluster_is_one_line(address, said, root, monkeypatch):
    """It names the address, and nothing is left to do in the folder."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError) as caught:
        launch(Ray(), groups(1), root)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (root / "plans").exists()


def test_room_is_that_of_nodes_that_live():
    """Workers have a core each, or share GPUs."""
    alive = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}
    assert [capacity([alive, {"Alive": False}, alive], gpus) for gpus in (0, 1, 0.5, 1 / 3)] == [16, 4, 8, 12]
