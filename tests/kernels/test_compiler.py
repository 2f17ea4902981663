"""Machine code between processes: it follows every source, and trouble with its files costs a warning, no kernel."""

import ast
import os
import pathlib
import shutil
import subprocess
import sys
import warnings

import pytest

import nfbench
from nfbench.kernels.compiler import cache, sources
from nfbench.kernels.compiler.decorators import compiled
from nfbench.kernels.simd import arithmetic

PACKAGE = pathlib.Path(nfbench.__file__).parent
KERNELS = sorted(
    f"nfbench.{'.'.join(file.relative_to(PACKAGE).with_suffix('').parts)}"
    for file in PACKAGE.rglob("kernels/**/*.py")
    if "compiler.decorators import" in file.read_text()
)


def twice(x):
    """The function that is compiled here: a number of another module, doubled."""
    return 2 * arithmetic.ROUND + x


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder of its own for machine code, and no warning given yet."""
    monkeypatch.setattr(cache, "candidates", lambda: iter([tmp_path]))
    monkeypatch.setattr(cache, "_warned", set())
    cache.folder.cache_clear()
    yield tmp_path
    cache.folder.cache_clear()


def called(*, warns=None):
    """The value of a newly decorated `twice`, how often it came from a file, and the one warning of the call."""
    function = compiled(twice)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        value = function(1)
    if warns is None:
        assert not seen
    else:
        assert [warns in str(warning.message) for warning in seen] == [True]
        assert "\n" not in str(seen[0].message)
    return value, sum(function.stats.cache_hits.values())


def test_kept_and_read(files):
    """What one dispatcher compiles the next one reads, and nothing else lies in the folder."""
    assert called() == (127, 0)
    assert called() == (127, 1)
    assert [file.suffix for file in files.iterdir()] == [".nbc"]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "another file's"])
def test_a_damaged_file_is_compiled_again(files, damage):
    """A damaged file is one warning, and is replaced."""
    called()
    (file,) = files.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    damaged = {
        "truncated": bytes(content[:100]),
        "emptied": b"",
        "flipped": bytes(content),
        "another file's": b"x" * 99,
    }
    file.write_bytes(damaged[damage])
    assert called(warns="is damaged") == (127, 0)
    assert called() == (127, 1)


def test_a_full_disk(files, monkeypatch):
    """Where a file cannot be written there is one warning a process and no stray part of a file."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    assert called(warns="No space left on device") == (127, 0)
    assert called() == (127, 0)
    assert not list(files.iterdir())


def test_no_folder_at_all(files, monkeypatch):
    """Without any folder that can be written, kernels are compiled in each process, after one warning."""
    file = files / "file"
    file.touch()
    monkeypatch.setattr(cache, "candidates", lambda: iter([file / "a", file / "b"]))
    cache.folder.cache_clear()
    assert called(warns="compiled kernels are kept nowhere") == (127, 0)
    assert called() == (127, 0)
    assert compiled(twice).stats.cache_path == ""


def test_the_next_folder(files, monkeypatch):
    """A folder that cannot be made is passed over; if the user had named it, a warning says so."""
    file = files / "file"
    file.touch()
    monkeypatch.setattr(cache, "candidates", lambda: iter([file, files / "next"]))
    cache.folder.cache_clear()
    assert called() == (127, 0)
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(file))
    cache.folder.cache_clear()
    assert called(warns="NUMBA_CACHE_DIR cannot be used") == (127, 1)


def test_a_folder_of_somebody_else(tmp_path):
    """Among everybody's temporary files no folder is used that others may write: its files hold code that is run."""
    place = tmp_path / f"{cache._SHARED}{cache._user()}"
    assert cache._reason_against(place) is None
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    assert "others may write" in cache._reason_against(place)


def test_candidates(monkeypatch, tmp_path):
    """The user's choice comes first, then the package, the user's cache, temporary files; without a home one fewer."""
    monkeypatch.setattr(cache.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    places = list(cache.candidates())
    assert places[0].parent == tmp_path
    assert [place.name for place in places[1:3]] == ["__pycache__", "kernels"]
    assert len(places) == 4
    monkeypatch.setenv("XDG_CACHE_HOME", "~")
    assert len(list(cache.candidates())) == 3


@pytest.mark.parametrize("module", KERNELS)
def test_sources_are_all_that_is_imported(module):
    """The files that a kernel's stamp depends on are those that Python's own parser finds, followed to the end."""
    __import__(module)
    expected, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in expected or not file or not name.startswith("nfbench"):
            continue
        expected.add(name)
        for node in ast.walk(ast.parse(pathlib.Path(file).read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    assert set(sources.sources(module)) == expected
    assert module in expected


def test_no_kernel_uses_numbas_own_cache():
    """Every compiled function of the package goes through the decorators here."""
    for file in PACKAGE.rglob("*.py"):
        if file.name != "decorators.py":
            nodes = ast.walk(ast.parse(file.read_text()))
            assert "njit" not in {node.attr for node in nodes if isinstance(node, ast.Attribute)}, file


SCRIPT = """
import torch
from nfbench.kernels.diagonal import cpu
z, _, _ = cpu.forward(torch.ones(9, 1, 1), torch.tensor([[0.0, 1.0]]))
print(z[0].item())
"""


def number(environment, folder):
    """What a process of its own prints, in which a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_an_edited_function_of_another_file_is_seen(tmp_path):
    """After an edit of `simd/arithmetic.py` alone, kernels that call it give the new number, in a cache that stays."""
    copy, environment = tmp_path / "copy", os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    shutil.copytree(PACKAGE, copy / "nfbench", ignore=shutil.ignore_patterns("__pycache__", "*.nbc"))
    environment |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    assert number(environment, tmp_path) == pytest.approx(2.71828, rel=1e-5)
    file = copy / "nfbench" / "kernels" / "simd" / "arithmetic.py"
    before = "        return integer((n + offset) << fraction).view(real) * (one + rest * r)\n"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, before.replace("(one + rest * r)", "(one + rest * r) * half")))
    assert number(environment, tmp_path) == pytest.approx(2 * 2.71828, rel=1e-5)  # e^1 is 1 / e^-1, which is halved


def test_a_home_that_is_missing_and_a_package_that_cannot_be_written(tmp_path):
    """As in a container: kernels run, and their files lie among the user's own temporary files."""
    copy, temporary = tmp_path / "copy", tmp_path / "temporary"
    shutil.copytree(PACKAGE, copy / "nfbench", ignore=shutil.ignore_patterns("__pycache__", "*.nbc"))
    (copy / "nfbench" / "kernels" / "__pycache__").touch()  # a file: no folder can be made there, whoever tries
    temporary.mkdir()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"TMPDIR": str(temporary), "HOME": str(copy / "nfbench" / "kernels" / "__pycache__")}
    assert number(environment, tmp_path) == pytest.approx(2.71828, rel=1e-5)
    assert list(temporary.glob("nfbench-kernels-*/*.nbc"))
