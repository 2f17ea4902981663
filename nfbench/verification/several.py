"""The battery on several families, each in a process of its own."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import NamedTuple

import torch

from nfbench.foundation.errors import InputError
from nfbench.records.verdicts import StoredVerdict
from nfbench.specification.choices import Dtype
from nfbench.verification.stored import record_of
from nfbench.verification.verify import Verdict, verify


class Options(NamedTuple):
    """How every family of a command is verified.

    Attributes:
        dim: D; None: 2 and 5.
        depth: K in place of the specs'.
        dtype: precision of trainings.
        device: of torch.
        strict: look longer.
        seconds: for each family; None: without limit.
        stored: whether records of the verdicts are asked for.
    """

    dim: int | None = None
    depth: int | None = None
    dtype: Dtype = "float32"
    device: str = "cpu"
    strict: bool = False
    seconds: float | None = None
    stored: bool = False


Outcome = tuple[Verdict, StoredVerdict | None]


def several(texts: Sequence[str], options: Options, jobs: int | None = None) -> Iterator[Outcome]:
    """Verify families one beside the other.

    Args:
        texts: a spec or ``file.py:flow`` each.
        options: the same for all.
        jobs: processes at once; None: one for each core, one on a GPU. With one, all are verified in this process.

    Yields:
        In the order of the texts, each as soon as it is known: the verdict, and its record where that is asked for.

    Raises:
        InputError: as `nfbench.verification.verify.verify`, or a process ended before its verdict.
    """
    jobs = min(jobs or (1 if options.device.startswith("cuda") else os.cpu_count() or 1), len(texts))
    if jobs <= 1:
        yield from (_verdict(text, place, options) for place, text in enumerate(texts))
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin) as pool:
        waiting = [pool.submit(_verdict, text, place, options) for place, text in enumerate(texts)]
        try:
            for text, future in zip(texts, waiting, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool as error:
                    raise InputError(
                        f"verify {text!r}: its process ended, or that of a family beside it; expected a verdict: "
                        "--jobs 1 shows which"
                    ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.kill()
            raise


def _verdict(text: str, place: int, options: Options) -> Outcome:
    """Verify one family."""
    dim, depth, dtype, device, strict, seconds, stored = options
    verdict = verify(text, dim, depth, dtype=dtype, device=device, strict=strict, seconds=seconds)
    record = record_of(verdict, place, strict=strict, dtype=dtype, device=device) if stored else None
    return verdict, record


def _begin() -> None:
    """In a process that verifies: one thread, no Ctrl-C of its own, and no life without the process that began it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def follow() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
