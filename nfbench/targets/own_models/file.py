"""A target that is a Python file of the user's: ``file:my_model.py``.

The file has ``dim`` and ``log_joint(z (..., D)) -> (...)`` in nats; what else it may have stands in `FileTarget`. The
sha256 of the file, and of the files that it imports from its own folder, is a part of a cell's identity.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.checks import whole_number
from nfbench.foundation.errors import InputError, reason
from nfbench.foundation.names import did_you_mean
from nfbench.specification import sources
from nfbench.targets.own_models import faults
from nfbench.targets.own_models.entries import Named, open_models
from nfbench.targets.own_models.model import OwnModel
from nfbench.targets.own_models.python_files import existing, public_names

_FACTS = ("dim", "log_joint", "constrain", "names", "log_z", "sample", "reference", "normalised")
_EXPECTED = "a Python file with dim and log_joint(z)"


class FileTarget(OwnModel):
    """A density that a file describes by module attributes; each may be a value or a function without arguments.

    Args:
        file: path of the file, which is run.

    Attributes:
        file: the path in full.
        dim: D, from ``dim``.
        log_z: from ``log_z``, or 0 where the file says ``normalised = True``; None where the density is known only up
            to a constant: F is then shown without KL, and only differences of F mean something.
        names: of the constrained coordinates, from ``names``; None where there are none.

    Raises:
        InputError: no such file, no ``dim`` or ``log_joint``, or a function that is no log-density: one line with the
            file's line, the point z and the first term that is not finite.
    """

    subject = "log_joint"
    wanted = "a density on all of R^D, so a positive parameter enters by its logarithm"

    def __init__(self, file: str | Path) -> None:
        self.owner = f"target 'file:{file}'"
        path = existing(file, self.owner, _EXPECTED)
        public = public_names(path, self.owner)
        self._facts = {name: value for name, value in public.items() if name in _FACTS}
        for needed in ("dim", "log_joint"):
            if needed not in self._facts:
                hint = did_you_mean(needed, public)
                raise InputError(f"{self.owner}: it has no {needed!r};{hint} expected dim and log_joint(z)")
        function, dim = self._facts["log_joint"], self._value("dim")
        if not callable(function):
            raise InputError(f"{self.owner}: log_joint is {type(function).__name__}: expected a function of z (..., D)")
        whole_number(self.owner, "dim", dim, least=1)
        super().__init__(self.owner, function, dim, self._log_z())
        self.file = path
        names = self._value("names")
        self.names = None if names is None else [str(name) for name in names]
        self.probe()

    def constrain(self, z: Tensor) -> Tensor:
        """Draws in the space that the model is about, such as standard deviations in place of their logarithms.

        Args:
            z: (n, D).

        Returns:
            (n, C), z itself where the file has no ``constrain``.

        Raises:
            InputError: the file's function raised an error, or returned another number of rows.
        """
        return self.mapped(self._facts.get("constrain"), z)

    @property
    def has_sampler(self) -> bool:
        """Whether the file has ``sample``."""
        return "sample" in self._facts

    def sample(self, num: int, generator: torch.Generator) -> Tensor:
        """Exact draws, by the file's ``sample(num, generator)``.

        Args:
            num: how many draws.
            generator: of random numbers.

        Returns:
            (num, D).

        Raises:
            NotImplementedError: the file has no ``sample``.
            InputError: it returned something else than a tensor (num, D).
        """
        if not self.has_sampler:
            return super().sample(num, generator)
        return self._draws("sample", self._facts["sample"](num, generator), num)

    def reference(self) -> Tensor | None:
        """Reference draws of the density, from another method.

        Returns:
            (n, D) from the file's ``reference``; None where there is none.

        Raises:
            InputError: ``reference`` is something else than a tensor (n, D).
        """
        value = self._value("reference")
        return None if value is None else self._draws("reference", torch.as_tensor(value), None)

    def _draws(self, name: str, value: Any, num: int | None) -> Tensor:
        right = isinstance(value, Tensor) and value.ndim == 2 and value.shape[1] == self.dim
        if not right or num not in (None, len(value)):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{self.owner}: {name} gave {shape}: expected ({num or 'n'}, D) with D = {self.dim}")
        draws: Tensor = value
        return draws

    def _value(self, name: str) -> Any:
        """What the file says of a fact, called if it is a function; None where it says nothing."""
        value = self._facts.get(name)
        try:
            return value() if callable(value) else value
        except Exception as error:  # whatever the user's function raises
            raise InputError(f"{self.owner}: {name}: {reason(error)}") from error

    def _log_z(self) -> float | None:
        log_z, normalised = self._value("log_z"), self._value("normalised")
        if log_z is None:
            return 0.0 if normalised else None
        number = float(log_z) if isinstance(log_z, int | float | Tensor) and not isinstance(log_z, bool) else math.nan
        if not math.isfinite(number) or (normalised and number != 0.0):
            expected = "0, or none, where normalised = True" if normalised else "a finite number of nats"
            raise InputError(f"{self.owner}: log_z = {log_z!r}: expected {expected}")
        return number

    def first_not_finite(self, z: Tensor) -> str | None:
        return faults.first_operation(self.plain, z, self.file)


def _look(text: str, owner: str) -> Named:
    path = existing(text, owner, _EXPECTED)
    return Named(path, path.stem, sources.of_file(path))


open_models("file", "file:my_model.py", _look, FileTarget)
