"""Targets that are a user's own Python file: what they can say, and one clear line for each way to be wrong."""

import functools
import math

import pytest
import torch
from support.user_files import refused_in_one_line, written

import nfbench
from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import run_group
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.posteriors.slope import slope
from nfbench.specification import registry
from nfbench.specification import spec as specs
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.specification.registry import sources_of
from nfbench.targets.build import target
from nfbench.targets.own_models.fold import folded
from nfbench.training.fit import fit_seeds

GAUSSIAN = """
import torch

dim = 2


def log_joint(z):
    return -0.5 * z.square().sum(-1)
"""
TRAINING = Training(learning_rate=0.01, updates=4, draws=8, anneal_updates=1)
EVALUATION = Evaluation(draws=50, forward_draws=50, importance_draws=10, grid=4)

# name -> (source after "import torch", words that the one line has, the line's number in the file or None)
WRONG = {
    "no dim": ("def log_joint(z):\n    return -z.sum(-1)\n", ["no 'dim'", "expected"], None),
    "misspelt": ("dim = 2\ndef log_joit(z):\n    return -z.sum(-1)\n", ["log_joint", "did you mean log_joit?"], None),
    "dim is text": ("dim = 'two'\nlog_joint = sum\n", ["dim='two'", "whole number"], None),
    "dim too large": ("dim = 3\ndef log_joint(z):\n    return -z[..., :2].square().sum(-1)\n", ["z[2]", "dim"], None),
    "dim too small": ("dim = 1\ndef log_joint(z):\n    return -z[..., 1] ** 2\n", ["IndexError", "z = ["], 4),
    "NaN on half the plane": (
        "dim = 2\ndef log_joint(z):\n    return torch.log(z[..., 0]) - z.square().sum(-1)\n",
        ["nan at z = [-", "`return torch.log(z[..., 0])", "log", "of 64", "R^D"],
        4,
    ),
    "-inf everywhere": (
        "dim = 2\ndef log_joint(z):\n    return z.sum(-1) - float('inf')\n",
        ["-inf at z = [", "64 of 64"],
        4,
    ),
    "wrong shape": ("dim = 2\ndef log_joint(z):\n    return -z.square()\n", ["(64, 1, 2)", "expected (64, 1)"], None),
    "one number for all": ("dim = 2\ndef log_joint(z):\n    return -z.sum()\n", ["()", "one value for each"], None),
    "no tensor": ("dim = 2\ndef log_joint(z):\n    return 1.0\n", ["float", "expected"], None),
    "not differentiable": (
        "dim = 2\ndef log_joint(z):\n    return torch.as_tensor(-(z.detach().numpy() ** 2).sum(-1))\n",
        ["no gradient", "torch operations"],
        None,
    ),
    "raises": ("dim = 2\ndef log_joint(z):\n    raise OSError('lost')\n", ["OSError: lost", "z = ["], 4),
    "raises where negative": (
        "dim = 1\ndef log_joint(z):\n    return torch.distributions.Exponential(1.0).log_prob(z[..., 0])\n",
        ["ValueError", "z = [-"],
        4,
    ),
    "exits": ("dim = 2\nraise SystemExit(3)\n", ["SystemExit: 3"], 3),
    "no Python": ("dim = = 2\n", ["SyntaxError"], None),
    "other dtypes": ("dim = 2\ndef log_joint(z):\n    return -z.half().sum(-1)\n", ["float16", "float32"], None),
    "log_z is infinite": (GAUSSIAN + "log_z = float('inf')\n", ["log_z = inf", "finite"], None),
}


@pytest.fixture
def file(tmp_path):
    """A function that writes a model's source and gives its spec."""
    return functools.partial(written, tmp_path, "file")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_refused_in_one_clear_line(name, file):
    """Each wrong model is an InputError of one line that names the file, what is wrong, and the line where it is."""
    source, words, line = WRONG[name]
    place = [] if line is None else [f"mine.py:{line}"]
    refused_in_one_line(lambda: target(file(f"import torch\n{source}")), ["mine.py", *words, *place])


def test_a_file_that_is_not_there_is_refused():
    """A path without a file, and none at all, say what was expected."""
    for spec in ("file:nowhere.py", "file:", "file"):
        with pytest.raises(InputError, match="expected"):
            target(spec)


def test_specs_that_name_files_are_those_that_are_registered():
    """What a spec may name a file with before its colon is what there is a front end for, and nothing else."""
    registry.targets.names()
    assert sorted(registry.targets._of_files) == sorted(specs._OF_FILES)


def test_what_a_file_says_is_known(file):
    """Facts may be values or functions; exact draws and a constant allow KL, and constrained draws have names."""
    more = """
log_z = math.log(2 * math.pi)
def names():
    return ["a", "b"]
def constrain(z):
    return z.exp()
def sample(num, generator):
    return torch.randn(num, 2, generator=generator)
reference = torch.zeros(5, 2)
"""
    built = target(file(f"import math\n{GAUSSIAN}{more}"))
    assert (built.dim, built.log_z, built.names) == (2, math.log(2 * math.pi), ["a", "b"])
    assert built.normalised
    assert built.has_sampler
    assert torch.equal(built.constrain(torch.zeros(4, 2)), torch.ones(4, 2))
    assert built.reference().shape == (5, 2)
    assert built.sample(3, torch.Generator()).shape == (3, 2)


def test_kl_is_absent_where_the_constant_is_unknown(file):
    """Without log_z there is F and no KL; with `normalised = True`, ln Z = 0 and KL = F."""
    free = nfbench.evaluate(nfbench.fit("gaussian", file(GAUSSIAN), updates=5), draws=100)
    assert list(free.index) == ["free_energy"]
    known = f"{GAUSSIAN.replace('.sum(-1)', '.sum(-1) - 1.8378770664093453')}normalised = True\n"
    both = nfbench.evaluate(nfbench.fit("gaussian", file(known, "known.py"), updates=5), draws=100)
    assert both.loc["kl", "value"] == both.loc["free_energy", "value"]


def test_a_function_that_vmap_cannot_follow_trains_like_one_that_it_can(file):
    """A model that looks at values trains its seeds as one program, to the numbers of a plain function."""
    looks = GAUSSIAN.replace("    return", "    assert float(z.detach().sum()) < 1e9\n    return")
    ours = fit_seeds("gaussian", file(looks), [0, 1], updates=20)
    plain = fit_seeds("gaussian", lambda z: -0.5 * z.square().sum(-1), [0, 1], dim=2, updates=20)
    for mine, other in zip(ours, plain, strict=True):
        assert mine.free_energy == pytest.approx(other.free_energy, abs=1e-5)


def test_seeds_together_follow_the_gradient_of_a_function_that_vmap_cannot_follow():
    """Where `torch.func` takes the gradient for two seeds at once, it and its own gradient are those of each alone."""

    def odd(z):
        bent = z.sin().prod(-1) if bool((z < 9).all()) else z.sum(-1)
        return bent - 0.5 * z.square().sum(-1)

    def bend(z):
        return slope(lambda points: folded(odd, points), z).sin().sum()

    z = torch.randn(2, 3, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    (together,) = torch.autograd.grad(torch.vmap(bend)(z).sum(), z)
    for seed in range(2):
        alone = z[seed].detach().requires_grad_()
        (expected,) = torch.autograd.grad(slope(odd, alone).sin().sum(), alone)
        torch.testing.assert_close(together[seed], expected, rtol=1e-12, atol=1e-12)


def test_many_draws_without_a_gradient_are_some_calls(file):
    """A model is not asked for 5,000 draws at once, as it may hold its data once a draw; the values are the same."""
    counting = GAUSSIAN.replace("def log", "sizes = []\ndef log").replace(
        "    return", "    sizes.append(len(z))\n    return"
    )
    built = target(file(counting))
    sizes = built.function.__globals__["sizes"]
    sizes.clear()
    z = torch.randn(5000, 1, 2, generator=stream(0, "many"))
    torch.testing.assert_close(built.log_joint(z), -0.5 * z.square().sum(-1))
    assert sum(sizes) == 5000
    assert max(sizes) <= 2048
    sizes.clear()
    built.log_joint(z.requires_grad_()).sum().backward()
    assert sizes == [5000]  # what is differentiated is held as a whole anyway


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_model_of_one_precision_works(precision, file):
    """Constants of one dtype only: draws are cast to it, so that training and evaluation work in any."""
    source = f"""
import torch
dim = 2
matrix = torch.eye(2, dtype=torch.{precision})
def log_joint(z):
    return -0.5 * (z @ matrix * z).sum(-1)
"""
    built = target(file(source))
    assert built.precision == getattr(torch, precision)
    assert target(file(GAUSSIAN, "any.py")).precision is None
    for dtype in (torch.float32, torch.float64):
        assert built.log_joint(torch.ones(3, 1, 2, dtype=dtype)).dtype == dtype


def test_an_edit_makes_other_cells(file):
    """The file's sha256, and that of a file beside it that it imports, is a part of a cell's identity."""
    spec = file(GAUSSIAN)
    first = sources_of("gaussian", spec)
    assert set(first) == {"target"}
    assert sources_of("gaussian", file(f"{GAUSSIAN}# edited\n")) != first
    importing = file(f"import beside_it\n{GAUSSIAN}", "other.py")
    file("x = 1\n", "beside_it.py")
    before = sources_of("gaussian", importing)
    file("x = 2\n", "beside_it.py")
    assert sources_of("gaussian", importing) != before


def groups(spec, updates=4):
    training = TRAINING.model_copy(update={"updates": updates})
    profile = Profile(seeds=2, training=training, evaluation=EVALUATION)
    experiment = Experiment(
        name="trial", title="", summary="", targets=[spec], posteriors=["gaussian"], profiles={"smoke": profile}
    )
    return plan(experiment, "smoke")


def test_a_file_is_a_target_of_an_experiment(file, tmp_path):
    """An experiment with a file among its targets has done records with its hash and its name; they read as results."""
    spec = file(GAUSSIAN)
    (group,) = groups(spec)
    records = run_group(group, tmp_path / "results")
    assert [record.status for record in records] == ["done", "done"]
    assert records[0].cell.target == spec
    assert set(records[0].cell.sources) == {"target"}
    assert "kl" not in records[0].metrics
    assert nfbench.results(tmp_path / "results").frame["target_label"].tolist() == ["mine", "mine"]


def test_a_model_that_raises_after_500_calls_makes_failed_records(file, tmp_path):
    """An error in the middle of a training is a failed record that says where it was raised; prints harm nothing."""
    source = """
import torch
dim = 2
calls = []
def log_joint(z):
    calls.append(1)
    print("called")
    if len(calls) > 500:
        raise RuntimeError("enough")
    return -0.5 * z.square().sum(-1)
"""
    (group,) = groups(file(source), updates=600)
    records = run_group(group, tmp_path / "results")
    assert [record.status for record in records] == ["failed", "failed"]
    assert "RuntimeError: enough (mine.py:9)" in records[0].message


def test_loading_a_fitted_posterior_runs_no_file(file, tmp_path):
    """A stored posterior names the file of its target, which `load` does not run."""
    spec = file(GAUSSIAN)
    saved = nfbench.fit("gaussian", spec, updates=2).save(tmp_path / "q.safetensors")
    file("raise SystemExit('was run')\n")
    assert nfbench.load(saved).target is None
    assert nfbench.load(saved).target_spec == spec
