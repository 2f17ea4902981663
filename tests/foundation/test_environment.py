"""Where a number comes from."""

import json
import subprocess
from importlib.metadata import version

import pytest

from nfbench.foundation import environment


@pytest.fixture
def fresh():
    """Provenance is gathered once a process; here it is gathered anew."""
    environment.provenance.cache_clear()
    yield environment
    environment.provenance.cache_clear()


def test_facts_are_those_of_this_process(fresh):
    """Versions are the installed ones, and everything can be stored as JSON."""
    facts = fresh.provenance()
    assert facts["libraries"]["torch"] == version("torch")
    assert facts["libraries"]["numpy"] == version("numpy")
    assert facts["cores"] >= 1
    assert json.loads(json.dumps(facts)) == facts


def test_a_missing_distribution_is_none():
    """A library that is not installed has no version, and asking is no error."""
    assert environment.installed_version("no-such-distribution-anywhere") is None


def _git(folder, *words):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_revision_says_whether_files_differ(fresh, monkeypatch, tmp_path):
    """The revision is the commit's hash, with a mark where a tracked file differs; untracked files do not matter."""
    package = tmp_path / "package"
    (package / "foundation").mkdir(parents=True)
    (package / "foundation" / "environment.py").write_text("first")
    _git(tmp_path, "init")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-m", "first")
    monkeypatch.setattr(environment, "__file__", str(package / "foundation" / "environment.py"))
    clean = fresh._revision()
    assert len(clean) == 40
    (package / "new.txt").write_text("untracked")
    assert fresh._revision() == clean
    (package / "foundation" / "environment.py").write_text("second")
    assert fresh._revision() == f"{clean}+changes"


def test_a_repository_that_does_not_track_the_package_is_not_its_own(fresh, monkeypatch, tmp_path):
    """Installed in a virtual environment inside somebody's repository, the package does not take its revision."""
    package = tmp_path / ".venv" / "package"
    (package / "foundation").mkdir(parents=True)
    (package / "foundation" / "environment.py").write_text("first")
    (tmp_path / "theirs.txt").write_text("first")
    _git(tmp_path, "init")
    _git(tmp_path, "add", "theirs.txt")
    _git(tmp_path, "commit", "-m", "first")
    monkeypatch.setattr(environment, "__file__", str(package / "foundation" / "environment.py"))
    assert fresh._revision() is None


def test_variables_of_a_git_hook_point_to_no_other_repository(fresh, monkeypatch, tmp_path):
    """In a hook of another repository, whose GIT_DIR is set, the revision is that of the package's own."""
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        (folder / "foundation").mkdir(parents=True)
        (folder / "foundation" / "environment.py").write_text(folder.name)
        _git(folder, "init")
        _git(folder, "add", "-A")
        _git(folder, "commit", "-m", folder.name)
    monkeypatch.setattr(environment, "__file__", str(own / "foundation" / "environment.py"))
    revision = fresh._revision()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert fresh._revision() == revision


def test_outside_a_checkout_there_is_no_revision(fresh, monkeypatch, tmp_path):
    """An installed package has no revision, and asking is no error."""
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "foundation" / "environment.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert fresh._revision() is None


def test_without_git_there_is_no_revision(fresh, monkeypatch):
    """A machine without git is no error either."""
    monkeypatch.setenv("PATH", "")
    assert fresh._revision() is None
