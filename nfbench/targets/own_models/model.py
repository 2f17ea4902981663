"""A density that a user's code computes: looked at before anything is trained, with its errors shown as theirs."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.targets.function import FunctionTarget
from nfbench.targets.own_models import faults
from nfbench.targets.own_models.fold import folded

_PROBES = 64  # standard normal draws at which a new model is looked at
_AT_ONCE = 2048  # draws of a call where no gradient is wanted: a model may hold its data once a draw
_PRECISIONS = (torch.float32, torch.float64)


class OwnModel(FunctionTarget):
    """A log-density by somebody else's code.

    A subclass says where the code comes from, and ends its constructor with `probe()`.

    Args:
        owner: the target in messages, such as ``target 'file:my_model.py'``.
        function: ``(..., D) -> (...)`` in nats, differentiable by autograd, draw by draw.
        dim: D.
        log_z: ln of the density's integral; None where it is not known.

    Attributes:
        owner: the target in messages.
        precision: the only dtype that the function works in, to which draws are cast; None where it takes both.
        subject: what the function is called in messages.
        wanted: what a density with values that are not finite should have been, in messages.
    """

    subject = "the log-density"
    wanted = "a density that is finite for all parameters in their supports"

    def __init__(self, owner: str, function: Callable[[Tensor], Any], dim: int, log_z: float | None = None) -> None:
        super().__init__(function, dim, log_z)
        self.owner = owner
        self.precision: torch.dtype | None = None

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        """The model's function at z; under `torch.vmap` all seeds in one call.

        Args:
            z: (..., D).
            batch: ignored; the model knows its own data.

        Returns:
            (...), in nats.

        Raises:
            InputError: the function raised an error, or returned something else than a tensor (...).
        """
        return folded(self._in_parts, self.checked(z))

    def stacks(self) -> bool:
        """Whether several seeds can train as one program.

        Returns:
            True: `log_joint` folds the seeds into the draws.
        """
        return True

    def _in_parts(self, z: Tensor) -> Tensor:
        """`plain`, some draws at a time where there are many and no gradient is wanted."""
        if z.ndim < 2 or len(z) <= _AT_ONCE or (z.requires_grad and torch.is_grad_enabled()):
            return self.plain(z)
        return torch.cat([self.plain(z[start : start + _AT_ONCE]) for start in range(0, len(z), _AT_ONCE)])

    def plain(self, z: Tensor) -> Tensor:
        """The function at plain draws, in its precision, with errors as the user's.

        Args:
            z: (..., D), not under `torch.vmap`.

        Returns:
            (...), in the dtype of z where `precision` is set.

        Raises:
            InputError: as of `log_joint`.
        """
        cast = z if self.precision is None else z.to(self.precision)
        try:
            value = super().log_joint(cast)
        except InputError as error:
            raise InputError(str(error).replace("target", self.owner, 1)) from error
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            raise InputError(f"{self.owner}: {self.subject}: {faults.raised(self.function, cast, error)}") from error
        return value if self.precision is None else value.to(z.dtype)

    def mapped(self, function: Callable[[Tensor], Any] | None, z: Tensor) -> Tensor:
        """Draws in another space, by the user's code.

        Args:
            function: ``(n, D) -> (n, C)``; None for the same space.
            z: (n, D).

        Returns:
            (n, C), z itself without a function.

        Raises:
            InputError: the function raised an error, or returned something else than (n, C).
        """
        if function is None:
            return z
        cast = z if self.precision is None else z.to(self.precision)
        try:
            value = function(cast)
        except Exception as error:  # whatever the user's code raises
            raise InputError(f"{self.owner}: constrain: {faults.raised(function, z, error)}") from error
        if not isinstance(value, Tensor) or value.ndim != 2 or len(value) != len(z):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{self.owner}: constrain of z {tuple(z.shape)} returned {shape}: expected (n, C)")
        return value.to(z.dtype)

    def probe(self) -> None:
        """Look at a few draws, and refuse what is no log-density on all of R^D, before anything is trained.

        Raises:
            InputError: one line that says what is wrong, at which point z and in which term.
        """
        z = torch.randn(_PROBES, 1, self.dim, generator=stream(0, "probe"), dtype=torch.float64)
        self.precision = self._works_in(z)
        points = z.to(self.precision or torch.float32).requires_grad_()
        with torch.enable_grad():
            value = self.log_joint(points)
        self._check_values(value.detach().flatten(), points)
        if not value.requires_grad:
            raise InputError(
                f"{self.owner}: {self.subject} has no gradient by autograd: expected torch operations on z, without "
                "detach(), item() or numpy()"
            )
        (slope,) = torch.autograd.grad(value[value.isfinite()].sum(), points)
        unused = [str(d) for d in range(self.dim) if not bool(slope[..., d].any())]
        if unused:
            raise InputError(
                f"{self.owner}: {self.subject} does not depend on z[{', '.join(unused)}] at {_PROBES} draws: it has no "
                f"integral over dim={self.dim} numbers; expected another dim, or a term for every coordinate"
            )

    @abstractmethod
    def first_not_finite(self, z: Tensor) -> str | None:
        """Where numbers that are not finite first come from.

        Args:
            z: a point with finite coordinates at which the log-density is not finite, (D,).

        Returns:
            Such as a line of the user's file, or a site of their model; None where it is not seen.
        """

    def _works_in(self, z: Tensor) -> torch.dtype | None:
        """The only one of both dtypes in which the function works; None where both do.

        Raises:
            InputError: it works in neither; said of float32.
        """
        errors: dict[torch.dtype, InputError] = {}
        for precision in _PRECISIONS:
            try:
                value = self.plain(z.to(precision))
            except InputError as error:
                errors[precision] = error
                continue
            if value.dtype != precision:
                errors[precision] = InputError(
                    f"{self.owner}: {self.subject} returned {value.dtype} for z in {precision}"
                )
        if len(errors) == len(_PRECISIONS):
            raise errors[torch.float32]
        return next((precision for precision in _PRECISIONS if errors and precision not in errors), None)

    def _check_values(self, value: Tensor, z: Tensor) -> None:
        """Refuse NaN and +inf anywhere, and -inf at all draws."""
        wrong = value.isnan() | (value == math.inf)
        if not wrong.any() and value.isfinite().any():
            return
        first = int((wrong if wrong.any() else ~value.isfinite()).nonzero()[0, 0])
        point = z[first].detach().flatten()
        where = self.first_not_finite(point)
        shown = f"{float(value[first]):.4g} at {faults.point(point)}{f': first in {where}' if where else ''}"
        count = f"{int((~value.isfinite()).sum())} of {len(value)} standard normal draws"
        raise InputError(f"{self.owner}: {self.subject} is {shown} ({count} are not finite); expected {self.wanted}")
