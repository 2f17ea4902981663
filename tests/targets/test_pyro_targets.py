"""Targets that are a user's own Pyro model: the density, its space, its data, and its records."""

import functools
import math

import pytest
import torch
from support.eight_schools import schools
from support.pyro_models import HEAD, SCHOOLS
from support.user_files import written

import nfbench
from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import run_group
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.specification.registry import sources_of, targets
from nfbench.targets.build import target

pyro = pytest.importorskip("pyro", reason="Pyro is not installed: pip install pyro-ppl")


@pytest.fixture
def file(tmp_path):
    """A function that writes a file's source and gives the spec of its function `model`."""
    return functools.partial(written, tmp_path, "pyro")


def test_a_model_and_the_same_plain_function_agree_in_f(file):
    """F of both, trained from the same seed in float64, is the same to 1e-5; so are all values at wild points."""
    spec = file(SCHOOLS)
    z = 3 * torch.randn(50, 1, 10, generator=stream(0, "schools"), dtype=torch.float64)
    torch.testing.assert_close(target(spec).log_joint(z), schools(z), rtol=1e-7, atol=1e-5)
    settings = {"updates": 60, "seed": 0, "dtype": "float64"}
    fits = nfbench.fit("gaussian", spec, **settings), nfbench.fit("gaussian", schools, dim=10, **settings)
    ours, plain = (nfbench.evaluate(fitted, draws=1000) for fitted in fits)
    assert list(ours.index) == ["free_energy"]  # the evidence is not known: no KL
    assert ours.loc["free_energy", "value"] == pytest.approx(plain.loc["free_energy", "value"], abs=1e-5)


MODELS = {
    "schools": SCHOOLS,
    "matrix products": f"""{HEAD}
x = torch.linspace(-1, 1, 21).reshape(7, 3)
def model():
    beta = pyro.sample("beta", dist.Normal(torch.zeros(3), 2.0).to_event(1))
    sd = pyro.sample("sd", dist.LogNormal(0.0, 1.0))
    with pyro.plate("data", 7):
        pyro.sample("y", dist.Normal(x @ beta, sd), obs=x[:, 0])
""",
    "shapes": f"""{HEAD}
def model():
    weights = pyro.sample("weights", dist.Dirichlet(torch.tensor([1.0, 2, 3])))
    with pyro.plate("groups", 2, dim=-2), pyro.plate("rows", 3, dim=-1):
        rate = pyro.sample("rate", dist.Gamma(2.0, 1.0))
        pyro.sample("k", dist.Poisson(rate * weights), obs=torch.tensor([[1.0, 0, 2], [3, 1, 0]]))
    with pyro.poutine.scale(scale=2.0):
        loose = pyro.sample("loose", dist.Normal(torch.zeros(2), 1.0))
    with pyro.poutine.mask(mask=torch.tensor([True, False])):
        pyro.sample("seen", dist.Normal(loose, 1.0), obs=torch.ones(2))
    pyro.sample("factor", dist.LKJCholesky(2, 1.5))
""",
}


@pytest.mark.parametrize("name", MODELS)
def test_all_draws_in_one_call_are_what_pyro_says_of_each(name, file):
    """Values and gradients, with Jacobians, are minus the potential that Pyro itself has for each draw alone."""
    from pyro.infer.mcmc.util import initialize_model

    built = target(file(MODELS[name]))
    with torch.random.fork_rng():
        start, potential, _, _ = initialize_model(built._density._model)
    z = torch.randn(20, 1, built.dim, generator=stream(0, name), requires_grad=True)

    def alone(point):
        pieces = point.split([value.numel() for value in start.values()])
        return -potential({key: piece.reshape(start[key].shape) for key, piece in zip(start, pieces, strict=True)})

    value = built.log_joint(z)
    each = torch.stack([alone(point) for point in z[:, 0]])
    torch.testing.assert_close(value[:, 0], each, rtol=1e-5, atol=1e-4)
    slopes = [torch.autograd.grad(values.sum(), z)[0] for values in (value, each)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-4)


def test_a_support_that_depends_on_another_variable_moves_with_it(file):
    """For a uniform between 0 and exp(a) the Jacobian follows a: the density of u = exp(a) s(z1) is that of s(z1)."""
    spec = file(
        f"{HEAD}def model():\n    a = pyro.sample('a', dist.Normal(0.0, 1.0))\n"
        "    pyro.sample('u', dist.Uniform(torch.zeros(()), a.exp()))\n"
    )
    z = torch.randn(9, 1, 2, generator=stream(0, "support"))
    logistic = torch.nn.functional.logsigmoid(z[..., 1]) + torch.nn.functional.logsigmoid(-z[..., 1])
    expected = logistic - 0.5 * z[..., 0] ** 2 - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(target(spec).log_joint(z), expected, rtol=1e-5, atol=1e-5)


def test_the_space_of_the_model_has_names(file):
    """`constrain` gives latent variables and deterministic sites, with the columns that `names` lists."""
    built = target(file(SCHOOLS))
    thetas, etas = ([f"{name}[{j}]" for j in range(8)] for name in ("theta", "eta"))
    assert built.names == ["mu", "tau", *etas, *thetas]
    z = torch.randn(5, 10, generator=stream(0, "names"))
    shown = built.constrain(z)
    torch.testing.assert_close(shown[:, 1], z[:, 1].exp())
    torch.testing.assert_close(shown[:, 10:], z[:, :1] + z[:, 1:2].exp() * z[:, 2:])
    assert not built.normalised


def test_a_model_that_holds_numbers_of_float64_works(file):
    """Draws are cast to the only dtype that the model takes, so that it trains in float32 too."""
    text = MODELS["matrix products"].replace("-1, 1, 21)", "-1, 1, 21, dtype=torch.float64)")
    text = text.replace("torch.zeros(3)", "torch.zeros(3, dtype=torch.float64)")
    built = target(file(text))
    assert built.precision == torch.float64
    assert built.log_joint(torch.zeros(2, 1, 4)).dtype == torch.float32


def test_an_edit_makes_other_cells(file):
    """The file's sha256 is a part of a cell's identity, and the function's name is a part of the spec."""
    spec = file(SCHOOLS)
    first = sources_of("gaussian", spec)
    assert set(first) == {"target"}
    assert sources_of("gaussian", file(f"{SCHOOLS}# edited\n")) != first
    assert str(targets.choose(spec)) == spec
    assert targets.choose(spec).label == "mine::model"


def test_models_are_targets_of_an_experiment_and_one_that_raises_is_a_failed_record(file, tmp_path):
    """Two seeds train as one program; records have spec and hash, no KL; who raises in the middle harms no other."""
    source = f"{HEAD}calls = []\ndef model():\n    calls.append(1)\n    print('called')\n"
    source += (
        "    if len(calls) > LIMIT:\n        raise OSError('enough')\n    pyro.sample('x', dist.Normal(1.0, 1.0))\n"
    )
    bad = file(source.replace("LIMIT", "500"), "late.py")
    good = file(source.replace("LIMIT", "10 ** 9"), "good.py")
    training = Training(learning_rate=0.01, updates=520, draws=2, anneal_updates=1)
    evaluation = Evaluation(draws=50, forward_draws=50, importance_draws=10, grid=4)
    profiles = {"smoke": Profile(seeds=2, training=training, evaluation=evaluation)}
    names = {"name": "trial", "title": "", "summary": "", "targets": [bad, good], "posteriors": ["gaussian"]}
    groups = plan(Experiment(**names, profiles=profiles), "smoke")
    results = [record for group in groups for record in run_group(group, tmp_path / "results")]
    assert [record.status for record in results] == ["failed", "failed", "done", "done"]
    assert "OSError: enough (late.py:9)" in results[0].message
    assert results[2].cell.target == good
    assert set(results[2].cell.sources) == {"target"}
    assert "kl" not in results[2].metrics


def test_a_function_of_the_session_is_a_target():
    """In Python a model needs no file."""
    from nfbench.targets.own_models.pyro_model import PyroTarget

    def model():
        pyro.sample("x", pyro.distributions.Normal(0.0, 1.0))

    built = PyroTarget(model)
    assert float(built.log_joint(torch.zeros(1, 1, 1))) == pytest.approx(-0.5 * math.log(2 * math.pi))
    with pytest.raises(InputError, match="the Pyro model is 3: expected a function"):
        PyroTarget(3)
