"""Machine code that is kept in files between processes.

Numba has such a cache too. This one follows every source file that goes into a function's machine code (`sources`),
finds damaged files by a digest, and never lets a kernel fail: where nothing can be read or written, each process
compiles for itself, after one warning.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching, compiler, config, serialize
from numba.misc import appdirs

from nfbench.kernels.compiler.sources import stamp

_dumps: Callable[[Any], bytes] = serialize.dumps
_users: Any = appdirs.AppDirs
_DIGEST = hashlib.sha256().digest_size  # bytes in front of the machine code, a digest of it
_SHARED = "nfbench-kernels-"  # and the user's number: a folder's name among everybody's temporary files
_NEAR = Path(__file__).parents[1] / "__pycache__"  # `make clean` empties it


class MachineCode(caching.FunctionCache):
    """The files of one compiled function, as numba's dispatcher asks for them.

    A file's name has a digest of everything that its content depends on: the function's source files, the argument
    types, the processor, numba, and the options that numba reads from the environment. No file is ever out of date.

    Args:
        function: in Python.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._py_func = function
        self._stamp = stamp(function.__module__)
        self._base = f"{function.__module__.removeprefix('nfbench.kernels.')}.{function.__qualname__}"

    @property
    def cache_path(self) -> str:
        """The folder of the files; empty where none can be written."""
        place = folder()
        return str(place) if place else ""

    def enable(self) -> None:
        """Nothing to do: the cache is always on."""

    def disable(self) -> None:
        """Use no files from now on."""
        self._stamp = None

    def flush(self) -> None:
        """Nothing to do: no file is ever out of date."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Read a function's machine code.

        Args:
            sig: types of the arguments.
            target_context: numba's, of the processor.

        Returns:
            Numba's result of a compilation, or None: there is no file, or none that can be read.
        """
        target_context.refresh()
        file = self._file(sig, target_context.codegen())
        if file is None:
            return None
        try:
            content = file.read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(code).digest() == digest:
            with contextlib.suppress(Exception):  # by whatever a foreign file makes pickle do
                return compiler.CompileResult._rebuild(  # type: ignore[no-untyped-call]
                    target_context, *pickle.loads(code)
                )
        _warn("damaged", f"{file} is damaged: its kernel is compiled again")
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a function's machine code to a file.

        Args:
            sig: types of the arguments.
            data: numba's result of a compilation.
        """
        file = self._file(sig, data.codegen)
        if file is None or data.library.has_dynamic_globals or data.lifted:
            return
        code = _dumps(data._reduce())
        try:
            with _replaced(file) as partial:
                partial.write_bytes(hashlib.sha256(code).digest() + code)
        except OSError as error:
            _warn("full", f"cannot write {file} ({error.strerror or error}): each process compiles its kernels again")

    def _file(self, sig: Any, codegen: Any) -> Path | None:
        """The file for these argument types, whether it exists or not; None where no folder can be written."""
        place = folder() if self._stamp else None
        if place is None:
            return None
        versions = numba.__version__, llvmlite.__version__, config.OPT, config.BOUNDSCHECK  # type: ignore[attr-defined]
        key = self._stamp, self._py_func.__code__.co_firstlineno, versions, self._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return place / f"{self._base.replace('<locals>', 'locals')}-{digest[:32]}.nbc"


@functools.cache
def folder() -> Path | None:
    """The folder of all files of machine code, made if it is missing.

    Returns:
        The first of `candidates` that can be written; None, after a warning, if none can. ``NUMBA_CACHE_DIR`` that
        cannot be written is worth a warning too.
    """
    tried: list[str] = []
    for place in candidates():
        reason = _reason_against(place)
        if reason is None:
            if tried and config.CACHE_DIR:  # type: ignore[attr-defined]
                _warn("folder", f"NUMBA_CACHE_DIR cannot be used ({tried[0]}): compiled kernels are kept in {place}")
            return place
        tried.append(f"{place}: {reason}")
    _warn("folder", f"compiled kernels are kept nowhere ({'; '.join(tried)}): each process compiles them again")
    return None


def candidates() -> Iterator[Path]:
    """Where files of machine code may be kept, the best place first.

    Yields:
        ``NUMBA_CACHE_DIR`` if it is set, the package's own folder, the user's cache, and a folder of the user's own
        among the system's temporary files.
    """
    if config.CACHE_DIR:  # type: ignore[attr-defined]
        yield Path(config.CACHE_DIR) / "nfbench"  # type: ignore[attr-defined]
    yield _NEAR
    users = Path(_users("nfbench", appauthor=False).user_cache_dir)
    if users.is_absolute():  # without a home it begins with "~"
        yield users / "kernels"
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir()) / f"{_SHARED}{_user()}"


def _user() -> int:
    """The user's number; 0 on systems that have none."""
    return int(getattr(os, "getuid", int)())


def _reason_against(place: Path) -> str | None:
    """Why nothing can be kept in a folder, which is made where it is missing; None where nothing speaks against it."""
    try:
        place.mkdir(mode=0o700 if place.name.startswith(_SHARED) else 0o777, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x")
        facts = place.stat()
    except OSError as error:
        return error.strerror or str(error)
    # A file holds code that is run: where everybody may make files, one of somebody else is not to be trusted.
    if place.name.startswith(_SHARED) and (facts.st_uid != _user() or facts.st_mode & 0o022):
        return "it belongs to somebody else, or others may write it"
    return None


@contextlib.contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    """Give a new file beside `file` to write, which then takes its place; after an error it is removed."""
    number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    os.close(number)
    partial = Path(name)
    try:
        yield partial
        partial.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


_warned: set[str] = set()


def _warn(kind: str, message: str) -> None:
    """Warn once a process for each kind of trouble."""
    if kind not in _warned:
        _warned.add(kind)
        warnings.warn(f"nfbench: {message}", RuntimeWarning, stacklevel=2)
