"""Every registered family passes the battery; flows in files, the command line, and what a failure looks like."""

import json
import re

import pytest
import torch
from support.commands import run_command
from support.families import EVERY, QUICK
from support.mutants import coupling, residual

import nfbench
from nfbench import InputError
from nfbench.posteriors.contract import Identity
from nfbench.specification.entry import Declared
from nfbench.specification.spec import parse
from nfbench.verification.check import CHECKS
from nfbench.verification.subject import set_parameters
from nfbench.verification.subjects import every, subject
from nfbench.verification.verify import DIMS, battery

FLOW = '''
import torch
from nfbench.posteriors.contract import Flow

class Shift(Flow):
    """z + theta."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth, dim)

    def forward(self, z, theta):
        return z + theta, z.new_zeros(z.shape[:-1]) + WRONG

    def inverse(self, z, theta):
        return z - theta, z.new_zeros(z.shape[:-1])

    def initial(self):
        return torch.zeros(self.dim)

number = 3
'''


@EVERY
def test_every_family_passes(spec):
    """The contract of a posterior at the sizes at which 'make verify' does not look: few maps, D odd and no DIMS."""
    verdict = battery(subject(spec), (3,), effort=QUICK)
    assert verdict.passed, str(verdict)


def test_the_registry_is_verified_without_names():
    """Without a spec the command goes over every variant of every family of nfbench's own; libraries' on request."""
    known = nfbench.specification.registry.posteriors
    assert {parse(spec).name for spec in every()} == {entry.name for entry in known if entry.library is None}
    more = {parse(spec).name for spec in set(every(libraries=True)) - set(every())}
    assert more == {entry.name for entry in known if entry.library is not None and entry.installed}
    assert {"nice:mixing=permutation", "nice:mixing=orthogonal"} <= set(every())


class Unnormalised(Identity):
    """A flow whose density at points is 1 % too large."""

    def __init__(self, dim, depth):
        super().__init__(dim)

    def inverse(self, z, theta):
        return z, z.new_full(z.shape[:-1], 0.01)


def test_a_density_that_is_one_percent_too_large_is_seen():
    """The grid begins with 60 cells along an axis, and finds an integral of 1.01."""
    verdict = battery(subject(Unnormalised, 2, 1), [2], only=["integral of q"])
    assert "1.01" in verdict.failures["integral of q"]


@pytest.fixture
def file(tmp_path):
    """A user's file with a right flow, and one with a wrong flow."""
    for name, wrong in (("right", "0.0"), ("wrong", "0.5")):
        (tmp_path / f"{name}.py").write_text(FLOW.replace("WRONG", wrong))
    return tmp_path


def run(capsys, *words):
    """The exit code and the output of a command."""
    return run_command(capsys, "verify", *words)


def test_a_flow_of_a_file(file, capsys):
    """Exit code 0 and a line for every check where all is right; 1 and the failed check where it is not."""
    code, out, _ = run(capsys, f"{file / 'right.py'}:Shift", "--depth", 1, "--dim", 2)
    assert code == 0, out
    assert all(check.name in out for check in CHECKS)
    code, out, _ = run(capsys, f"{file / 'wrong.py'}:Shift", "--depth", 1, "--dim", 2)
    assert code == 1
    assert re.search(r"^  fail +ln\|det\| ", out, re.MULTILINE)
    assert "Shift: FAILED: ln|det|" in out


def test_json_has_every_check(capsys):
    """With --json the output is data: one verdict for each spec of a list, every check with its sentence."""
    code, out, _ = run(capsys, "householder:K=1|2", "--dim", 3, "--json", "--jobs", 1)
    verdicts = json.loads(out)
    assert code == 0
    assert [(verdict["name"], verdict["K"], verdict["dims"]) for verdict in verdicts] == [
        ("householder:K=1", 1, [3]),
        ("householder:K=2", 2, [3]),
    ]
    assert [row["check"] for row in verdicts[0]["checks"]] == [check.name for check in CHECKS]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["planr"], "did you mean planar?"),
        (["planar:k=2"], "did you mean K?"),
        (["gaussian", "--depth", 3], "depth=3: the family has no depth"),
        (["nice", "--dim", 1], "dim=1"),
        (["gaussian", "--dim", 0], "--dim"),
        (["gaussian", "--dtype", "float16"], "float16"),
        (["gaussian", "--device", "gpu"], "gpu"),
        (["nowhere.py:flow"], "no file 'nowhere.py'; expected file.py:name"),
        (["{right}:Shft"], "did you mean Shift?"),
        (["{right}:number"], "is a int; expected a class or factory"),
        (["{right}:torch"], "is a module; expected a class or factory"),
        (["{right}:Flow"], "failed: TypeError"),
    ],
)
def test_wrong_input(file, capsys, words, message):
    """Exit code 2 and one line that names it."""
    code, out, err = run(capsys, *(str(word).format(right=file / "right.py") for word in words))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_factory_that_makes_something_else():
    """What is neither a flow nor a posterior is refused by name."""
    with pytest.raises(InputError, match="Linear; expected a Flow or a Posterior"):
        nfbench.verify(lambda dim, depth: torch.nn.Linear(dim, depth + 1))


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (residual.PlanarBiased, "ln|det|"),
        (residual.PlanarByNorm, "orientation"),
        (residual.PlanarUnconstrained, "injective"),
        (coupling.RealNVPOrder, "round trip"),
        (residual.HouseholderByNorm, "E_q[p/q] = 1"),
        (residual.PlanarOverflow, "finite"),
    ],
)
def test_the_code_of_a_failure_runs(mutant, check, capsys):
    """The lines to paste run as they stand and print what the failure says."""
    result = battery(subject(mutant, depth=2), DIMS, only=[check]).results[0]
    assert result.status == "fail"
    exec(result.code, {mutant.__name__: mutant})
    assert capsys.readouterr().out


def test_the_code_of_a_wrong_determinant_shows_both_numbers(capsys):
    """Of the smallest counterexample, K = 1 and a point with few digits, the claimed and the true value are printed."""
    result = battery(subject(residual.PlanarBiased, depth=4), DIMS, only=["ln|det|"]).results[0]
    assert "PlanarBiased(2, 1)" in result.code
    assert "[[[0.0, 0.0]]]" in result.code
    exec(result.code, {"PlanarBiased": residual.PlanarBiased})
    claimed, true = map(float, capsys.readouterr().out.split())
    assert f"ln q = {claimed:.6g}"[:10] in result.detail
    assert f"autograd {true:.6g}"[:14] in result.detail


class Turned(coupling.RealNVP):
    """A RealNVP that says of itself what does not hold."""

    declared = Declared("coupling", volume_preserving=True, linear=True, autoregressive=True)


@pytest.mark.parametrize("check", ["volume preserving", "linear", "autoregressive"])
def test_a_declared_fact_that_does_not_hold(check):
    """Each declared fact is proved, and a false one fails."""
    flow = Turned if check != "autoregressive" else lambda dim, depth: residual.Planar(dim, depth)
    if check == "autoregressive":
        flow.declared = Turned.declared
    verdict = battery(subject(flow, depth=2), (3,), only=[check])
    assert list(verdict.failures) == [check]


def test_a_dimension_that_a_family_refuses_is_left_out():
    """Where no D is said, those are taken that the family can have."""

    def plane(dim, depth):
        if dim != 2:
            raise InputError("only the plane")
        return Identity(dim)

    assert nfbench.verify(plane).dims == (2,)


def test_an_error_in_a_flow_is_a_failure():
    """A flow whose code raises fails every check that calls it, with the reason."""

    class Broken(residual.Planar):
        def there(self, z, numbers, k):
            raise KeyError("w")

    verdict = battery(subject(Broken, depth=1), (2,), only=["shapes"])
    assert "it ends with KeyError" in verdict.failures["shapes"]


def test_states_are_reproducible():
    """The same state and seed give the same parameters; buffers and the start stay."""
    first, second = (set_parameters(nfbench.posterior("nice", 3), "wild", seed=3) for _ in range(2))
    start = nfbench.posterior("nice", 3)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        assert torch.equal(value, start.state_dict()[name]) == (name in dict(start.named_buffers()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("spec", ["planar:K=3", "nice:K=3"])
def test_on_a_gpu(spec):
    """The battery runs on another device."""
    verdict = nfbench.verify(spec, device="cuda")
    assert verdict.passed, str(verdict)
