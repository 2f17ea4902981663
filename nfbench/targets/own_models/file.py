"""A target that is a Python file of the user's: ``file:my_model.py``.

The file has ``dim`` and ``log_joint(z (..., D)) -> (...)`` in nats; what else it may have stands in `FileTarget`. The
sha256 of the file, and of the files that it imports from its own folder, is a part of a cell's identity.
"""

import functools
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nfbench.foundation.checks import whole_number
from nfbench.foundation.errors import InputError, reason
from nfbench.foundation.names import did_you_mean
from nfbench.foundation.randomness import stream
from nfbench.specification import registry, sources
from nfbench.specification.entry import Entry
from nfbench.specification.spec import PATH
from nfbench.targets.contract import Target
from nfbench.targets.function import FunctionTarget
from nfbench.targets.own_models import faults
from nfbench.targets.own_models.fold import folded

_FACTS = ("dim", "log_joint", "constrain", "names", "log_z", "sample", "reference", "normalised")
_PROBES = 64  # standard normal draws at which a new model is looked at
_PRECISIONS = (torch.float32, torch.float64)


class FileTarget(FunctionTarget):
    """A density that a file describes by module attributes; each may be a value or a function without arguments.

    Args:
        file: path of the file, which is run.

    Attributes:
        file: the path in full.
        dim: D, from ``dim``.
        log_z: from ``log_z``, or 0 where the file says ``normalised = True``; None where the density is known only up
            to a constant: F is then shown without KL, and only differences of F mean something.
        names: of the constrained coordinates, from ``names``; None where there are none.
        precision: the only dtype that the file's function works in, to which draws are cast; None where it takes both.

    Raises:
        InputError: no such file, no ``dim`` or ``log_joint``, or a function that is no log-density: one line with the
            file's line, the point z and the first term that is not finite.
    """

    def __init__(self, file: str | Path) -> None:
        path = Path(file).expanduser().resolve()
        self._owner = f"target 'file:{file}'"
        public = _run(path, self._owner)
        self._facts = {name: value for name, value in public.items() if name in _FACTS}
        for needed in ("dim", "log_joint"):
            if needed not in self._facts:
                hint = did_you_mean(needed, public)
                raise InputError(f"{self._owner}: it has no {needed!r};{hint} expected dim and log_joint(z)")
        function, dim = self._facts["log_joint"], self._value("dim")
        if not callable(function):
            raise InputError(
                f"{self._owner}: log_joint is {type(function).__name__}: expected a function of z (..., D)"
            )
        whole_number(self._owner, "dim", dim, least=1)
        super().__init__(function, dim, self._log_z())
        self.file = path
        self.precision: torch.dtype | None = None
        names = self._value("names")
        self.names = None if names is None else [str(name) for name in names]
        self._probe()

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        """The file's function at z; under `torch.vmap` all seeds in one call.

        Args:
            z: (..., D).
            batch: ignored; the file knows its own data.

        Returns:
            (...), in nats.

        Raises:
            InputError: the function raised an error, or returned something else than a tensor (...).
        """
        return folded(self._called, self.checked(z))

    def stacks(self) -> bool:
        """Whether several seeds can train as one program.

        Returns:
            True: `log_joint` folds the seeds into the draws.
        """
        return True

    def constrain(self, z: Tensor) -> Tensor:
        """Draws in the space that the model is about, such as standard deviations in place of their logarithms.

        Args:
            z: (n, D).

        Returns:
            (n, C), z itself where the file has no ``constrain``.

        Raises:
            InputError: the file's function raised an error, or returned another number of rows.
        """
        function = self._facts.get("constrain")
        if function is None:
            return z
        cast = z if self.precision is None else z.to(self.precision)
        try:
            value = function(cast)
        except Exception as error:  # whatever the user's function raises
            raise InputError(f"{self._owner}: constrain: {faults.raised(function, z, error)}") from error
        if not isinstance(value, Tensor) or value.ndim != 2 or len(value) != len(z):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{self._owner}: constrain of z {tuple(z.shape)} returned {shape}: expected (n, C)")
        return value.to(z.dtype)

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
            raise InputError(f"{self._owner}: {name} gave {shape}: expected ({num or 'n'}, D) with D = {self.dim}")
        draws: Tensor = value
        return draws

    def _value(self, name: str) -> Any:
        """What the file says of a fact, called if it is a function; None where it says nothing."""
        value = self._facts.get(name)
        try:
            return value() if callable(value) else value
        except Exception as error:  # whatever the user's function raises
            raise InputError(f"{self._owner}: {name}: {reason(error)}") from error

    def _log_z(self) -> float | None:
        log_z, normalised = self._value("log_z"), self._value("normalised")
        if log_z is None:
            return 0.0 if normalised else None
        number = float(log_z) if isinstance(log_z, int | float | Tensor) and not isinstance(log_z, bool) else math.nan
        if not math.isfinite(number) or (normalised and number != 0.0):
            expected = "0, or none, where normalised = True" if normalised else "a finite number of nats"
            raise InputError(f"{self._owner}: log_z = {log_z!r}: expected {expected}")
        return number

    def _called(self, z: Tensor) -> Tensor:
        """The function at plain draws, in its precision, with errors as the user's."""
        cast = z if self.precision is None else z.to(self.precision)
        try:
            value = super().log_joint(cast)
        except InputError as error:
            raise InputError(str(error).replace("target", self._owner, 1)) from error
        except (Exception, SystemExit) as error:  # whatever the user's function raises
            raise InputError(f"{self._owner}: log_joint: {faults.raised(self.function, cast, error)}") from error
        return value if self.precision is None else value.to(z.dtype)

    def _probe(self) -> None:
        """Look at a few draws, and refuse what is no log-density on all of R^D, before anything is trained."""
        z = torch.randn(_PROBES, 1, self.dim, generator=stream(0, "probe"), dtype=torch.float64)
        self.precision = self._works_in(z)
        points = z.to(self.precision or torch.float32).requires_grad_()
        with torch.enable_grad():
            value = self._called(points)
        self._check_values(value.detach().flatten(), points)
        if not value.requires_grad:
            raise InputError(
                f"{self._owner}: log_joint has no gradient by autograd: expected torch operations on z, without "
                "detach(), item() or numpy()"
            )
        (slope,) = torch.autograd.grad(value[value.isfinite()].sum(), points)
        unused = [str(d) for d in range(self.dim) if not bool(slope[..., d].any())]
        if unused:
            raise InputError(
                f"{self._owner}: log_joint does not depend on z[{', '.join(unused)}] at {_PROBES} draws: no density "
                f"with dim={self.dim} has such a logarithm; expected another dim, or a term for every coordinate"
            )

    def _works_in(self, z: Tensor) -> torch.dtype | None:
        """The only one of both dtypes in which the function works; None where both do.

        Raises:
            InputError: it works in neither; said of float32.
        """
        errors: dict[torch.dtype, InputError] = {}
        for precision in _PRECISIONS:
            try:
                value = self._called(z.to(precision))
            except InputError as error:
                errors[precision] = error
                continue
            if value.dtype != precision:
                errors[precision] = InputError(f"{self._owner}: log_joint returned {value.dtype} for z in {precision}")
        if len(errors) == len(_PRECISIONS):
            raise errors[torch.float32]
        return next((precision for precision in _PRECISIONS if errors and precision not in errors), None)

    def _check_values(self, value: Tensor, z: Tensor) -> None:
        """Refuse NaN and +inf anywhere, and -inf at all draws."""
        wrong = value.isnan() | (value == math.inf)
        if not wrong.any() and value.isfinite().any():
            return
        first = int((wrong if wrong.any() else ~value.isfinite()).nonzero()[0, 0])
        text = faults.not_finite(self._called, z[first], self.file)
        count = f"{int((~value.isfinite()).sum())} of {len(value)} standard normal draws"
        raise InputError(
            f"{self._owner}: log_joint is {text} ({count} are not finite); "
            "expected a density on all of R^D, so a positive parameter enters by its logarithm"
        )


def _run(path: Path, owner: str) -> dict[str, Any]:
    """The public names of a file with their values, after running it as a module."""
    if not path.is_file():
        raise InputError(f"{owner}: no file {path}: expected a Python file with dim and log_joint(z)")
    digest = sources.of_file(path)
    try:
        return dict(_module(path, digest))
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InputError(f"{owner}: running the file: {reason(error)}") from error


@functools.lru_cache(maxsize=64)
def _module(path: Path, digest: str) -> dict[str, Any]:
    """Run a file once for each state of its code, which `digest` stands for."""
    name = f"nfbench_model_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path.name} is no Python file: expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}


def _entry(path: str) -> Entry:
    """What the registry says of a file: an entry with the file's sha256."""
    if not path:
        raise InputError("target 'file': no path; expected file:my_model.py")
    place = Path(path).expanduser()
    if not place.is_file():
        raise InputError(f"target 'file:{path}': no file {place}: expected a Python file with dim and log_joint(z)")

    def target(path: str) -> Target:
        """The user's own model."""
        return FileTarget(path)

    # Whose code it is: not nfbench's, so that it runs in a process of its own, which finds the file by its path.
    target.__module__, target.__qualname__ = f"file {place.name}", "target"
    summary = "The user's own model."
    label, options = place.stem.replace("{", "{{").replace("}", "}}"), {PATH: (str, "")}
    return Entry("file", target, label, "own model", None, summary, options, module_source=sources.of_file(place))


registry.targets.open_files("file", _entry)
