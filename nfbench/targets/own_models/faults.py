"""What is wrong with a user's log-density, in one line: where in their file, at which point, which term."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nfbench.foundation.errors import reason

_LOOKED_AT = 64  # draws that are tried one by one
_SHOWN = 6  # coordinates of a point in a message


def point(z: Tensor) -> str:
    """A point as text.

    Args:
        z: (D,).

    Returns:
        Such as ``z = [0.5, -1.25]``; of more than six coordinates the first six.

    >>> import torch
    >>> point(torch.tensor([0.5, -1.25]))
    'z = [0.5, -1.25]'
    """
    numbers = [f"{value:.4g}" for value in z.detach().flatten()[:_SHOWN].tolist()]
    return f"z = [{', '.join(numbers)}{', ...' if z.numel() > _SHOWN else ''}]"


def raised(function: Callable[[Tensor], Any], z: Tensor, error: BaseException) -> str:
    """Say what a function raised, and at which point.

    Args:
        function: ``(S, B, D) -> (S, B)``.
        z: the argument, (..., D).
        error: what it raised.

    Returns:
        One line: the error with the user's file and line, and the first draw that raises alone; the shape of z where
        none does.
    """
    draws = z.detach().reshape(-1, 1, 1, z.shape[-1])[:_LOOKED_AT]
    for draw in draws:
        try:
            with torch.no_grad():
                function(draw)
        except Exception:  # whatever the user's function raises
            return f"{reason(error)} at {point(draw)}"
    return f"{reason(error)} for z {tuple(z.shape)}"


def first_operation(function: Callable[[Tensor], Tensor], z: Tensor, file: Path) -> str | None:
    """Say which operation of a user's function is the first to make numbers that are not finite at a point.

    Args:
        function: ``(1, 1, D) -> (1, 1)``, of torch operations.
        z: a point with finite coordinates, (D,).
        file: the user's file.

    Returns:
        File, line, source and operation where numbers that are not finite came out of finite ones; None where no such
        operation is seen.
    """
    watch = _Watch(file)
    with torch.no_grad(), watch:
        function(z.detach().reshape(1, 1, -1))
    return watch.place


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the first operation that makes numbers that are not finite of finite ones.

    Args:
        file: the user's, to whose lines operations are attributed.

    Attributes:
        place: file, line, source and operation; None as long as there is none.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.file = file
        self.place: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in args if isinstance(each, Tensor)]
        if self.place is None and tensors and _finite(tensors) and not _finite([result]):
            self.place = f"{self._line()}: {func.__name__.split('.')[0]}"
        return result

    def _line(self) -> str:
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename) == self.file]
        if not frames:
            return self.file.name
        return f"{self.file.name}:{frames[-1].lineno} `{frames[-1].line}`"


def _finite(values: list[Any]) -> bool:
    return all(bool(each.isfinite().all()) for each in values if isinstance(each, Tensor) and each.is_floating_point())
