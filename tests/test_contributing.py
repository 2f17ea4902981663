"""The worked examples of CONTRIBUTING.md do what that page says."""

import re
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

import pytest
import torch

from nfbench.experiments.plan import plan
from nfbench.foundation.randomness import stream
from nfbench.foundation.yaml_model import read_yaml
from nfbench.posteriors.build import posterior
from nfbench.specification import registry
from nfbench.specification.config import Experiment, Training
from nfbench.targets.build import target
from nfbench.training.loop import train
from nfbench.training.objective import Inference

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def example(name):
    """The code block that follows a marker."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"CONTRIBUTING.md has no example {name!r}"
    return found[1]


@pytest.fixture
def cholesky():
    """The example's module, imported as any file that registers a family; forgotten afterwards."""
    registry.posteriors.names()
    module = module_from_spec(ModuleSpec("contributed", None))
    sys.modules["contributed"] = module
    exec(compile(example("posterior"), "CONTRIBUTING.md", "exec"), module.__dict__)
    yield "cholesky"
    registry.posteriors._entries.pop("cholesky")
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


def test_the_example_experiment_can_be_planned(tmp_path):
    """The page's YAML is an experiment of four lengths and three seeds."""
    (tmp_path / "mine.yaml").write_text(example("experiment"))
    groups = plan(read_yaml(tmp_path / "mine.yaml", Experiment), "quick")
    assert [group.posterior for group in groups] == [f"planar:K={depth}" for depth in (1, 4, 16, 64)]
    assert {group.seeds for group in groups} == {(0, 1, 2)}
