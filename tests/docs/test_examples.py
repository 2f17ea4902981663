"""The worked examples of the documentation do what its pages say."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

import pytest
import torch
from support.pages import ROOT, example

from nfbench.experiments.plan import plan
from nfbench.foundation.randomness import stream
from nfbench.foundation.yaml_model import read_yaml
from nfbench.posteriors.build import posterior
from nfbench.specification import registry
from nfbench.specification.config import Training
from nfbench.specification.experiment import Experiment
from nfbench.targets.build import target
from nfbench.training.loop import train
from nfbench.training.objective import Inference

DOCS = ROOT / "docs"


def example_module(page, name):
    """An example that is a whole file, imported as any file that registers something."""
    module = module_from_spec(ModuleSpec("contributed", None))
    sys.modules["contributed"] = module
    exec(compile(example(DOCS / page, name), page, "exec"), module.__dict__)


@pytest.fixture
def cholesky():
    """The example's module, imported as any file that registers a family; forgotten afterwards."""
    registry.posteriors.names()
    example_module("your-family.md", "posterior")
    yield "cholesky"
    del sys.modules["contributed"]


def test_the_example_family_keeps_the_flow_contract(cholesky):
    """Its ln|det| is autograd's at wild parameters, and the inverse undoes the map, in float64 to rounding."""
    dim, generator = 3, stream(0, "contributing")
    flow = posterior(cholesky, dim).flow.double()
    theta = 2 * torch.randn(1, flow.num_params, generator=generator, dtype=torch.float64)
    z = torch.randn(5, 1, dim, generator=generator, dtype=torch.float64)
    moved, log_det = flow(z, theta)
    back, inverse_log_det = flow.inverse(moved, theta)
    torch.testing.assert_close(back, z, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(inverse_log_det, -log_det)
    for s in range(len(z)):
        jacobian = torch.autograd.functional.jacobian(lambda one: flow(one.view(1, 1, -1), theta)[0].view(-1), z[s, 0])
        sign, slogdet = torch.linalg.slogdet(jacobian)
        assert sign == 1
        torch.testing.assert_close(log_det[s, 0], slogdet, atol=1e-9, rtol=1e-9)


def test_the_example_family_is_amortized_too(cholesky):
    """With features every data point has its own covariance, and the density belongs to the draws."""
    q = posterior(cholesky, 2, features=4)
    noise, features = torch.randn(7, 3, 2, generator=stream(1, "a")), torch.randn(3, 4, generator=stream(1, "b"))
    z, log_q = q(noise, features)
    assert z.shape == (7, 3, 2)
    torch.testing.assert_close(q.log_prob(z, features), log_q, atol=1e-4, rtol=1e-4)
    assert not torch.equal(z[:, 0] - noise[:, 0], z[:, 1] - noise[:, 1])


def test_the_example_family_trains(cholesky):
    """Two seeds train as one program, and the bound falls."""
    models = [Inference(target("u1"), posterior(cholesky, 2, seed=seed)) for seed in (0, 1)]
    config = Training(learning_rate=0.05, updates=200, draws=64, anneal_updates=0)
    for curve in train(models, [0, 1], config).curves:
        bound = curve["free_energy"]
        assert bound[-1] < bound[0] - 1


@pytest.fixture
def hourglass():
    """The example's target, forgotten afterwards."""
    registry.targets.names()
    example_module("your-model.md", "target")
    yield "hourglass"
    del sys.modules["contributed"]


def test_the_example_target_states_true_facts(hourglass):
    """By quadrature the example's density integrates to one, and its sampler has the moments of its formula."""
    density = target(hourglass)
    neck, mouth = torch.linspace(-15, 15, 1201, dtype=torch.float64), torch.linspace(-1, 1, 4001, dtype=torch.float64)
    width = 10 * (neck / 2).exp()  # ten standard deviations of the mouth on both sides
    z = torch.stack([neck[:, None].expand(-1, len(mouth)), width[:, None] * mouth], -1)
    inner = torch.trapezoid(density.log_joint(z).exp(), mouth, dim=1) * width
    torch.testing.assert_close(torch.trapezoid(inner, neck), torch.tensor(1.0, dtype=torch.float64), atol=1e-4, rtol=0)
    draws = density.sample(100_000, stream(0, "hourglass"))
    assert abs(draws[:, 0].var() - 9) < 5 * 9 * (2 / 100_000) ** 0.5
    scaled = draws[:, 1] * (-draws[:, 0] / 2).exp()
    assert abs(scaled.var() - 1) < 5 * (2 / 100_000) ** 0.5


def test_the_example_target_can_be_trained_on(hourglass):
    """A posterior is fitted to the example by its name, and the bound falls."""
    model = Inference(target(hourglass), posterior("gaussian", 2))
    config = Training(learning_rate=0.05, updates=200, draws=64, anneal_updates=0)
    (curve,) = train([model], [0], config).curves
    assert curve["free_energy"][-1] < curve["free_energy"][0]


def test_the_example_experiment_can_be_planned(tmp_path):
    """The page's YAML is an experiment of four lengths and three seeds."""
    (tmp_path / "mine.yaml").write_text(example(DOCS / "experiments.md", "experiment"))
    groups = plan(read_yaml(tmp_path / "mine.yaml", Experiment), "quick")
    assert [group.posterior for group in groups] == [f"planar:K={depth}" for depth in (1, 4, 16, 64)]
    assert {group.seeds for group in groups} == {(0, 1, 2)}
