"""A target that is a Stan program of the user's with its data: ``stan:model.stan,data.json``.

z holds Stan's unconstrained parameters. Stan's Jacobians are a part of the density, and constants of distributions are
not, so that F differs by a constant from that of the same model in other words. The sha256 of the program, of what it
includes, and of the data is a part of a cell's identity.
"""

import ctypes
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nfbench.foundation.errors import InputError, first_line
from nfbench.specification import sources
from nfbench.targets.own_models.engine import EngineTarget, Numbers
from nfbench.targets.own_models.entries import Named, open_models
from nfbench.targets.own_models.libraries import imported
from nfbench.targets.own_models.python_files import existing

_EXAMPLE = "stan:model.stan,data.json"
_INCLUDE = re.compile(r"^\s*#include\s+[<\"]?([^>\"\s]+)", re.MULTILINE)
_COMPILER = """
import json, pathlib, sys
import stanli
program = pathlib.Path(sys.argv[1])
mir = error = None
try:
    mir = stanli.stan_to_mir(program.read_bytes().decode("utf-8"), include_paths=program.parent)
except Exception as raised:
    error = str(raised)
print(json.dumps([mir, error]))
"""
_INDEXED = re.compile(r"([^.]+)\.(\d+(?:\.\d+)*)")


class StanTarget(EngineTarget):
    """The posterior of a Stan program's parameters, up to a constant.

    Programs are interpreted by stanli where it is installed, and else compiled by bridgestan, which needs a C++
    compiler; both answer in the terms of bridgestan.

    Args:
        files: path of the program, and after a comma that of its data as JSON, if it has any.

    Attributes:
        dim: D, Stan's unconstrained parameters.
        names: of the numbers that `constrain` gives: parameters and transformed parameters, as Stan numbers them.

    Raises:
        InputError: a library or a file is missing, or the program is wrong: one line with Stan's own words.
    """

    wanted = "a density that is finite for all parameters in their declared bounds, such as real<lower=0>"

    def __init__(self, files: str) -> None:
        owner = f"target 'stan:{files}'"
        program, data = _split(files, owner)
        super().__init__(owner, _engine(program, data, _digest(program, data, owner), owner))


class _Stan:
    """A Stan program with its data, as bridgestan answers for it.

    Args:
        model: a `bridgestan.StanModel`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.dim: int = model.param_unc_num()
        self.names = [_INDEXED.sub(_brackets, name) for name in model.param_names(include_tp=True)]

    def evaluate(self, z: Numbers) -> tuple[Numbers, Numbers]:
        value, slope = np.full(len(z), np.nan), np.zeros_like(z)
        # Pointers to rows: bridgestan's checks of arrays would take longer than a small program's density.
        for number, (point, row) in enumerate(zip(_rows(z), _rows(slope), strict=True)):
            try:
                value[number], _ = self._model.log_density_gradient(point, out=row)
            except RuntimeError:  # Stan refuses the point: `first_not_finite` has its reason
                slope[number] = 0.0
        return value, slope

    def constrain(self, z: Numbers) -> Numbers:
        return np.stack([self._model.param_constrain(point, include_tp=True) for point in z])

    def first_not_finite(self, z: Numbers) -> str | None:
        try:
            self._model.log_density_gradient(z)
        except RuntimeError as error:
            return f"Stan: {first_line(error)}"
        return None


@functools.lru_cache(maxsize=16)
def _engine(program: Path, data: Path | None, digest: str, owner: str) -> _Stan:
    """Build a program once for each state of its files, which `digest` stands for."""
    bridgestan = imported(owner, "bridgestan", "stanli bridgestan")
    text = None if data is None else str(data)
    try:
        try:
            stanli = imported(owner, "stanli", "stanli")
        except InputError:
            model = bridgestan.StanModel(str(program), text)
        else:
            model = stanli.bridgestan_model(mir=_compiled(program), name=program.stem, data=text)
    except Exception as error:  # whatever Stan says of the program or of its data
        raise InputError(f"{owner}: {_in_one_line(error, program)}") from error
    engine = _Stan(model)
    if engine.dim == 0:
        raise InputError(f"{owner}: the program has no parameters: expected at least one")
    return engine


def _compiled(program: Path) -> str:
    """The program in stanli's own form, by a process of its own.

    The compiler's runtime aborts the process in which torch has asked for the processor's matrix tiles (AMX), as signal
    handlers then need a larger stack than it gives them.
    """
    program = program.resolve()
    command = [sys.executable, "-P", "-c", _COMPILER, str(program)]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, check=False)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise RuntimeError(f"stanli's compiler ended: {words.splitlines()[0]}")
    mir, error = json.loads(done.stdout)
    if error is not None:
        raise RuntimeError(error)
    return str(mir)


def _rows(numbers: Numbers) -> Iterator[Any]:
    """Pointers to the rows of a contiguous array (N, D)."""
    double = ctypes.POINTER(ctypes.c_double)
    first, step = numbers.ctypes.data, numbers.strides[0]
    return (ctypes.cast(first + number * step, double) for number in range(len(numbers)))


def _in_one_line(error: Exception, program: Path) -> str:
    """Stan's words without its picture of the program, which is the part between two lines of dashes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    rules = [number for number, line in enumerate(lines) if set(line) == {"-"}]
    if len(rules) > 1:
        lines[rules[0] : rules[-1] + 1] = []
    return first_line(ValueError(" ".join(lines).replace("'string'", repr(program.name)) or type(error).__name__))


def _brackets(match: re.Match[str]) -> str:
    """The name ``theta.1.2`` as ``theta[1,2]``."""
    return f"{match[1]}[{match[2].replace('.', ',')}]"


def _split(files: str, owner: str) -> tuple[Path, Path | None]:
    """The program and the data that a spec names."""
    program, comma, data = files.rpartition(",")
    if not comma or files.strip().endswith(".stan"):
        program, data = files, ""
    path = existing(program, owner, f"a Stan program, as in {_EXAMPLE}")
    return path, existing(data, owner, f"data as JSON, as in {_EXAMPLE}") if data.strip() else None


def _digest(program: Path, data: Path | None, owner: str) -> str:
    """The sha256 of a program, of what it includes, and of its data, which must be a JSON object."""
    if data is not None:
        try:
            content = json.loads(data.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{owner}: {data.name}: {first_line(error)}: expected data as JSON") from None
        if not isinstance(content, dict):
            raise InputError(f"{owner}: {data.name} holds a {type(content).__name__}: expected an object of variables")
    texts = {str(number): path for number, path in enumerate(_included(program))}
    return sources.of_files(texts if data is None else {**texts, "data": data})


def _included(program: Path) -> Iterator[Path]:
    """A program's file, and those of its folder that it includes, each once."""
    files = [program]
    for file in files:
        yield file
        for name in _INCLUDE.findall(file.read_text(errors="replace")):
            path = program.parent / name
            if path.is_file() and path not in files:
                files.append(path)


def _look(text: str, owner: str) -> Named:
    program, data = _split(text, owner)
    return Named(program, program.stem, _digest(program, data, owner))


open_models("stan", _EXAMPLE, _look, StanTarget)
