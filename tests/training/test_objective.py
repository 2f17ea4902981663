"""The free energy's parts."""

import math

import pytest
import torch
from support.families import normal
from torch import nn

from nfbench import fit, load, posterior, target
from nfbench.foundation.errors import InputError
from nfbench.foundation.numerics import standard_normal_log_prob
from nfbench.posteriors.contract import Posterior
from nfbench.specification.choices import HEADS
from nfbench.specification.config import Training
from nfbench.training.objective import Inference, free_energy, initial_model
from nfbench.training.update import Update


def test_beta_multiplies_the_whole_joint():
    """F^beta = ln q - beta ln p(x, z): prior and likelihood together, the entropy never."""
    log_q, log_p = torch.tensor([1.0]), torch.tensor([-3.0])
    assert free_energy(log_q, log_p).item() == 4
    assert free_energy(log_q, log_p, 0.5).item() == 2.5


def test_the_prior_is_taken_at_the_end_of_the_chain():
    """For a target with a standard normal prior alone, ln p is ln N(z_K), not ln N(z_0)."""
    model = Inference(target("normal:dim=2"), posterior("planar:K=2", 2, dtype=torch.float64))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(normal(*parameter.shape, seed=1))
    noise = normal(9, 1, 2, seed=2)
    z, log_q = model.posterior(noise)
    ours_q, ours_p = model(noise)
    assert torch.equal(ours_q, log_q)
    assert torch.equal(ours_p, model.target.log_joint(z))


class _Follower(Posterior):
    """Noise as draws, with the target's own log-density as ln q."""

    dim = noise_dim = 2

    def forward(self, noise, features=None, log_joint=None):
        return noise, log_joint(noise)

    def log_prob(self, z, features=None):
        raise NotImplementedError


def test_families_may_follow_the_target():
    """A posterior is given ln p(x, z) of its target, data included."""
    noise = normal(5, 1, 2, seed=4)
    built = target("u1")
    log_q, log_p = Inference(built, _Follower())(noise)
    assert torch.equal(log_q, built.log_joint(noise))
    assert torch.equal(log_q, log_p)
    data = target("digits:dim=2,hidden=3").double()
    batch = data.splits().test[:3].double()
    log_q, _ = Inference(data, _Follower())(normal(5, 3, 2, seed=4), batch)
    assert torch.equal(log_q, data.log_joint(normal(5, 3, 2, seed=4), batch))


def test_features_reach_the_posterior():
    """For a model of data, the posterior of each data point comes from that point's features."""
    built = target("digits:dim=3,hidden=5").double()
    model = Inference(built, posterior("gaussian", 3, built.num_features, dtype=torch.float64))
    batch = built.splits().test[:4].double()
    noise = normal(2, 4, 3, seed=3)
    both, _ = model(noise, batch)
    for b in range(4):
        alone, _ = model(noise[:, b : b + 1], batch[b : b + 1])
        assert torch.allclose(both[:, b : b + 1], alone, rtol=1e-12, atol=1e-12)
    assert both[0].unique().numel() == 4


def digits_model(spec="planar:K=2", head="scaled"):
    """A small image model away from its start, in double precision, with images."""
    model = initial_model(spec, "digits:dim=3,hidden=5", 0, head).double()
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.add_(0.2 * normal(*parameter.shape, seed=place))
    return model, model.target.splits().test[:4].double()


def test_annealing_of_the_divergence_alone():
    """With anneal=kl the loss is beta (ln q - ln p(z)) - ln p(x|z), and the bound is F whatever beta is."""
    model, batch = digits_model()
    noise = normal(6, 4, 3, seed=9)
    log_q, log_p = model(noise, batch)
    z, _ = model.posterior(noise, model.features(batch))
    log_likelihood = model.target.log_likelihood(z, batch)
    expected = (0.3 * (log_q - model.target.log_prior(z)) - log_likelihood).mean()
    update = Update([model], Training(learning_rate=0.1, updates=9, anneal_updates=4, anneal="kl", dtype="float64"))
    loss, bound = update.loss(noise[None], batch[None], 0.3)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(bound[0], free_energy(log_q, log_p).mean())
    torch.testing.assert_close(update.loss(noise[None], batch[None], 1.0)[0], bound[0])


def test_annealing_of_the_divergence_needs_a_prior():
    model = initial_model("gaussian", "u1", 0)
    with pytest.raises(InputError, match="anneal 'kl': the target has no data"):
        Update([model], Training(learning_rate=0.1, updates=9, anneal_updates=4, anneal="kl"))


def test_heads_scale_maps_or_share_them():
    """The maps' numbers: an affine function of features over sqrt(F K), over 1, or one row for all data points."""
    features = normal(4, 5, seed=3)
    for head, scale in (("scaled", 1 / math.sqrt(5 * 2)), ("unscaled", 1.0)):
        made = digits_model(head=head)[0].posterior.source
        torch.testing.assert_close(made(features)[1], scale * features @ made.theta.weight.T + made.theta.bias)
    model, batch = digits_model(head="base")
    base, theta = model.posterior.source(features)
    assert (base.shape, theta.shape) == ((4, 6), (1, 2 * 7))
    noise = normal(6, 4, 3, seed=9)
    z, log_q = model.posterior(noise, features)
    mean, log_sigma = base.chunk(2, -1)
    z_0, log_det = model.posterior.flow.inverse(z, theta)
    torch.testing.assert_close(z_0, mean + log_sigma.exp() * noise)
    (gradient,) = torch.autograd.grad(model(noise, batch)[0].sum(), [model.posterior.source.theta])
    assert gradient.shape == (1, 14)
    assert (gradient != 0).any()
    torch.testing.assert_close(log_q, standard_normal_log_prob(noise) - log_sigma.sum(-1) + log_det)


@pytest.mark.parametrize(
    ("spec", "features", "head", "message"),
    [
        ("planar:K=2", None, "base", "head='base': expected 'scaled', as no features"),
        ("mixture", 5, "unscaled", "head='unscaled': expected 'scaled', as no features"),
        ("planar:K=2", 5, "bare", "no head named 'bare'; did you mean base"),
    ],
)
def test_a_head_that_cannot_be(spec, features, head, message):
    with pytest.raises(InputError, match=message):
        posterior(spec, 3, features, head=head)


@pytest.mark.parametrize("head", HEADS)
def test_a_fit_has_the_head_that_is_asked_for_and_its_file_gives_it_back(head, tmp_path):
    """A scale is no parameter: a file that were read with another head would give other draws without a word."""
    fitted = fit("planar:K=2", "digits:dim=3,hidden=5", updates=2, batch=4, head=head)
    assert (fitted.posterior.source.scale == 1.0) == (head == "unscaled")
    assert isinstance(fitted.posterior.source.theta, nn.Parameter) == (head == "base")
    again = load(fitted.save(tmp_path / "q.safetensors"))
    noise, features = torch.randn(2, 4, 3), torch.randn(4, 5)
    assert torch.equal(fitted.posterior(noise, features)[0], again.posterior(noise, features)[0])


def test_a_module_has_its_head_already():
    """A fit would say of another one that it was trained."""
    module = posterior("planar:K=2", 3, 5)
    with pytest.raises(InputError, match="fit: head='base': expected none, as a module has the head"):
        fit(module, "digits:dim=3,hidden=5", updates=2, head="base")
