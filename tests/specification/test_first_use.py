"""A registry in a process of its own: first use from threads, foreign modules, ``python -OO``, plug-ins of before."""

import os
import subprocess
import sys

import pytest

THREADS = """
import sys, threading
sys.setswitchinterval(1e-6)
from nfbench.specification.registry import posteriors, protocols, targets
seen, start = [], threading.Barrier(8)
def look(number):
    start.wait()
    registry, name = [(posteriors, "planar"), (targets, "u1"), (protocols, "digits")][number % 3]
    seen.append(registry[name].name + " " + str(len(registry.names())))
threads = [threading.Thread(target=look, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(seen) == 8 and len(set(seen)) == 3, seen
"""

OPTIMIZED = """
import nfbench
from nfbench.cli.app import main
from nfbench.specification.registry import posteriors, targets
entry = posteriors["planar"]
z, log_q = nfbench.posterior("gaussian", dim=2)(__import__("torch").zeros(5, 1, 2))
right = entry.factory.__doc__ is None, entry.summary == "Planar flow", nfbench.target("u1").log_joint(z).shape == (5, 1)
if not all(right):  # an assertion would be dropped as well
    raise SystemExit(f"wrong: {right}")
main(["info", "planar"])
"""

FOREIGN = """
import warnings
from nfbench.specification.registry import Registry, posteriors, targets
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ORDER
said = [str(warning.message) for warning in caught]
assert said and all("'planar' is taken by nfbench.posteriors.families.planar.planar" in text for text in said)
assert posteriors["planar"].factory.__module__ == "nfbench.posteriors.families.planar"
assert "before" in posteriors and "after" not in posteriors
"""

IMPOSTOR = """
import nfbench
from nfbench.posteriors.contract import Identity

@nfbench.register_posterior("before", label="Before", cite="Elsewhere 2026")
def before(dim: int):
    "Registered before the name that is taken."
    return Identity(dim)

@nfbench.register_posterior("planar", label="Not planar at all", cite="Elsewhere 2026")
def planar(dim: int):
    "Takes a name of nfbench's own."
    return Identity(dim)

@nfbench.register_posterior("after", label="After", cite="Elsewhere 2026")
def after(dim: int):
    "Never comes to be."
    return Identity(dim)
"""

OLD = """
import torch
from nfbench.registry import posterior, target
from nfbench.posteriors import posterior as build
from nfbench.posteriors.base import Flow, Identity
from nfbench.targets import target as build_target
from nfbench.targets.base import Target
from nfbench.data.source import Source, protocol
from nfbench.data.observations import Observations

@posterior("outsider", label="Outsider", cite="Elsewhere 2026")
def outsider(dim: int) -> Flow:
    "From another package."
    return Identity(dim)

class Flat(Target):
    dim = 2
    def log_joint(self, z, batch=None):
        return z.new_zeros(z.shape[:-1])

@target("flat", label="Flat", cite="Elsewhere 2026", year=2026)
def flat() -> Target:
    "Nothing at all."
    return Flat()

@protocol("zeros:static", Source("zeros", "public domain"), label="Zeros", cite="Elsewhere 2026", year=2026)
def zeros() -> Observations:
    "Black images."
    rows = torch.zeros(4, 4, dtype=torch.uint8)
    return Observations("zeros:static,2+1+1@0", rows[:2], rows[2:3], rows[3:], (1, 2, 2), "binary")

assert callable(build) and callable(build_target)
"""

USES_OLD = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import nfbench
    from nfbench.data.load import load
    from nfbench.data.source import source
    q, p = nfbench.posterior("outsider", dim=2), nfbench.target("flat")
    z, log_q = q(__import__("torch").zeros(3, 1, 2))
    assert p.log_joint(z).shape == log_q.shape == (3, 1)
    assert load("zeros:static") is load("zeros:static") and source("zeros:static").licence == "public domain"
    import nfbench_plugin, importlib
    importlib.reload(nfbench_plugin)
    assert nfbench.posterior("outsider", dim=2).dim == 2
old = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
for name, place in {
    "nfbench.registry.posterior": "nfbench.register_posterior",
    "nfbench.registry.target": "nfbench.register_target",
    "nfbench.data.source.protocol": "nfbench.register_data",
    "nfbench.posteriors.posterior": "nfbench.posteriors.build.posterior",
    "nfbench.targets.target": "nfbench.targets.build.target",
    "nfbench.posteriors.base.Flow": "nfbench.posteriors.contract.Flow",
    "nfbench.posteriors.base.Identity": "nfbench.posteriors.contract.Identity",
    "nfbench.targets.base.Target": "nfbench.targets.contract.Target",
}.items():
    told = [text for text in old if text.startswith(name + " is deprecated")]
    assert len(told) == 1 and told[0].endswith(": use " + place), (name, old)
assert len(caught) == len(old) == 8, [str(warning.message) for warning in caught]
assert {warning.filename for warning in caught} == {nfbench_plugin.__file__}
"""


def python(text, *options, path=None):
    """Run Python code in a process of its own; it has to end well and be silent on standard error."""
    places = [*([str(path)] if path else []), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(
        [sys.executable, *options, "-c", text], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def install(folder, module, groups):
    """A distribution of one module on the path, named by an entry point in each group."""
    (folder / "nfbench_plugin.py").write_text(module)
    info = folder / "nfbench_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nfbench-plugin\nVersion: 1.0\n")
    points = (f"[{group}]\nfirst = nfbench_plugin\nsecond = nfbench_plugin\n" for group in groups)
    (info / "entry_points.txt").write_text("".join(points))


def test_first_use_from_threads():
    """Eight threads that look something up at once all see every name."""
    python(THREADS)


def test_without_docstrings():
    """``python -OO`` drops docstrings: labels stand for the summaries, and everything else works."""
    python(OPTIMIZED, "-OO")


@pytest.mark.parametrize("order", ["targets.names(); posteriors.names()", "posteriors.names(); targets.names()"])
def test_a_name_of_nfbenchs_own_is_never_taken(tmp_path, order):
    """A plug-in that registers ``planar`` is refused whichever of its entry points is loaded first."""
    install(tmp_path, IMPOSTOR, ["nfbench.posteriors", "nfbench.targets"])
    python(FOREIGN.replace("ORDER", order), path=tmp_path)


def test_a_plug_in_of_the_version_before_still_works(tmp_path):
    """Old imports, decorators and entry points give what they gave; each old name warns once and says the new place."""
    install(tmp_path, OLD, ["nfbench.posteriors", "nfbench.targets", "nfbench.data"])
    python(USES_OLD, path=tmp_path)


LOOK = "from nfbench.specification.registry import posteriors; print('planar' in posteriors, 'late' in posteriors)"


@pytest.mark.parametrize(
    ("ending", "code", "words"),
    [
        (
            "sys.exit()",
            0,
            "posterior entry point 'first' (nfbench_plugin): SystemExit: no message (nfbench_plugin.py:2)",
        ),
        ("os._exit(3)", 3, "nfbench: error: posterior entry point 'first' (nfbench_plugin) of distribution nfbench-p"),
        ("os.kill(os.getpid(), 11)", -11, "<nfbench imports posterior entry point 'first' (nfbench_plugin) of"),
    ],
)
def test_a_plug_in_that_ends_the_process_at_import_is_named(tmp_path, ending, code, words):
    """``sys.exit()`` is a warning and all else works; what nothing survives names the entry point and its package."""
    install(tmp_path, f"import os, sys\n{ending}\n", ["nfbench.posteriors"])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path), *sys.path]))}
    words_of_python = [sys.executable, "-c", LOOK]
    done = subprocess.run(words_of_python, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    assert done.stdout == ("True False\n" if code == 0 else "")
    assert words in done.stderr
    assert code == 0 or "nfbench-plugin 1.0" in done.stderr
