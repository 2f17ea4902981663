"""Named streams of random numbers: a draw depends on its seed and its name only."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator

import torch

_OF_ALL_THREADS = threading.RLock()


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose draws depend on `seed` and `names` only, whatever else is drawn beside it.

    Every use of randomness names its own stream, ``stream(seed, "noise", block)``, so no state has to be kept:
    a resumed run asks for the same stream again.

    Args:
        seed: of a cell or a fit.
        names: what the numbers are for.
        device: where they are drawn; each kind of device has its own numbers.

    Returns:
        A generator at the beginning of the stream.
    """
    digest = hashlib.sha256(repr((int(seed), *names)).encode()).digest()  # numpy's integers print otherwise
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little", signed=True))


@contextlib.contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Within the block, torch's own CPU generator is that of ``stream(seed, *names)``; afterwards it is as before.

    The generator belongs to the process: threads that come here wait for each other, so that each has its own numbers.

    Args:
        seed: of a cell or a fit.
        names: what the numbers are for.

    Returns:
        A context manager.
    """
    with _OF_ALL_THREADS, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, *names).initial_seed())
        yield
