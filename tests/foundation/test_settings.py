"""Environment variables: read in one place, checked, and put back."""

import ast
import os
from pathlib import Path

import pytest

import nfbench
from nfbench.foundation import settings
from nfbench.foundation.errors import InputError

PACKAGE = Path(nfbench.__file__).parent


def readers():
    """The package's files in which ``environ`` or ``getenv`` is looked up on anything."""
    for file in sorted(PACKAGE.rglob("*.py")):
        names = {node.attr for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)}
        if names & {"environ", "getenv", "putenv"}:
            yield str(file.relative_to(PACKAGE))


def test_the_environment_is_read_in_one_place():
    """No other file of the package looks at an environment variable."""
    assert list(readers()) == [str(Path("foundation", "settings.py"))]


@pytest.mark.parametrize(("value", "chosen"), [(None, "auto"), ("", "auto"), ("numba", "numba")])
def test_backend(monkeypatch, value, chosen):
    """Unset and empty mean ``auto``."""
    monkeypatch.delenv(settings.BACKEND_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(settings.BACKEND_VARIABLE, value)
    assert settings.backend() == chosen


def test_a_wrong_backend_is_named(monkeypatch):
    """The variable, its value, what was meant and what is expected."""
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "numbr")
    with pytest.raises(InputError, match=r"NFBENCH_BACKEND='numbr': did you mean numba\? expected one of auto, "):
        settings.backend()


@pytest.mark.parametrize("before", [None, "numba"])
def test_a_backend_for_a_block(monkeypatch, before):
    """It holds within the block; a wrong one is refused and leaves nothing behind."""
    monkeypatch.delenv(settings.BACKEND_VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(settings.BACKEND_VARIABLE, before)
    with settings.using_backend("reference"):
        assert settings.backend() == "reference"
    assert os.environ.get(settings.BACKEND_VARIABLE) == before
    with pytest.raises(InputError), settings.using_backend("fast"):
        pass
    assert os.environ.get(settings.BACKEND_VARIABLE) == before
    with settings.using_backend(None):
        assert settings.backend() == (before or "auto")


def test_data_folders(monkeypatch, tmp_path):
    """Folders are divided as in ``PATH``, empty ones left out; one that is put before them comes first."""
    monkeypatch.setenv(settings.DATA_VARIABLE, os.pathsep.join(["/one", "", "~/two"]))
    assert settings.data_folders() == [Path("/one"), Path("~/two").expanduser()]
    settings.prepend_data_folder(tmp_path)
    assert settings.data_folders()[0] == tmp_path.resolve()
    assert len(settings.data_folders()) == 3


@pytest.mark.parametrize(("value", "on"), [(None, False), ("0", False), ("1", True), ("True", True)])
def test_triton_interpreted(monkeypatch, value, on):
    """The variable is read as Triton reads it."""
    monkeypatch.delenv(settings.TRITON_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(settings.TRITON_VARIABLE, value)
    assert settings.triton_interpreted() is on
