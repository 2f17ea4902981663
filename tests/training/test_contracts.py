"""The contracts of targets and posteriors: code that breaks them is refused before any number is computed."""

import math

import pytest
import torch
from support.linear import stretched
from torch import nn

from nfbench.experiments.plan import plan
from nfbench.experiments.run_group import run_group
from nfbench.foundation.errors import InputError
from nfbench.posteriors.build import posterior
from nfbench.posteriors.contract import Flow, Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.specification import registry
from nfbench.specification.config import Evaluation, Push, Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.targets.build import target
from nfbench.targets.contract import Target
from nfbench.training.contracts import check_maps, check_model
from nfbench.training.objective import Inference

TRAINING = Training(learning_rate=0.01, updates=4, draws=8, anneal_updates=0)
EVALUATION = Evaluation(draws=50, forward_draws=20, importance_draws=10, grid=4)


class Energy(Target):
    """A standard normal in three dimensions whose log_joint a test replaces."""

    dim = 3

    def __init__(self, change=None):
        super().__init__()
        self.change = change or (lambda log_p, z: log_p)

    def log_joint(self, z, batch=None):
        return self.change(-0.5 * z.square().sum(-1), z)


class Shift(Flow):
    """z + theta, whose values a test replaces."""

    def __init__(self, dim, change=None):
        super().__init__(dim, 1, dim)
        self.change = change or (lambda z, log_det: (z, log_det))

    def forward(self, z, theta):
        return self.change(z + theta, z.new_zeros(z.shape[:-1]))

    def inverse(self, z, theta):
        return z - theta, z.new_zeros(z.shape[:-1])

    def initial(self):
        return torch.zeros(self.dim)


class Own(Posterior):
    """A Gaussian that is no flow, whose values a test replaces."""

    def __init__(self, dim, change=None, log_prob=None):
        super().__init__()
        self.dim = self.noise_dim = dim
        self.mean = nn.Parameter(torch.zeros(dim))
        self.change = change or (lambda z, log_q: (z, log_q))
        self.changed = log_prob or (lambda log_q: log_q)

    def forward(self, noise, features=None, log_joint=None):
        return self.change(self.mean + noise, -0.5 * noise.square().sum(-1))

    def log_prob(self, z, features=None):
        return self.changed(-0.5 * (z - self.mean).square().sum(-1))


LOG_JOINTS = {
    "an axis more": (
        lambda p, z: p.unsqueeze(-1),
        r"log_joint of z \(\d, 1, 3\) returned \(\d, 1, 1\), expected \(S, B\)",
    ),
    "sum": (lambda p, z: p.sum(), r"returned \(\), expected \(S, B\) = \(\d, 1\)"),
    "sum over draws": (lambda p, z: p.sum(0, keepdim=True), r"returned \(1, 1\), expected"),
    "sum over draws, expanded": (lambda p, z: p.sum(0, keepdim=True).expand_as(p), r"alone, .* beside the others"),
    "running sum": (lambda p, z: p.cumsum(0), r"alone, .* beside the others"),
    "other coordinates": (lambda p, z: -0.5 * z.square(), r"returned \(\d, 1, 3\), expected"),
    "other precision": (lambda p, z: p.double(), r"returned torch.float64 on cpu, expected torch.float32 on cpu"),
    "a number": (lambda p, z: 0.0, r"returned float, expected a tensor \(S, B\)"),
}
FLOWS = {
    "ln|det| of each coordinate": (lambda z, d: (z, torch.zeros_like(z)), r"ln\|det\| \(\d, 1, 3\), expected \(S, B\)"),
    "ln|det| summed over draws": (lambda z, d: (z, z.sum((0, 2)).expand_as(d)), r"ln\|det\| of draw 0 .* beside"),
    "one coordinate": (lambda z, d: (z[..., :1], d), r"z \(\d, 1, 1\), expected \(S, B, D\) = \(\d, 1, 3\)"),
    "one value": (lambda z, d: z, r"returned Tensor, expected \(z, ln\|det\|\)"),
    "centred draws": (lambda z, d: (z - z.mean(0), d), r"z of draw 0 .* beside the others"),
}
OWN = {
    "ln q of each coordinate": (lambda z, q: (z, z), r"ln q \(\d, 1, 3\), expected \(S, B\) = \(\d, 1\)"),
    "one coordinate": (lambda z, q: (z[..., :1], q), r"z \(\d, 1, 1\), expected \(S, B, D\)"),
    "three values": (lambda z, q: (z, q, q), r"a tuple of 3, expected \(z, ln q\)"),
    "centred draws": (lambda z, q: (z - z.mean(0), q), r"z of draw 0 .* beside the others"),
    "mean of ln q": (lambda z, q: (z, q.mean().expand_as(q)), r"ln q of draw 0 .* beside the others"),
}


def cases(broken):
    return pytest.mark.parametrize(("change", "message"), broken.values(), ids=broken.keys())


def check(model):
    check_model(model, "mine", "yours", seed=0)


@cases(LOG_JOINTS)
def test_a_log_joint_that_breaks_its_contract_is_refused(change, message):
    """Whatever is wrong with its shape, precision or draws, the error names the target, what came, what should come."""
    with pytest.raises(InputError, match=f"^target 'mine': .*{message}"):
        check(Inference(Energy(change), posterior("planar:K=2", 3)))


@cases(FLOWS)
def test_a_flow_that_breaks_its_contract_is_refused(change, message):
    """A chain is looked at itself, before its ln|det| is hidden in ln q, trained or pushed."""
    built = Shift(3, change)
    with pytest.raises(InputError, match=f"^posterior 'yours': .*{message}"):
        check(Inference(Energy(), FlowPosterior(built)))
    with pytest.raises(InputError, match=f"^posterior 'yours': .*{message}"):
        check_maps(built, target("normal:dim=3"), torch.zeros(1, 3).double(), "mine", "yours", seed=0)


@cases(OWN)
def test_a_posterior_that_breaks_its_contract_is_refused(change, message):
    """The same for a family that is no flow."""
    with pytest.raises(InputError, match=f"^posterior 'yours': .*{message}"):
        check(Inference(Energy(), Own(3, change)))


def test_a_log_prob_that_breaks_its_contract_is_refused():
    """The density at given points, which the forward KL subtracts."""
    with pytest.raises(InputError, match=r"log_prob of z \(\d, 1, 3\) returned \(\d, 1, 1\), expected \(S, B\)"):
        check(Inference(Energy(), Own(3, log_prob=lambda log_q: log_q.unsqueeze(-1))))


def test_samples_that_break_their_contract_are_refused():
    """Exact samples of another shape would broadcast in the forward KL."""

    class Sampled(Energy):
        def sample(self, num, generator):
            return torch.randn(num, 1, 3, generator=generator)

    with pytest.raises(
        InputError, match=r"target 'mine': sample\(2\) returned \(2, 1, 3\), expected \(num, D\) = \(2, 3\)"
    ):
        check(Inference(Sampled(), posterior("gaussian", 3)))


@pytest.mark.parametrize("axis", [0, 1])
def test_data_points_and_draws_are_kept_apart(axis, monkeypatch):
    """Under data, a log_joint that sums over the draws or over the data points, and expands, is refused."""
    model = stretched(0.5).double()
    log_joint = type(model.target).log_joint
    check(model)
    monkeypatch.setattr(
        type(model.target),
        "log_joint",
        lambda *arguments: (p := log_joint(*arguments)).sum(axis, keepdim=True).expand_as(p),
    )
    with pytest.raises(InputError, match=f"of {['draw', 'data point'][axis]} 0 in log_joint of z"):
        check(model)


def test_every_registered_pair_keeps_the_contract():
    """No family on no kind of target is refused; in double precision a density and a model of data stand for all."""
    doubled = "u1", "digits:dim=2,hidden=3"
    for target_spec in (
        "u1",
        "normal:dim=1",
        "uniform",
        "normal:dim=3",
        "digits:dim=2,hidden=3",
        "digits:dim=5,hidden=4",
    ):
        for entry in registry.posteriors:
            for variant in entry.variants():
                for dtype in (torch.float32, torch.float64) if target_spec in doubled else (torch.float32,):
                    built = target(target_spec)
                    try:
                        q = posterior(variant, built.dim, getattr(built, "num_features", None))
                    except InputError:
                        continue  # not in this dimension
                    check_model(Inference(built, q).to(dtype), target_spec, variant, seed=1)


def test_values_that_are_not_finite_break_no_contract():
    """Outside a support, or where a target diverges, draws are infinite or NaN each for itself: an outcome."""
    for value in (math.inf, -math.inf, math.nan):
        check(Inference(Energy(lambda p, z, v=value: torch.where(z[..., 0] > 0, v, p)), posterior("gaussian", 3)))
        check(Inference(Energy(lambda p, z, v=value: p + v), posterior("gaussian", 3)))


def test_the_check_leaves_nothing_behind():
    """Neither torch's generator nor a buffer that changes when the model is called is moved by the check."""

    class Counting(Energy):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("last", torch.zeros(3))

        def log_joint(self, z, batch=None):
            self.calls += 1
            self.last = z[0, 0].detach()
            torch.rand(1)
            return super().log_joint(z, batch)

    model = Inference(Counting(), posterior("gaussian", 3))
    calls, before = model.target.calls, torch.random.get_rng_state()
    check(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.target.calls is calls
    assert calls == 0
    assert torch.equal(model.target.last, torch.zeros(3))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_family_may_follow_the_target():
    """A posterior that takes a step along the gradient of ln p(x, z) is checked with it, draw by draw."""

    class Follower(Own):
        def forward(self, noise, features=None, log_joint=None):
            z = (self.mean + noise).detach().requires_grad_()
            (slope,) = torch.autograd.grad(log_joint(z).sum(), z)
            return z + 0.1 * slope + 0 * self.mean, -0.5 * noise.square().sum(-1)

    check(Inference(Energy(), Follower(3)))
    data = target("digits:dim=3,hidden=4")
    check(Inference(data, Follower(3)))


@pytest.fixture
def plugins():
    """Register, for one test, a target that sums over draws and a flow whose ln|det| has an axis too many."""
    registry.posteriors.names()
    registry.targets.names()

    @registry.register_target("summed", label="Summed", cite="nobody")
    def summed() -> Target:
        """A target that sums over draws."""
        return Energy(LOG_JOINTS["sum over draws, expanded"][0])

    @registry.register_posterior("axes", label="Axes", cite="nobody")
    def axes(dim: int) -> Flow:
        """A flow with ln|det| of every coordinate."""
        return Shift(dim, FLOWS["ln|det| of each coordinate"][0])


@pytest.mark.parametrize(
    ("target_spec", "family", "push"),
    [("summed", "gaussian", None), ("u1", "axes", None), ("normal", "axes", Push(scale=1.0))],
)
def test_a_cell_that_breaks_the_contract_is_a_failed_record(tmp_path, plugins, target_spec, family, push):
    """No metrics, no curve: every seed is `failed`, with the one line that says what was expected and what came."""
    training = None if push else TRAINING
    profile = Profile(seeds=2, training=training, push=push, evaluation=EVALUATION)
    experiment = Experiment(
        name="trial", title="T", summary="T.", targets=[target_spec], posteriors=[family], profiles={"smoke": profile}
    )
    (group,) = plan(experiment, "smoke")
    for record in run_group(group, tmp_path):
        assert record.status == "failed"
        assert record.metrics == {}
        assert "expected" in record.message
        assert record.message.startswith(
            f"InputError: target '{target_spec}'" if target_spec == "summed" else f"InputError: posterior '{family}'"
        )
