"""Targets that are a user's own Stan program: the density, its space, its data, and one clear line for each fault."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nfbench
from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import run_group
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.specification.registry import sources_of, targets
from nfbench.targets.build import target
from nfbench.targets.own_models import stan_model
from nfbench.training.fit import fit_seeds

pytest.importorskip("bridgestan", reason="the extra 'stan' is not installed: pip install stanli bridgestan")
pytest.importorskip("stanli", reason="the extra 'stan' is not installed: pip install stanli bridgestan")

SCHOOLS = """
data {
  int<lower=0> J;
  array[J] real y;
  array[J] real<lower=0> sigma;
}
parameters {
  real mu;
  real<lower=0> tau;
  vector[J] eta;
}
transformed parameters {
  vector[J] theta = mu + tau * eta;
}
model {
  mu ~ normal(0, 5);
  tau ~ cauchy(0, 5);
  eta ~ normal(0, 1);
  y ~ normal(theta, sigma);
}
"""
DATA = {"J": 8, "y": [28, 8, -3, 7, -1, 1, 18, 12], "sigma": [15, 10, 16, 11, 9, 11, 10, 18]}


def schools(z):
    """The twin of the program in PyTorch: mu, ln tau with its Jacobian, eta; without constants."""
    mu, log_tau, eta = z[..., 0], z[..., 1], z[..., 2:]
    theta = mu[..., None] + log_tau.exp()[..., None] * eta
    y, sigma = (torch.tensor(DATA[name], dtype=z.dtype) for name in ("y", "sigma"))
    prior = -0.5 * (mu / 5) ** 2 - torch.log1p((log_tau.exp() / 5) ** 2) + log_tau - 0.5 * eta.square().sum(-1)
    return prior - 0.5 * (((y - theta) / sigma) ** 2).sum(-1)


# name -> (program, data, words that the one line has)
WRONG = {
    "a syntax error": (
        "parameters {\n  real x;\n}\nmodel {\n  x ~ normal(0 1);\n}\n",
        None,
        ["Syntax error in 'mine.stan', line 5", "parsing error", "Unexpected input"],
    ),
    "an unknown name": (
        "parameters {\n  real x;\n}\nmodel {\n  x ~ normal(0, y);\n}\n",
        None,
        ["Semantic error in 'mine.stan', line 5", '"y" not in scope'],
    ),
    "a variable without data": (SCHOOLS, {"J": 8}, ["y"]),
    "data of another size": (SCHOOLS, DATA | {"J": 7}, ["y"]),
    "NaN on half the plane": (
        "parameters {\n  real x;\n}\nmodel {\n  x ~ normal(0, 1);\n  target += log(x);\n}\n",
        None,
        ["nan at z = [-", "of 64 standard normal draws", "real<lower=0>"],
    ),
    "a scale below zero": (
        "parameters {\n  real x;\n  real s;\n}\nmodel {\n  s ~ normal(0, 1);\n  x ~ normal(0, s);\n}\n",
        None,
        ["nan at z = [", "Stan: normal_lpdf: Scale parameter is -", "must be positive"],
    ),
    "rejects": (
        'parameters {\n  real x;\n}\nmodel {\n  x ~ normal(0, 1);\n  if (x > 0) reject("too large");\n}\n',
        None,
        ["nan at z = [", "Stan: too large"],
    ),
    "-inf everywhere": (
        "parameters {\n  real x;\n}\nmodel {\n  target += x + negative_infinity();\n}\n",
        None,
        ["-inf at z = [", "64 of 64"],
    ),
    "wrong shape": (
        "parameters {\n  vector[2] x;\n}\nmodel {\n  x ~ multi_normal(rep_vector(0, 3), identity_matrix(3));\n}\n",
        None,
        ["multi_normal_lpdf", "matching vector"],
    ),
    "no parameters": ("model {\n}\n", None, ["no parameters"]),
    "a discrete parameter": ("parameters {\n  int k;\n}\nmodel {\n}\n", None, ["mine.stan", "line 2"]),
    "a parameter that nothing depends on": (
        "parameters {\n  real x;\n  real y;\n}\nmodel {\n  x ~ normal(0, 1);\n}\n",
        None,
        ["does not depend on z[1]"],
    ),
}


@pytest.fixture
def program(tmp_path):
    """A function that writes a program and its data, and gives their spec."""

    def write(text, data=None, name="mine.stan"):
        (tmp_path / name).write_text(text)
        if data is None:
            return f"stan:{tmp_path / name}"
        (tmp_path / "data.json").write_text(data if isinstance(data, str) else json.dumps(data))
        return f"stan:{tmp_path / name},{tmp_path / 'data.json'}"

    return write


def test_a_program_and_its_twin_agree_in_gradients_and_in_f_up_to_a_constant(program):
    """Gradients to 1e-8; values differ by one constant; so does F after the same training in float64."""
    spec = program(SCHOOLS, DATA)
    z = torch.randn(50, 1, 10, generator=stream(0, "schools"), dtype=torch.float64, requires_grad=True)
    value, twin = target(spec).log_joint(z), schools(z)
    ours, theirs = (torch.autograd.grad(each.sum(), z)[0] for each in (value, twin))
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)
    constant = (value - twin).detach()
    torch.testing.assert_close(constant, constant[:1].expand_as(constant), rtol=0, atol=1e-8)
    settings = {"updates": 60, "seed": 0, "dtype": "float64", "draws": 32}
    fits = nfbench.fit("gaussian", spec, **settings), nfbench.fit("gaussian", schools, dim=10, **settings)
    energies = [nfbench.evaluate(fitted, draws=500) for fitted in fits]
    assert list(energies[0].index) == ["free_energy"]  # the evidence is not known: no KL
    difference = energies[1].loc["free_energy", "value"] - energies[0].loc["free_energy", "value"]
    assert difference == pytest.approx(float(constant[0]), abs=1e-6)


def test_seeds_train_as_one_program_to_the_numbers_of_each_alone(program):
    """Under vmap the draws of three seeds are one call, and each seed's F is that of training it alone."""
    spec = program(SCHOOLS, DATA)
    together = fit_seeds("gaussian", spec, [0, 1, 2], updates=20, draws=8)
    for seed, fitted in enumerate(together):
        (alone,) = fit_seeds("gaussian", spec, [seed], updates=20, draws=8)
        assert fitted.free_energy == pytest.approx(alone.free_energy, rel=1e-4)


def test_second_derivatives_are_refused_in_one_line(program):
    """Where a gradient is differentiated again there is an error, not a number without the second derivative."""
    built = target(program(SCHOOLS, DATA))
    z = torch.zeros(3, 1, 10, requires_grad=True)
    (slope,) = torch.autograd.grad(built.log_joint(z).sum(), z, create_graph=True)
    with pytest.raises(InputError, match=r"^target 'stan:.*' has values and gradients, but no second derivatives"):
        (slope * z).sum().backward()
    with pytest.raises(InputError, match="no second derivatives"):
        torch.func.grad(lambda x: torch.func.grad(lambda y: built.log_joint(y).sum())(x).square().sum())(z.detach())


def test_the_space_of_the_program_has_names(program):
    """`constrain` gives parameters and transformed parameters, with Stan's numbers; copies share the engine."""
    built = copy.deepcopy(target(program(SCHOOLS, DATA)))
    etas, thetas = ([f"{name}[{j}]" for j in range(1, 9)] for name in ("eta", "theta"))
    assert built.names == ["mu", "tau", *etas, *thetas]
    z = torch.randn(5, 10, generator=stream(0, "names"))
    shown = built.constrain(z)
    torch.testing.assert_close(shown[:, 1], z[:, 1].exp())
    torch.testing.assert_close(shown[:, 10:], z[:, :1] + z[:, 1:2].exp() * z[:, 2:])
    assert not built.normalised


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_refused_in_one_clear_line(name, program):
    """Each wrong program is an InputError of one line with the program's name and Stan's words."""
    text, data, words = WRONG[name]
    with pytest.raises(InputError) as caught:
        target(program(text, data))
    message = str(caught.value)
    assert "\n" not in message
    assert "---" not in message
    assert "mine.stan" in message
    for word in words:
        assert word in message


def test_what_names_no_program_is_refused(program, tmp_path):
    """A path without a program, one without its data, and data that are no JSON object."""
    spec = program(SCHOOLS, DATA)
    for text, words in {
        "stan:": "no path; expected stan:model.stan,data.json",
        "stan:nowhere.stan": "no file .*: expected a Stan program",
        f"{spec}x": "no file .*: expected data as JSON",
    }.items():
        with pytest.raises(InputError, match=words):
            target(text)
    for data, words in {"{'J': 8}": "data.json: .*: expected data as JSON", "[1, 2]": "data.json holds a list"}.items():
        wrong = program(SCHOOLS, data)
        with pytest.raises(InputError, match=words):
            target(wrong)


def test_a_missing_library_is_one_line_with_the_command(program, monkeypatch):
    """Without bridgestan the line says how to install it."""
    monkeypatch.setitem(sys.modules, "bridgestan", None)
    with pytest.raises(InputError, match="pip install stanli bridgestan"):
        target(program(SCHOOLS, DATA))


def test_without_stanli_bridgestan_compiles_the_program(program, monkeypatch):
    """Where stanli is missing, the program's file and its data go to bridgestan's compiler as they are."""
    import bridgestan
    import stanli

    spec = program(SCHOOLS, DATA)
    file, data = spec.removeprefix("stan:").split(",")
    model = stanli.bridgestan_model(mir=stan_model._compiled(Path(file)), data=data)
    calls = []
    monkeypatch.setitem(sys.modules, "stanli", None)
    monkeypatch.setattr(bridgestan, "StanModel", lambda *files: calls.append(files) or model)
    assert target(spec).dim == 10
    assert calls == [(file, data)]


def test_a_process_that_uses_matrix_tiles_compiles_programs(program):
    """Torch asks Linux for them (AMX) on processors that have them; stanli's compiler aborts such a process.

    On other processors the request is refused, and the test shows only that a program is compiled.
    """
    ask = "import ctypes, sys; ctypes.CDLL(None).syscall(158, 0x1023, 18)"  # arch_prctl(ARCH_REQ_XCOMP_PERM, tile data)
    code = f"{ask}; from nfbench.targets.build import target; print(target(sys.argv[1]).dim)"
    done = subprocess.run([sys.executable, "-c", code, program(SCHOOLS, DATA)], capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode().strip()) == (0, "10"), done.stderr.decode()


def test_a_compiler_that_dies_is_one_line(program, monkeypatch):
    """What the compiler's process says at its end is in the line, and the process that asked goes on."""
    monkeypatch.setattr(stan_model, "_COMPILER", "import os; os.write(2, b'Fatal error: no stack'); os.abort()")
    with pytest.raises(InputError, match="stanli's compiler ended: Fatal error: no stack"):
        target(program(SCHOOLS, DATA))


def test_an_edit_of_program_include_or_data_makes_other_cells(program, tmp_path):
    """The sha256 of the program, of what it includes, and of its data is a part of a cell's identity."""
    (tmp_path / "part.stan").write_text("real x;\n")
    text = "parameters {\n#include part.stan\n}\nmodel {\n  x ~ normal(0, 1);\n}\n"
    spec = program(text, {"n": 1})
    hashes = [sources_of("gaussian", spec)]
    assert set(hashes[0]) == {"target"}
    (tmp_path / "part.stan").write_text("real<lower=0> x;\n")
    hashes.append(sources_of("gaussian", spec))
    assert target(spec).constrain(torch.tensor([[-1.0]])) == pytest.approx(math.exp(-1.0))
    hashes.append(sources_of("gaussian", program(text, {"n": 2})))
    hashes.append(sources_of("gaussian", program(f"{text}// edited\n", {"n": 2})))
    assert len({digests["target"] for digests in hashes}) == 4
    assert str(targets.choose(spec)) == spec
    assert targets.choose(spec).label == "mine"


def test_programs_are_targets_of_an_experiment_and_one_that_rejects_in_training_diverges(program, tmp_path):
    """Seeds train as one program; records have spec and hash, no KL; prints harm nothing; a rejected point diverges."""
    late = 'parameters {\n  real x;\n}\nmodel {\n  target += x - 0.1 * square(x);\n  if (x > 4) reject("late");\n}\n'
    good = program(SCHOOLS.replace("model {", 'model {\n  print("called");'), DATA)
    bad = program(late, name="late.stan")
    training = Training(learning_rate=0.1, updates=60, draws=8, anneal_updates=1)
    evaluation = Evaluation(draws=50, forward_draws=50, importance_draws=10, grid=4)
    profiles = {"smoke": Profile(seeds=2, training=training, evaluation=evaluation)}
    names = {"name": "trial", "title": "", "summary": "", "targets": [bad, good], "posteriors": ["gaussian"]}
    groups = plan(Experiment(**names, profiles=profiles), "smoke")
    results = [record for group in groups for record in run_group(group, tmp_path / "results")]
    assert [record.status for record in results] == ["diverged", "diverged", "done", "done"]
    assert results[2].cell.target == good
    assert set(results[2].cell.sources) == {"target"}
    assert "kl" not in results[2].metrics
