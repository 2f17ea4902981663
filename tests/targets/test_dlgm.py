"""The deep latent Gaussian model against plain loops, torch's distributions and its own normalisation."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from nfbench.data.observations import Observations
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import seeded
from nfbench.targets.build import target
from nfbench.targets.data_models.dlgm import DeepLatentGaussian, Maxout


@pytest.fixture(scope="module")
def model():
    with seeded(0, "digits"):
        return target("digits:dim=3,hidden=5").double()


@pytest.fixture(scope="module")
def z():
    with seeded(0, "z"):
        return 2 * torch.randn(4, 6, 3, dtype=torch.float64)


@pytest.fixture(scope="module")
def batch(model):
    return model.splits().train[:6].double()


def plain_maxout(layer, x):
    weight, bias = layer.affine.weight.tolist(), layer.affine.bias.tolist()
    y = [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
    return [max(y[k : k + 4]) for k in range(0, len(y), 4)]


def test_log_joint_against_plain_loops(model, z, batch):
    """The joint is prior plus Bernoulli likelihood, as Python's own floats give it from the same weights."""
    hidden, last = model.hidden[0], model.likelihood.logits
    weight, bias = last.weight.tolist(), last.bias.tolist()
    log_p = model.log_joint(z, batch)
    for s, b in itertools.product(range(4), range(6)):
        point, x = z[s, b].tolist(), batch[b].tolist()
        units = plain_maxout(hidden, point)
        total = sum(-0.5 * v * v - 0.5 * math.log(2 * math.pi) for v in point)
        for pixel, row, c in zip(x, weight, bias, strict=True):
            chance = 1 / (1 + math.exp(-sum(w * u for w, u in zip(row, units, strict=True)) - c))
            total += math.log(chance if pixel else 1 - chance)
        assert log_p[s, b].item() == pytest.approx(total, abs=1e-9)


def test_features_against_plain_loops(model, batch):
    """The encoder is one maxout layer over windows of 4 neighbours, and F is what the model says."""
    features = model.features(batch)
    assert features.shape == (6, model.num_features)
    for b in range(6):
        assert features[b].tolist() == pytest.approx(plain_maxout(model.encoder[0], batch[b].tolist()), abs=1e-12)


def test_likelihood_against_torch(model, z, batch):
    """Value and gradient of ln p(x|z) are those of torch's Bernoulli, to float64's rounding."""
    z = z.clone().requires_grad_()
    exact = torch.distributions.Bernoulli(logits=model.likelihood.logits(model.hidden(z))).log_prob(batch).sum(-1)
    found = model.log_likelihood(z, batch)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
    gradients = (torch.autograd.grad(log_p.sum(), z)[0] for log_p in (found, exact))
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_likelihood_is_stable_at_wild_logits(model, batch):
    """Far out, where a probability would round to 0 or 1 in float32, value and gradient stay finite."""
    wild = copy.deepcopy(model).float()
    z = torch.full((1, 6, 3), 1e4, requires_grad=True)
    log_p = wild.log_likelihood(z, batch.float())
    (gradient,) = torch.autograd.grad(log_p.sum(), z)
    assert log_p.isfinite().all()
    assert (log_p < -1e3).any()
    assert gradient.isfinite().all()


def test_autocast_sums_in_full_precision(model, z, batch):
    """Under autocast the logits are coarse, but the sum over pixels of what follows from them is float32's."""
    coarse = copy.deepcopy(model).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = coarse.likelihood.logits(coarse.hidden(z.float()))
        found = coarse.log_likelihood(z.float(), batch.float())
    assert logits.dtype == torch.bfloat16
    exact = torch.distributions.Bernoulli(logits=logits.double()).log_prob(batch).sum(-1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-5)


def test_the_joint_is_normalised():
    """Summed over all binary images of 4 pixels and integrated over z, p(x, z) is 1: no constant is missing."""
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    with seeded(1, "tiny"):
        tiny = DeepLatentGaussian(1, 3, Observations("tiny", images, images, images, (1, 2, 2), "binary")).double()
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    log_p = tiny.log_joint(z[:, None, None].expand(-1, 16, 1), images)
    assert torch.trapezoid(log_p.exp().sum(-1), z).item() == pytest.approx(1, abs=1e-10)


def test_maxout_windows():
    """Maxout(x)_k = max over x_4k to x_4k+3: neighbours, not a stride."""
    layer = Maxout(8, 2)
    with torch.no_grad():
        layer.affine.weight.copy_(torch.eye(8))
        layer.affine.bias.zero_()
    assert layer(torch.tensor([1.0, 4.0, 2.0, 3.0, -1.0, -7.0, -2.0, -3.0])).tolist() == [4, -1]


def test_bias_starts_at_the_log_odds(model):
    """At the start each pixel's bias is the log-odds of the training images, finite where a pixel never is 1."""
    train = model.splits().train.float()
    mean = (train.sum(0) + 1) / (len(train) + 2)
    torch.testing.assert_close(torch.sigmoid(model.likelihood.logits.bias).float(), mean, rtol=1e-5, atol=1e-6)
    assert (train.sum(0) == 0).any()


class Joint(nn.Module):
    """`functional_call` needs a forward."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, z, batch):
        return self.model.log_joint(z, batch) + self.model.features(batch).sum(-1)


def test_models_stack(z, batch):
    """Three models called as one program by vmap over stacked parameters give each model's own values and gradients."""
    with seeded(2, "stack"):
        models = [Joint(target("digits:dim=3,hidden=5").double()) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    many = z.expand(3, -1, -1, -1), batch.expand(3, -1, -1)

    def call(own, shared, z, batch):
        return torch.func.functional_call(models[0], (own, shared), (z, batch))

    together = torch.func.vmap(call)(parameters, buffers, *many)
    together.sum().backward()
    for e, joint in enumerate(models):
        alone = joint(z, batch)
        torch.testing.assert_close(together[e], alone, rtol=1e-12, atol=1e-10)
        alone.sum().backward()
        for name, parameter in joint.named_parameters():
            torch.testing.assert_close(parameters[name].grad[e], parameter.grad, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(together[0], together[1])


def test_digits_target(model):
    """The registered target has the protocol's data as bytes, no ln Z, no sampler, and a seeded start."""
    splits = model.splits()
    assert [part.shape for part in splits] == [(1197, 64), (300, 64), (300, 64)]
    assert {part.dtype for part in splits} == {torch.uint8}
    assert model.data.startswith("digits:static")
    assert (model.dim, model.log_z, model.box, model.has_sampler) == (3, None, None, False)
    with seeded(0, "digits"):
        again = target("digits:dim=3,hidden=5").double()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_wrong_use(model, z):
    """No latent variables and no batch are both refused, saying what was expected."""
    with pytest.raises(InputError, match="dim=0"):
        target("digits:dim=0")
    with pytest.raises(ValueError, match=r"needs a batch"):
        model.log_joint(z)


@pytest.mark.parametrize("activation", ["maxout", "relu", "softplus", "tanh"])
@pytest.mark.parametrize("layers", [1, 3])
def test_layers_and_non_linearities(activation, layers):
    """Encoder and decoder have the layers asked for, each an affine map and the named non-linearity, `hidden` wide."""
    with seeded(0, "dlgm"):
        model = target(f"dlgm:dim=3,hidden=8,layers={layers},activation={activation}").double()
    x = model.splits().test[:4].double()
    plain = {"relu": torch.relu, "softplus": nn.functional.softplus, "tanh": torch.tanh}
    for network, given in ((model.encoder, x), (model.hidden, torch.ones(4, 3, dtype=torch.float64))):
        wanted = given
        for layer in network:
            affine = layer.affine if activation == "maxout" else layer[0]
            y = wanted @ affine.weight.T + affine.bias
            wanted = y.reshape(4, 8, 4).amax(-1) if activation == "maxout" else plain[activation](y)
        assert len(network) == layers
        torch.testing.assert_close(network(given), wanted)
    assert (model.num_features, model.dim) == (8, 3)


def test_units_are_counted_before_or_after_maxout():
    """400 units before maxout over windows of 4 leave 100; after it they are 400, of 1600 numbers."""
    before, after = (target(f"dlgm:dim=2,hidden=40,counted={word}") for word in ("before", "after"))
    assert (before.num_features, len(before.encoder[0].affine.bias)) == (10, 40)
    assert (after.num_features, len(after.encoder[0].affine.bias)) == (40, 160)
    assert (before.width, after.width) == (2 + 40 + 64, 2 + 160 + 64)


def test_other_windows(z):
    """Maxout over windows of another size is the maximum of each window."""
    with seeded(0, "dlgm"):
        model = target("dlgm:dim=3,hidden=5,window=3").double()
    y = z @ model.hidden[0].affine.weight.T + model.hidden[0].affine.bias
    torch.testing.assert_close(model.hidden(z), y.reshape(*y.shape[:-1], 5, 3).amax(-1))


def test_the_digits_target_is_the_general_one():
    """`digits` is `dlgm` of that data at its size: the same start from the same seed, the same protocol."""
    with seeded(3, "both"):
        one = target("digits:dim=3,hidden=5")
    with seeded(3, "both"):
        other = target("dlgm:data=digits,dim=3,hidden=5")
    assert one.data == other.data
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("dlgm:data=digit", r"no data protocol named 'digit'; did you mean digits\?"),
        ("dlgm:merge_valid=True", r"data 'digits': merge_valid=True: takes no such option"),
        ("dlgm:hidden=6,counted=before", r"hidden=6, counted before maxout: expected a multiple of 4"),
        ("dlgm:hidden=2,counted=before", r"hidden=2, counted before maxout: expected a multiple of 4"),
        ("dlgm:activation=gelu", r"activation=gelu: input should be 'maxout', 'relu', 'softplus' or 'tanh'"),
        ("dlgm:layers=0", r"layers=0: input should be greater than or equal to 1"),
        ("dlgm:window=1", r"window=1: input should be greater than or equal to 2"),
    ],
)
def test_wrong_options_are_named(spec, reason):
    """What cannot be built is refused in one line: the thing, its value, what was expected."""
    with pytest.raises(InputError, match=reason):
        target(spec)
