"""Metrics with known answers."""

import math

import pytest
import torch
from support.linear import stretched
from torch import Tensor

from nfbench import posterior, target
from nfbench.evaluation import noise
from nfbench.evaluation.density import draw_theta, push_through
from nfbench.evaluation.density_grid import of_flow, of_model
from nfbench.evaluation.evaluate import evaluate
from nfbench.specification.config import Evaluation, Push
from nfbench.training.objective import Inference

CONFIG = Evaluation(draws=40_000, forward_draws=20_000, grid=40)


def _gaussian(target_spec: str, mean: tuple[float, float], sigma: tuple[float, float]) -> Inference:
    model = Inference(target(target_spec), posterior("gaussian", 2, dtype=torch.float64))
    with torch.no_grad():
        numbers = torch.tensor([*mean, *(math.log(s) for s in sigma)], dtype=torch.float64)
        model.posterior.source.base.copy_(numbers)
    return model


def _within(metric, expected: float, errors: float = 5) -> bool:
    return abs(metric.value - expected) < errors * metric.se


def test_kl_of_two_gaussians():
    """Both directions of KL between N(m, s^2) and N(0, I) agree with the closed forms, within 5 standard errors."""
    mean, sigma = (0.3, -0.2), (1.2, 0.7)
    metrics = evaluate(_gaussian("normal:dim=2", mean, sigma), CONFIG, seed=1).metrics
    pairs = list(zip(mean, sigma, strict=True))
    reverse = sum(0.5 * (s**2 + m**2 - 1) - math.log(s) for m, s in pairs)
    forward = sum(0.5 * (1 + m**2) / s**2 - 0.5 + math.log(s) for m, s in pairs)
    assert _within(metrics["kl"], reverse)
    assert _within(metrics["forward_kl"], forward)
    assert metrics["kl"].se < 0.01


def test_forward_kl_from_u1():
    """KL(p1||q) to a centred Gaussian follows from p1's exact entropy and second moments: ln Z1 is part of it."""
    metrics = evaluate(_gaussian("u1", (0.0, 0.0), (1.6, 1.1)), CONFIG, seed=12).metrics
    cross = math.log(2 * math.pi * 1.6 * 1.1) + 3.3035016 / (2 * 1.6**2) + 1.3952778 / (2 * 1.1**2)
    assert _within(metrics["forward_kl"], cross - 2.6600125)


def test_free_energy_of_a_gaussian_on_the_raw_u2():
    """F on U2 without walls agrees with the closed form, and there is no KL to an improper density."""
    metrics = evaluate(_gaussian("u2:walls=none", (0.3, -0.2), (1.5, 0.6)), CONFIG, seed=2).metrics
    assert _within(metrics["free_energy"], 0.1153229809)
    assert "kl" not in metrics
    assert "forward_kl" not in metrics


def test_best_gaussian_at_one_mode_of_u1():
    """The best single-mode Gaussian has KL 0.9024 (F = -0.9751)."""
    metrics = evaluate(_gaussian("u1", (1.861, 0.0), (0.353, 0.987)), CONFIG, seed=3).metrics
    assert abs(metrics["free_energy"].value + 0.9751) < 5 * metrics["free_energy"].se + 5e-5
    assert abs(metrics["kl"].value - 0.9024) < 5 * metrics["kl"].se + 5e-5


def test_box_metrics():
    """Mass and KL of the truncated pair agree with a fine midpoint rule over the box."""
    mean, sigma = (3.0, 0.0), (1.5, 1.0)
    metrics = evaluate(_gaussian("u2:walls=none", mean, sigma), CONFIG, seed=4).metrics
    built = target("u2:walls=none")
    cells = 1000
    axis = -4 + 8 * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    points = torch.cartesian_prod(axis, axis)
    normal = torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(sigma).double())
    log_q = normal.log_prob(points).sum(-1)
    area = (8 / cells) ** 2
    mass = float(log_q.exp().sum() * area)
    log_p = built.log_joint(points) - built.box.log_z
    kl = float(((log_q - math.log(mass) - log_p) * log_q.exp()).sum() * area / mass)
    assert _within(metrics["box_mass"], mass)
    assert _within(metrics["box_kl"], kl)
    assert 0.5 < mass < 0.9


def _repeats(model: Inference, config: Evaluation, num: int = 300) -> dict[str, tuple[Tensor, Tensor]]:
    """Every metric's values and standard errors over evaluation seeds."""
    repeats = [evaluate(model, config, seed).metrics for seed in range(num)]
    return {
        name: torch.tensor([[metrics[name].value, metrics[name].se] for metrics in repeats]).T for name in repeats[0]
    }


@pytest.mark.parametrize("target_spec", ["u1", "u2:walls=none", "linear"])
def test_standard_errors_are_the_spread_over_seeds(target_spec):
    """The stated errors of all metrics are the standard deviation over 300 seeds, to five errors of the latter."""
    if target_spec == "linear":
        spreads = _repeats(stretched(1.3), Evaluation(draws=50, importance_draws=200))
        assert set(spreads) == {"free_energy", "nll", "gap", "ess"}
    else:
        # Half of the second one's mass is in the box, so that the error of ln M weighs in that of the box's KL.
        model = _gaussian(target_spec, *(((2.5, 0.0), (0.9, 0.8)) if target_spec == "u1" else ((4.0, 0.0), (0.1, 0.4))))
        spreads = _repeats(model, Evaluation(draws=1000, forward_draws=1000))
        assert len(spreads) == 3
    for name, (values, errors) in spreads.items():
        assert (values.std() / errors.mean()).item() == pytest.approx(1, abs=5 / math.sqrt(2 * 300)), name


def test_every_draw_of_a_density_is_made_once(monkeypatch):
    """Without data too: as many draws as asked for, in pieces, all different."""
    monkeypatch.setattr(noise, "BLOCK", 30)
    parts = list(noise.blocks(_gaussian("u1", (0, 0), (1, 1)), 100, 1, 11))
    assert [len(part) for part in parts] == [15] * 6 + [10]
    assert torch.cat(parts).unique().numel() == 200


def test_evaluation_repeats():
    """The same seed gives the same metrics, another seed others."""
    first, again, other_seed = (
        evaluate(_gaussian("u1", (0, 0), (1, 1)), CONFIG, seed=seed).metrics for seed in (7, 7, 8)
    )
    assert first == again
    assert all(first[name] != other_seed[name] for name in ("free_energy", "kl", "forward_kl"))


def test_infinite_metrics_are_left_out():
    """A bound that is infinite is absent rather than a number."""
    metrics = evaluate(_gaussian("uniform", (0, 0), (3, 3)), CONFIG, seed=9).metrics
    assert "kl" not in metrics
    assert "free_energy" not in metrics


def test_evaluation_is_as_it_was():
    """Metrics of a density are those of the records made before this module was divided, of the same streams."""
    model = Inference(target("u1"), posterior("planar:K=2", 2, seed=3))
    metrics = evaluate(model, Evaluation(draws=500, forward_draws=300), 3).metrics
    assert metrics["free_energy"].value == pytest.approx(2.6470951600811614, rel=1e-9)
    assert metrics["free_energy"].se == pytest.approx(0.20979403486426948, rel=1e-9)
    assert metrics["forward_kl"].value == pytest.approx(1.5445217831035394, rel=1e-9)
    assert metrics["forward_kl"].se == pytest.approx(0.05986560749735149, rel=1e-9)


def test_arrays_are_what_can_be_drawn():
    """A posterior on the plane comes with its image, one in three dimensions with nothing."""
    model, config = _gaussian("u1", (0, 0), (1, 1)), Evaluation(draws=10, forward_draws=10, grid=4)
    arrays = evaluate(model, config, seed=0).arrays
    expected = of_model(model, config)
    assert arrays.keys() == expected.keys()
    assert all((arrays[name] == expected[name]).all() for name in expected)
    built = target("normal:dim=3")
    assert evaluate(Inference(built, posterior("gaussian", 3)), config, seed=0).arrays == {}


def test_images_hold_the_densities():
    """The stored bytes give back the normal density of q and of p at the cells' centres, within half a byte."""
    config = Evaluation(grid=40)
    arrays = of_model(_gaussian("normal:dim=2", (1.0, -0.5), (0.8, 1.1)), config)
    axis = -4 + 0.2 * (torch.arange(40, dtype=torch.float64) + 0.5)
    z2, z1 = torch.meshgrid(axis, axis, indexing="ij")
    for name, mean, sigma in (("q", (1.0, -0.5), (0.8, 1.1)), ("p", (0.0, 0.0), (1.0, 1.0))):
        numbers = torch.tensor([mean, sigma], dtype=torch.float64).T
        normal = [torch.distributions.Normal(m, s) for m, s in numbers]
        expected = (normal[0].log_prob(z1) + normal[1].log_prob(z2)).exp()
        top = float(arrays[f"{name}_max"])
        assert top == pytest.approx(float(expected.max()), rel=1e-12)
        stored = torch.from_numpy(arrays[name]).double() / 255 * top
        assert (stored - expected).abs().max() <= top / 510 * (1 + 1e-9)


@pytest.mark.parametrize("target_spec", ["u1", "u2", "u3:walls=none", "uniform"])
def test_images_of_targets_are_normalised(target_spec):
    """The target's image has mass 1 in the box, or what of it lies there, to the width of a byte."""
    config = Evaluation(grid=80)
    arrays = of_model(_gaussian(target_spec, (0, 0), (1, 1)), config)
    inside = 8 / (8 + 0.25 * math.sqrt(2 * math.pi)) if target_spec == "u2" else 1.0
    assert arrays["p"].sum() / 255 * arrays["p_max"] * 0.1**2 == pytest.approx(inside, abs=0.01)


def test_theta_of_a_push_is_scaled_and_seeded():
    """Raw parameters are one draw per seed, times the scale."""
    flow = posterior("planar:K=3", 2).flow
    narrow, wide, other_seed = (
        draw_theta(flow, Push(scale=s), seed, torch.float64) for s, seed in ((1, 0), (3, 0), (1, 1))
    )
    assert narrow.shape == (1, flow.num_params)
    assert torch.equal(wide, 3 * narrow)
    assert not torch.equal(other_seed, narrow)


def test_push_through_keeps_the_books():
    """Entropy after the maps is the base's plus the mean ln|det|; the image's mass is the share of draws in its box."""
    base = target("uniform")
    family = posterior("radial:K=2", 2, dtype=torch.float64)
    theta = draw_theta(family.flow, Push(scale=1.0), 3, torch.float64)
    config = Evaluation(draws=5000, grid=200)
    metrics = push_through(family.flow, base, theta, config, seed=3)
    assert metrics["entropy"].value == pytest.approx(base.log_z + metrics["log_det"].value, abs=1e-12)
    arrays = of_flow(family.flow, base, theta, config)
    mass = float(arrays["q"].astype(float).sum() / 255 * arrays["q_max"]) * 0.04**2
    z, _ = family.flow(base.sample(20_000, torch.Generator().manual_seed(1)).double().unsqueeze(1), theta)
    inside = float((z.abs() <= 4).all(-1).double().mean())
    assert mass == pytest.approx(inside, abs=0.02)
