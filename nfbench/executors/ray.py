"""Workers as tasks of Ray, with fractions of GPUs; a node that dies is survived.

What talks to a Ray cluster may hang, or end its own process, once the cluster's head dies. A process of its own
therefore does so (`nfbench.executors.ray_driver`). It gives a sign of life whenever the head has answered it; the
engine ends it where these fail to come, so that the command never waits for a cluster that is gone. What was finished
lies in the folder of results, where the same command goes on once there is a cluster again.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from nfbench.executors.engine import EngineLostError, Sweep, missing
from nfbench.executors.ray_driver import NO_CLUSTER
from nfbench.foundation.errors import InputError
from nfbench.foundation.interrupts import interruptible
from nfbench.foundation.settings import RAY_VARIABLE, environment, ray_address
from nfbench.foundation.terminal import is_quiet, say

_SILENCE = 60.0  # seconds without a sign of life after which the cluster is taken to be gone
_PATIENCE = 10.0  # seconds in which the driver that is told to end does so
_DRIVER = ("-m", "nfbench.executors.ray_driver")
_LOG = "ray.log"


@dataclass(frozen=True)
class Ray:
    """Ray as an engine; ``RAY_ADDRESS`` says which cluster, or else it is that which this machine belongs to.

    Attributes:
        jobs: workers at once at most; None: as many as the cluster has cores, or shares of GPUs.
        workers_per_gpu: workers that share a GPU.
    """

    jobs: int | None = None
    workers_per_gpu: int = 1
    waits = True
    patient = False

    def run(self, sweep: Sweep) -> None:
        """Start tasks and wait for their end.

        Args:
            sweep: what the workers are for.

        Raises:
            InputError: Ray is not installed, or there is no cluster.
            EngineLostError: the cluster is gone, or does not answer.
            KeyboardInterrupt: interrupted; the workers have been told to store what they train and to end.
        """
        if find_spec("ray") is None:
            raise missing("ray", "ray")
        address = ray_address()
        if "://" in address:
            raise InputError(
                f"{RAY_VARIABLE}={address!r}: expected HOST:PORT of a cluster that this machine belongs to"
            )
        with interruptible():
            code = self._drive(sweep)
        log = sweep.files / _LOG
        if code == NO_CLUSTER:
            where = f"at {RAY_VARIABLE}={address!r}" if address else "here"
            raise InputError(
                f"--executor ray: no Ray cluster {where}; expected one that this machine belongs to, "
                f"by 'ray start --head' or 'ray start --address HOST:PORT'; see {log}"
            )
        if code != 0:
            raise EngineLostError(
                f"--executor ray: the Ray cluster, or its head, is gone or does not answer (see {log}); expected one "
                "that stays; what is finished is kept, and the same command goes on"
            )

    def _drive(self, sweep: Sweep) -> int:
        """Run the driver to its end; its exit code, -n for signal n where it was silent for too long."""
        reading, writing = os.pipe()
        most = min(self.jobs or len(sweep.seconds), len(sweep.seconds))
        gpus = 1 / self.workers_per_gpu if sweep.device == "cuda" else 0.0
        job = {"address": ray_address(), "most": most, "gpus": gpus}
        job |= {"arguments": sweep.arguments, "environment": dict(sweep.environment)}
        words = (sys.executable, *_DRIVER, str(writing), json.dumps(job))
        variables = environment() | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}
        sweep.files.mkdir(parents=True, exist_ok=True)
        with (sweep.files / _LOG).open("ab") as log, os.fdopen(reading, "rb", buffering=0) as signs:
            driver = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,  # which the driver ends with
                stdout=log,
                stderr=log,
                env=variables,
                pass_fds=(writing,),
                start_new_session=True,  # Ctrl-C is this process's
            )
            os.close(writing)
            was_there = False
            try:
                was_there = self._watch(signs.fileno())
            finally:
                if driver.stdin is not None:
                    driver.stdin.close()
                code = _ended(driver)
        return code if was_there else NO_CLUSTER

    def _watch(self, signs: int) -> bool:
        """Read signs of life until there are no more, or none comes for too long; whether there were any.

        What the last one says is told once.
        """
        told = b""
        while select.select([signs], [], [], _SILENCE)[0]:
            content = os.read(signs, 2**20)  # all that there is
            if not content:
                break
            text = content.splitlines()[-1]
            if text != told and not is_quiet():
                say(f"nfbench: {text.decode()}; 'nfbench status' shows how far they are")
            told = text
        return bool(told)


def _ended(driver: "subprocess.Popen[bytes]") -> int:
    """The exit code of a driver whose input was closed, which it ends with; it is killed if it does not."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return driver.wait(_PATIENCE)
    driver.kill()
    return driver.wait()
