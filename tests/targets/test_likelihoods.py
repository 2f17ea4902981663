"""What a decoder puts out as a density: against plain formulas, quadrature, and what must hold of any data."""

import math

import pytest
import torch
from scipy import integrate, stats

from nfbench.foundation.randomness import seeded
from nfbench.targets.data_models.likelihoods import KINDS, Bernoulli, LogitNormal

PIXELS, HIDDEN = 5, 3


@pytest.fixture
def levels():
    generator = torch.Generator().manual_seed(0)
    return 0.01 + 0.98 * torch.rand(40, PIXELS, generator=generator, dtype=torch.float64)


@pytest.fixture
def units():
    return torch.randn(2, 40, HIDDEN, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def made(kind, train):
    with seeded(2, "likelihood"):
        return kind(HIDDEN, train).double()


def one_pixel(likelihood, units, pixel):
    """Mean and variance of logit x of one pixel, as Python's floats give them from the weights."""
    weight, bias = likelihood.numbers.weight.tolist(), likelihood.numbers.bias.tolist()
    mean, raw = (
        sum(w * u for w, u in zip(weight[row], units.tolist(), strict=True)) + bias[row]
        for row in (pixel, PIXELS + pixel)
    )
    return mean, 1e-3 + math.log1p(math.exp(raw))


def test_logit_normal_against_the_formula(levels, units):
    """The log-density is the sum over pixels of ln N(logit x; mu, alpha) - ln x(1-x), alpha being a variance."""
    likelihood = made(LogitNormal, levels)
    found = likelihood.log_prob(units, levels)
    for s, b in ((0, 0), (1, 7), (1, 39)):
        total = 0.0
        for pixel, x in enumerate(levels[b].tolist()):
            mean, variance = one_pixel(likelihood, units[s, b], pixel)
            normal = stats.norm(mean, math.sqrt(variance)).logpdf(math.log(x / (1 - x)))
            total += normal - math.log(x) - math.log(1 - x)
        assert found[s, b].item() == pytest.approx(total, abs=1e-9)


def test_logit_normal_integrates_to_one(levels):
    """Over x in (0, 1) the density of a pixel integrates to 1: the Jacobian of the logit is in it, with its sign."""
    one = levels[:, :1]
    with seeded(3, "pixel"):
        likelihood = LogitNormal(HIDDEN, one).double()
    units = torch.randn(4, HIDDEN, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for row in units:

        def density(x, row=row):
            given = torch.tensor([[x]], dtype=torch.float64)
            return likelihood.log_prob(row.reshape(1, 1, -1), given).exp().item()

        total, error = integrate.quad(density, 0, 1, epsabs=1e-10, limit=400)
        assert total == pytest.approx(1, abs=max(1e-8, 10 * error))


def test_logit_normal_starts_at_the_data(levels):
    """With no hidden unit active, mu and alpha are each pixel's mean and variance of logit x in training."""
    likelihood = made(LogitNormal, levels)
    for pixel in range(PIXELS):
        mean, variance = one_pixel(likelihood, torch.zeros(HIDDEN), pixel)
        logits = torch.logit(levels[:, pixel])
        assert mean == pytest.approx(logits.mean().item(), rel=1e-6)
        assert variance == pytest.approx(logits.var().item(), rel=1e-5)


def test_logit_normal_is_bounded_where_a_pixel_never_varies():
    """A pixel that is always white has a finite start, and its density stays below that of the least variance."""
    white = torch.full((10, PIXELS), 1 - 1e-4, dtype=torch.float64)
    likelihood = made(LogitNormal, white)
    with torch.no_grad():
        likelihood.numbers.bias[PIXELS:] = -1e4
    log_p = likelihood.log_prob(torch.zeros(1, 10, HIDDEN, dtype=torch.float64), white)
    x = 1 - 1e-4
    ceiling = PIXELS * (-0.5 * math.log(2 * math.pi * 1e-3) - math.log(x * (1 - x)))
    assert log_p.isfinite().all()
    # mu starts in float32, where logit(1 - 1e-4) is known to 6e-8 / 2 / 1e-4 = 3e-4.
    assert log_p.max().item() == pytest.approx(ceiling, abs=PIXELS * 0.5 * (3e-4) ** 2 / 1e-3)


def test_float32_near_the_ends():
    """At the outermost levels that a protocol gives, 1e-4 from 0 and 1, float32 agrees with float64 to its rounding.

    1 - 1e-4 is stored with an error of 6e-8 / 2, which moves its logit by 3e-4 and (logit - mu)^2 / alpha with it.
    """
    train = torch.tensor([[1e-4, 1 - 1e-4, 0.3, 0.6, 0.9]], dtype=torch.float64).repeat(8, 1)
    train = (train + 0.01 * torch.rand(8, PIXELS, generator=torch.Generator().manual_seed(0))).clamp(1e-4, 1 - 1e-4)
    exact = made(LogitNormal, train)
    with seeded(2, "likelihood"):
        coarse = LogitNormal(HIDDEN, train.float())
    units = torch.randn(3, 8, HIDDEN, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wanted, found = exact.log_prob(units, train), coarse.log_prob(units.float(), train.float()).double()
    assert (found - wanted).abs().max() <= 1e-2 * (1 + wanted.abs().max())


def test_bernoulli_is_no_worse_than_the_pixels_alone():
    """With no hidden unit active, -ln p of the training images is their mean image's entropy, the sanity ceiling."""
    generator = torch.Generator().manual_seed(4)
    train = (torch.rand(4000, PIXELS, generator=generator) < torch.tensor([0.02, 0.3, 0.5, 0.9, 0.7])).double()
    likelihood = made(Bernoulli, train)
    log_p = likelihood.log_prob(torch.zeros(1, 4000, HIDDEN, dtype=torch.float64), train)
    mean = train.mean(0)
    entropy = -(mean * mean.log() + (1 - mean) * (1 - mean).log()).sum()
    # One image of each kind was added to the counts, which moves a log-odds by at most 1/(n mean (1 - mean)).
    slack = (1 / (4000 * mean * (1 - mean))).square().sum()
    assert -log_p.mean().item() == pytest.approx(entropy.item(), abs=slack.item() + 1e-6)


@pytest.mark.parametrize("kind", KINDS.values())
def test_centre_is_in_range_and_where_the_density_has_its_median(kind, levels, units):
    """The picture of a draw lies in (0, 1) and has the observations' shape; of levels it is the median, logit mu."""
    train = levels if kind is LogitNormal else (levels > 0.5).double()
    likelihood = made(kind, train)
    centre = likelihood.centre(units)
    assert centre.shape == (2, 40, PIXELS)
    assert ((centre > 0) & (centre < 1)).all()
    if kind is LogitNormal:
        mean, _ = one_pixel(likelihood, units[1, 3], 2)
        assert torch.logit(centre[1, 3, 2]).item() == pytest.approx(mean, abs=1e-9)
    else:
        chance = torch.distributions.Bernoulli(logits=likelihood.logits(units)).mean
        assert torch.allclose(centre, chance)
