"""Targets that are a user's own NumPyro model: the density, its space, its data, and one clear line for each fault."""

import functools
import sys

import pytest
import torch
from support.eight_schools import schools
from support.user_files import refused_in_one_line, written

import nfbench
from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import run_group
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.specification.registry import sources_of, targets
from nfbench.targets.build import target
from nfbench.training.fit import fit_seeds

numpyro = pytest.importorskip("numpyro", reason="the extra 'numpyro' is not installed: pip install numpyro")

HEAD = "import jax\nimport jax.numpy as jnp\nimport numpyro\nimport numpyro.distributions as dist\n"
SCHOOLS = f"""{HEAD}
y = jnp.array([28.0, 8, -3, 7, -1, 1, 18, 12])
sd = jnp.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def model():
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        eta = numpyro.sample("eta", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * eta)
        numpyro.sample("y", dist.Normal(theta, sd), obs=y)
"""
NORMAL = "x = numpyro.sample('x', dist.Normal(0.0, 1.0))\n    "
FLAT = "x = numpyro.sample('x', dist.ImproperUniform(dist.constraints.real, (), ()))\n    "
# name -> (body of the model, words that the one line has)
WRONG = {
    "NaN on half the plane": (
        NORMAL + "numpyro.factor('f', jnp.log(x))",
        ["nan at z = [-", "first in site 'f' (Unit)", "of 64"],
    ),
    "-inf everywhere": (NORMAL + "numpyro.factor('f', x - jnp.inf)", ["-inf at z = [", "site 'f'", "64 of 64"]),
    "wrong shape": (
        "x = numpyro.sample('x', dist.Normal(jnp.zeros(3), 1.0).to_event(1))\n"
        "    numpyro.sample('y', dist.Normal(x, 1.0).to_event(1), obs=jnp.zeros(4))",
        ["(3,)", "(4,)"],
    ),
    "not differentiable": (
        NORMAL + "numpyro.factor('f', jnp.array(float(x)))",
        ["ConcretizationTypeError", "mine.py:7"],
    ),
    "stopped": (FLAT + "numpyro.factor('f', -jax.lax.stop_gradient(x) ** 2)", ["does not depend on z[0]"]),
    "a branch on values": (NORMAL + "if x > 0:\n        numpyro.factor('f', -x)", ["Bool", "mine.py:7"]),
    "a discrete latent variable": (
        "k = numpyro.sample('k', dist.Bernoulli(0.5))\n    numpyro.sample('y', dist.Normal(k, 1.0), obs=0.0)",
        ["site 'k' is discrete (Bernoulli", "continuous"],
    ),
    "a subsampled plate": (
        NORMAL + "with numpyro.plate('n', 5, subsample_size=2):\n"
        "        numpyro.sample('y', dist.Normal(x, 1.0), obs=jnp.zeros(2))",
        ["plate 'n' takes 2 of 5 data"],
    ),
    "a parameter": (
        "w = numpyro.param('w', 1.0)\n    numpyro.sample('x', dist.Normal(w, 1.0))",
        ["'w' is a parameter", "prior"],
    ),
    "no latent variable": ("numpyro.sample('y', dist.Normal(0.0, 1.0), obs=0.0)", ["no latent variable"]),
    "raises": (NORMAL + "raise OSError('lost')", ["OSError: lost", "mine.py:7"]),
}


@pytest.fixture
def file(tmp_path):
    """A function that writes a file's source and gives the spec of its function `model`."""
    return functools.partial(written, tmp_path, "numpyro")


def test_a_model_and_the_same_plain_function_agree_in_f_and_in_gradients(file):
    """Values and gradients in float64 are those of the function; F, trained from the same seed, is the same to 1e-5."""
    spec = file(SCHOOLS)
    z = torch.randn(50, 1, 10, generator=stream(0, "schools"), dtype=torch.float64, requires_grad=True)
    value, plain = target(spec).log_joint(z), schools(z)
    torch.testing.assert_close(value, plain, rtol=1e-10, atol=1e-10)
    slopes = [torch.autograd.grad(each.sum(), z)[0] for each in (value, plain)]
    torch.testing.assert_close(*slopes, rtol=1e-8, atol=1e-8)
    settings = {"updates": 60, "seed": 0, "dtype": "float64"}
    fits = nfbench.fit("gaussian", spec, **settings), nfbench.fit("gaussian", schools, dim=10, **settings)
    ours, theirs = (nfbench.evaluate(fitted, draws=1000) for fitted in fits)
    assert list(ours.index) == ["free_energy"]  # the evidence is not known: no KL
    assert ours.loc["free_energy", "value"] == pytest.approx(theirs.loc["free_energy", "value"], abs=1e-5)


def test_seeds_train_as_one_program_to_the_numbers_of_each_alone(file):
    """Under vmap the draws of two seeds are one call, and each seed's F is that of training it alone."""
    spec = file(SCHOOLS)
    together = fit_seeds("gaussian", spec, [0, 1], updates=20, draws=8)
    (alone,) = fit_seeds("gaussian", spec, [1], updates=20, draws=8)
    assert together[1].free_energy == pytest.approx(alone.free_energy, rel=1e-4)


def test_the_space_of_the_model_has_names_and_shapes(file):
    """`constrain` gives latent variables and deterministic sites, with the columns that `names` lists."""
    built = target(file(SCHOOLS))
    thetas, etas = ([f"{name}[{j}]" for j in range(8)] for name in ("theta", "eta"))
    assert built.names == ["mu", "tau", *etas, *thetas]
    z = torch.randn(5, 10, generator=stream(0, "names"))
    shown = built.constrain(z)
    torch.testing.assert_close(shown[:, 1], z[:, 1].exp())
    torch.testing.assert_close(shown[:, 10:], z[:, :1] + z[:, 1:2].exp() * z[:, 2:])
    assert not built.normalised
    simplex = f"{HEAD}def model():\n    numpyro.sample('w', dist.Dirichlet(jnp.ones(3)))\n"
    other = target(file(simplex, "simplex.py"))
    assert (other.dim, other.names) == (2, ["w[0]", "w[1]", "w[2]"])
    torch.testing.assert_close(other.constrain(torch.zeros(1, 2)), torch.full((1, 3), 1 / 3))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_refused_in_one_clear_line(name, file):
    """Each wrong model is an InputError of one line that names the file, what is wrong, and the site or line."""
    body, words = WRONG[name]
    refused_in_one_line(lambda: target(file(f"{HEAD}def model():\n    {body}\n")), ["mine.py::model", *words])


def test_what_names_no_model_is_refused(file):
    """A spec without a function, a function that is not there or needs arguments, and a file that cannot be run."""
    spec = file(SCHOOLS)
    for text, words in {
        "numpyro:": "no path; expected numpyro:my.py::model",
        "numpyro:my.py": "names no function of a file",
        spec.replace("::model", "::modle"): "has no 'modle'; did you mean model?",
        file("def model(data):\n    pass\n", "needs.py"): "needs data: expected a model without arguments",
        file("def model(:\n", "syntax.py"): "SyntaxError",
    }.items():
        with pytest.raises(InputError, match=words):
            target(text)


def test_an_edit_makes_other_cells(file):
    """The file's sha256 is a part of a cell's identity, and the function's name is a part of the spec."""
    spec = file(SCHOOLS)
    first = sources_of("gaussian", spec)
    assert set(first) == {"target"}
    assert sources_of("gaussian", file(f"{SCHOOLS}# edited\n")) != first
    assert str(targets.choose(spec)) == spec


def test_models_are_targets_of_an_experiment_and_one_that_raises_is_a_failed_record(file, tmp_path):
    """Two seeds train as one program; records have spec and hash, no KL; who raises in the middle harms no other."""
    source = f"{HEAD}calls = []\ndef model():\n    calls.append(1)\n    print('called')\n"
    source += "    if len(calls) > LIMIT:\n        raise OSError('enough')\n"
    source += "    numpyro.sample('x', dist.Normal(1.0, 1.0))\n"
    bad = file(source.replace("LIMIT", "3"), "late.py")  # JAX calls a model once for each number of draws
    good = file(source.replace("LIMIT", "10 ** 9"), "good.py")
    training = Training(learning_rate=0.01, updates=10, draws=200, anneal_updates=1)
    evaluation = Evaluation(draws=50, forward_draws=50, importance_draws=10, grid=4)
    profiles = {"smoke": Profile(seeds=2, training=training, evaluation=evaluation)}
    names = {"name": "trial", "title": "", "summary": "", "targets": [bad, good], "posteriors": ["gaussian"]}
    groups = plan(Experiment(**names, profiles=profiles), "smoke")
    results = [record for group in groups for record in run_group(group, tmp_path / "results")]
    assert [record.status for record in results] == ["failed", "failed", "done", "done"]
    assert "OSError: enough (late.py:10)" in results[0].message
    assert set(results[2].cell.sources) == {"target"}
    assert "kl" not in results[2].metrics


def test_64_bit_numbers_do_not_stay_on(file):
    """A user's own JAX code sees its usual numbers of 32 bits after a target was built and called."""
    import jax.numpy as jnp

    target(file(SCHOOLS)).log_joint(torch.zeros(1, 1, 10))
    assert jnp.ones(1).dtype == "float32"


def test_a_missing_library_is_one_line_with_the_command(file, monkeypatch):
    """Without NumPyro the line says how to install it."""
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(InputError, match="pip install numpyro"):
        target(file(SCHOOLS))
