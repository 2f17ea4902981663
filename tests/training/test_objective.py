"""The free energy's parts."""

import torch
from support.families import normal

from nfbench import posterior, target
from nfbench.posteriors.contract import Posterior
from nfbench.training.objective import Inference, free_energy


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
