"""`nfbench data` as its users see it: what is listed, what is proved, what is said where something is wrong."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from support.commands import run_command
from support.image_files import SMALL, closed_folder, mat, unprivileged

from nfbench.data import source
from nfbench.data.storage import files
from nfbench.data.storage.files import find
from nfbench.specification.registry import protocols


@pytest.fixture
def nf(capsys, monkeypatch, tmp_path):
    """Run a command line where no data are but scikit-learn's: `(exit code, standard output, standard error)`."""
    monkeypatch.setenv("NFBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("nfbench.data.storage.download.cache_folder", lambda: tmp_path / "cache")

    def run(*arguments):
        return run_command(capsys, *arguments)

    return run


@pytest.fixture
def real():
    """The folder that the binarised images are in, before `nf` looks elsewhere."""
    found = [find(file) for file in source.source("binarized-mnist:static").files]
    if None in found:
        pytest.skip("binarised MNIST is not on this machine")
    return found


@pytest.fixture
def copied(real, tmp_path):
    """A folder of one's own with the binarised images."""
    folder = tmp_path / "own" / "binarized_mnist"
    folder.mkdir(parents=True)
    for path in real:
        shutil.copyfile(path, folder / path.name)
    return folder


def test_help(nf):
    """Without a command, the commands are listed."""
    code, out, _ = nf("data")
    assert code == 0
    assert all(f"\n  {command} " in out for command in ("ls", "get", "check"))


def test_ls(copied, nf):
    """Every protocol is listed with its state, place, size, summary, citation and licence."""
    code, out, err = nf("data", "ls", "--data-dir", copied.parent)
    assert (code, err) == (0, "")
    for name in protocols.names():
        assert f"\n{name} " in f"\n{out}"
    lines = out.splitlines()
    (line,) = [number for number, text in enumerate(lines) if text.startswith("binarized-mnist:static ")]
    assert lines[line].endswith(f"here, 3.9 MB in {copied}")
    assert "50,000 training" in lines[line + 1]
    assert lines[line + 2] == "    Larochelle & Murray 2011; licence: none stated; derived from MNIST"
    assert any(text.startswith("cifar10-patches ") and "missing, 170.1 MB to download" in text for text in lines)
    assert any(text.startswith("digits ") and text.endswith("here") for text in lines)


def test_ls_json(nf):
    """The JSON has options and places."""
    rows = {row["name"]: row for row in json.loads(nf("data", "ls", "--json")[1])}
    assert rows["cifar10-patches"]["options"] == {"merge_valid": False, "dequantise": False}
    assert rows["mnist:dynamic"]["state"] == "missing"
    assert rows["omniglot"]["bytes"] is None


def test_data_dir_is_passed_on(nf, tmp_path):
    """The folder stands first in the environment, where worker processes find it."""
    (tmp_path / "own").mkdir()
    assert nf("data", "check", "digits", "--data-dir", tmp_path / "own")[0] == 0
    assert os.environ["NFBENCH_DATA"] == os.pathsep.join([str(tmp_path / "own"), str(tmp_path)])


def test_check_everything_that_is_here(copied, nf):
    """Right ones are named with what records keep; what is missing is no error."""
    code, out, err = nf("data", "check", "--data-dir", copied.parent)
    assert (code, err) == (0, "")
    assert "binarized-mnist:static: right: binarized-mnist:static,50000+10000+10000@07ad6da6ba68\n" in out
    assert "mnist:dynamic: missing\n" in out
    assert "digits: right: digits:static,1197+300+300@93c763c70b13\n" in out


def test_check_missing_by_name(nf):
    """One line a data set that was named, with the three ways to get it, though two protocols need it."""
    code, out, err = nf("data", "check", "mnist", "digits")
    assert code == 2
    assert out.startswith("digits: right")
    assert err.count("\n") == 2
    for line, name in zip(err.splitlines(), ("train-images", "t10k-images"), strict=True):
        assert line.startswith("nfbench: error: data 'mnist': no file " + name)
        assert all(way in line for way in ("--data-dir", "NFBENCH_DATA=", "nfbench data get mnist"))


def test_check_says_all_that_is_wrong(copied, nf):
    """A truncated .mat, a flipped pixel and a missing file: a line each, with found and expected, exit code 2."""
    paths = [copied / f"binarized_mnist_{part}.mat" for part in ("train", "valid", "test")]
    paths[0].write_bytes(paths[0].read_bytes()[:100_000])
    rows = source.source("binarized-mnist:static").files[1].decode(paths[1].read_bytes())
    rows[5, 300] ^= 1
    paths[1].write_bytes(mat(X=rows))
    paths[2].unlink()
    code, out, err = nf("data", "check", "--data-dir", copied.parent)
    assert code == 2
    assert "binarized-mnist" not in out
    torn, flipped, missing = err.splitlines()
    assert f"data file '{paths[0]}' (100000 bytes) cannot be read" in torn
    assert "expected 50000 images of 784 numbers, sha256 43490d4d" in torn
    assert f"data file '{paths[1]}'" in flipped
    assert "expected 10000 images of 784 numbers, sha256 069b4f0b" in flipped
    assert "no file binarized_mnist_test.mat or binarized_mnist_test.amat" in missing


def test_check_without_permission(nf, monkeypatch):
    """A folder without permission is one line, whatever number of protocols look there."""
    with closed_folder() as folder:
        monkeypatch.setenv("NFBENCH_DATA", str(folder))
        protocols.names()
        with unprivileged():
            code, out, err = nf("data", "check")
    assert code == 2
    assert err == f"nfbench: error: data folder {str(folder)!r}: Permission denied; expected a readable folder\n"
    assert "digits: right" in out


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("data check mnits:dynamic", ["'mnits:dynamic'", "did you mean mnist:dynamic?"]),
        ("data get mnits", ["'mnits'", "did you mean mnist or", "known: binarized-mnist"]),
        ("data get mnist:dynmic", ["did you mean mnist:dynamic?"]),
        ("data get omniglot:small", ["omniglot_small_28x28_box.npz", "has no download"]),
        ("data ls --data-dir absent", ["'absent'", "no such folder"]),
        ("data lst", ["'lst'", "'nfbench data --help'"]),
        ("data get", ["Missing argument", "'nfbench data get --help'"]),
    ],
)
def test_wrong_input(nf, monkeypatch, tmp_path, line, names):
    """One line and exit code 2."""
    monkeypatch.chdir(tmp_path)
    code, out, err = nf(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("nfbench: error: ")
    assert err.count("\n") == 1
    assert all(name in err for name in names), err


def test_get_what_is_here(copied, nf):
    """Files that are right are named and not downloaded; digits need none."""
    code, out, err = nf("data", "get", "binarized-mnist", "--data-dir", copied.parent)
    assert (code, err) == (0, "")
    assert out.splitlines() == [str(copied / f"binarized_mnist_{part}.mat") for part in ("train", "valid", "test")]
    assert "digits: needs no file" in nf("data", "get", "digits")[1]


def test_get(nf, monkeypatch, tmp_path):
    """What is downloaded is told on standard error, where it lies on standard output."""
    import pooch

    content = mat(X=np.zeros((20, 784), np.uint8))
    small = files.File(SMALL.names, SMALL.decode, SMALL.shape, 1, mirrors=("http://nowhere/rows.mat",))

    def served(self, url, output_file, *_):
        output_file.write(content)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", served)
    entry = dataclasses.replace(protocols["mnist:dynamic"], origin=source.Source("small", "none", (small,)))
    monkeypatch.setitem(protocols._entries, "mnist:dynamic", entry)
    code, out, err = nf("data", "get", "mnist:dynamic")
    assert (code, out) == (0, f"{tmp_path / 'cache' / 'small' / 'rows.mat'}\n")
    assert err == "nfbench: downloading http://nowhere/rows.mat\n"
