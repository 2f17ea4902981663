"""Bounds and likelihoods of models of data, above all where they are known exactly."""

import copy
import math

import numpy as np
import pytest
import torch
from support.linear import POINTS, LinearGaussian, Stretched, divergence, stretched
from torch import Tensor

from nfbench import posterior, target
from nfbench.evaluation import likelihood, noise
from nfbench.evaluation.evaluate import evaluate
from nfbench.evaluation.importance_weights import lengths
from nfbench.evaluation.likelihood import log_weights, observed
from nfbench.foundation.randomness import seeded
from nfbench.specification.config import Evaluation
from nfbench.training.objective import Inference

SHORT = Evaluation(draws=7, importance_draws=20)
LONG = Evaluation(draws=7, importance_draws=20, long_draws=50)


def _exact_nll() -> float:
    return -float(LinearGaussian().exact()[0].mean())


def _small(family: str = "planar:K=3") -> Inference:
    with seeded(0, "target"):
        built = target("specks:pixels=16,dim=3,hidden=5")
    return Inference(built, posterior(family, built.dim, built.num_features, seed=0))


def _within(metric, expected: float, errors: float = 5) -> bool:
    return abs(metric.value - expected) < errors * metric.se


def test_exact_posterior_closes_the_gap():
    """Where q is p(z|x), every ln w is ln p(x): F, nll and the curve agree to rounding and each draw counts fully."""
    evaluated = evaluate(stretched(1.0), Evaluation(draws=50, importance_draws=50, long_draws=60), seed=5)
    exact = -LinearGaussian().exact()[0].numpy()
    for name in ("free_energy", "nll", "nll_long"):
        assert evaluated.metrics[name].value == pytest.approx(exact.mean(), abs=1e-10)
        assert evaluated.metrics[name].se < 1e-10
        assert evaluated.arrays[f"example_{name}"] == pytest.approx(exact, rel=1e-6)  # stored in float32
    assert evaluated.metrics["gap"].value == pytest.approx(0, abs=1e-10)
    assert evaluated.metrics["ess"].value == pytest.approx(50, abs=1e-9)
    assert evaluated.arrays["curve_nll"] == pytest.approx(exact.mean(), rel=1e-6)
    assert evaluated.metrics["khat_bad"].value == 0


def test_importance_sampling_finds_the_likelihood():
    """With a posterior twice too wide, nll is -ln p(x) within 5 standard errors, and F is above it by the exact KL."""
    config = Evaluation(draws=5000, importance_draws=20_000, long_draws=20_000)
    metrics = evaluate(stretched(2.0), config, seed=6).metrics
    for name in ("nll", "nll_long"):
        assert _within(metrics[name], _exact_nll())
        assert metrics[name].se < 0.005
    assert _within(metrics["free_energy"], _exact_nll() + divergence(2.0))
    assert _within(metrics["gap"], divergence(2.0))
    assert metrics["nll"].value != metrics["nll_long"].value


def test_effective_sample_size_of_known_weights():
    """Its limit is S mean^2 w / mean w^2; at factor 1.5, w = sqrt(u) with u uniform, that is S 8 / 9 (5 errors)."""
    evaluated = evaluate(stretched(1.5), Evaluation(draws=2, importance_draws=20_000), seed=16)
    assert abs(evaluated.metrics["ess"].value / 20_000 - 8 / 9) < 5 * evaluated.metrics["ess"].se / 20_000
    assert evaluated.metrics["ess"].se < 50
    assert evaluated.arrays["example_ess"].mean() == pytest.approx(evaluated.metrics["ess"].value, rel=1e-6)


@pytest.mark.parametrize(("factor", "bad"), [(0.02, 1.0), (1.5, 0.0)])
def test_khat_tells_narrow_from_wide(factor, bad):
    """A too narrow posterior's weights are Pareto of shape 1 - factor, found within 5 standard deviations of the fit.

    Of T = 3 sqrt(S) draws in the tail its standard deviation is (1 + k) / sqrt(T); ten draws at 0.5 are its prior.
    """
    evaluated = evaluate(stretched(factor), Evaluation(draws=2, importance_draws=2, long_draws=20_000), seed=17)
    assert evaluated.metrics["khat_bad"].value == bad
    if factor < 1:
        k, tail = 1 - factor, 3 * math.sqrt(20_000)
        expected = (tail * k + 5) / (tail + 10)
        error = (1 + k) / math.sqrt(tail)
        khat = evaluated.arrays["example_khat"]
        assert abs(khat - expected).max() < 5 * error
        assert abs(khat.mean() - expected) < 5 * error / math.sqrt(POINTS)


def test_curve_starts_at_the_bound_and_ends_at_the_likelihood():
    """One draw's estimate is -mean ln w of the very draws that nll_long is made of, and the last point is nll_long."""
    model, draws = stretched(1.7), 200
    evaluated = evaluate(model, Evaluation(draws=2, importance_draws=2, long_draws=draws, long_points=5), seed=8)
    data = observed(model, model.target).evenly_spaced(5)
    drawn = torch.stack([noise.of_point(model, draws, 8, "long", index) for index in data.indices.tolist()], 1)
    with torch.no_grad():
        log_q, log_p = model(drawn, data.x)
    assert evaluated.arrays["curve_draws"].tolist() == lengths(draws) == [1, 2, 5, 10, 20, 50, 100, 200]
    assert evaluated.arrays["curve_nll"][0] == np.float32((log_q - log_p).mean())
    assert evaluated.arrays["curve_nll"][-1] == np.float32(evaluated.metrics["nll_long"].value)
    assert evaluated.arrays["curve_nll_se"][-1] == np.float32(evaluated.metrics["nll_long"].se)
    assert evaluated.arrays["curve_nll_se"][0] == pytest.approx(float((log_q - log_p).std(0).norm() / 5 / draws**0.5))


def test_likelihood_decreases_in_the_number_of_draws():
    """The curve falls: surely from blocks to the blocks that they make up (Jensen), else within 5 standard errors."""
    arrays = evaluate(stretched(3.0), Evaluation(draws=2, importance_draws=2, long_draws=5000), seed=9).arrays
    draws, nll, se = (arrays[f"curve_{name}"] for name in ("draws", "nll", "nll_se"))
    for i in range(len(draws)):
        for j in range(i + 1, len(draws)):
            surely = draws[j] % draws[i] == 0 and 5000 % draws[j] == 0
            assert nll[i] - nll[j] > (-1e-6 if surely else -5 * math.hypot(se[i], se[j]))
    assert nll[0] - nll[-1] == pytest.approx(divergence(3.0), abs=5 * math.hypot(se[0], se[-1]))
    assert (nll >= _exact_nll() - 5 * se).all()


@pytest.mark.parametrize("family", ["gaussian", "planar:K=3", "nice:K=2"])
def test_pieces_decide_nothing(family, monkeypatch):
    """Metrics and arrays are the same to rounding however few numbers are held at once, a point's draws cut too."""
    config = Evaluation(draws=7, importance_draws=20, long_draws=400)
    whole = evaluate(_small(family), config, seed=10)
    monkeypatch.setattr(likelihood, "_BYTES", {"cpu": 15_000})  # fifty draws
    monkeypatch.setattr(likelihood, "_NUMBERS", {"cpu": 500})  # 166
    pieces = evaluate(_small(family), config, seed=10)
    for name, metric in whole.metrics.items():
        assert pieces.metrics[name].value == pytest.approx(metric.value, rel=1e-10)
        if metric.se is not None:
            assert pieces.metrics[name].se == pytest.approx(metric.se, rel=1e-8)
    for name, array in whole.arrays.items():
        assert pieces.arrays[name] == pytest.approx(array, rel=1e-5), name


def test_no_more_is_held_than_memory_allows(monkeypatch):
    """The decoder never sees more draws at once than its width leaves room for, nor the posterior."""
    monkeypatch.setattr(likelihood, "_BYTES", {"cpu": 8 * 6 * 11})
    monkeypatch.setattr(likelihood, "_NUMBERS", {"cpu": 2 * 13})
    model = LinearGaussian()
    decoded, drawn = [], []
    joint, counting = model.log_joint, _Counting(model)
    monkeypatch.setattr(model, "log_joint", lambda z, batch: decoded.append(z.shape[:2].numel()) or joint(z, batch))
    evaluate(Inference(model, counting), LONG, seed=10)
    drawn = [seen.shape[:2].numel() for seen in counting.seen]
    assert max(decoded) <= 11
    assert max(drawn) <= 13
    assert sum(decoded) == POINTS * (7 + 20 + 50)


class _Counting(Stretched):
    """Records the noise of every call."""

    def __init__(self, model: LinearGaussian) -> None:
        super().__init__(model, 1.5)
        self.seen: list[Tensor] = []

    def forward(self, noise, features=None, log_joint=None):
        self.seen.append(noise)
        return super().forward(noise, features)


@pytest.mark.parametrize("block", [2**20, 200, 30])
def test_every_draw_is_made_once(block, monkeypatch):
    """However streams are cut, each data point gets the draws asked for, for all estimates, and no draw twice."""
    monkeypatch.setattr(noise, "BLOCK", block)
    monkeypatch.setattr(likelihood, "_NUMBERS", {"cpu": 30})
    model = LinearGaussian()
    counting = _Counting(model)
    evaluate(Inference(model, counting), LONG, seed=10)
    numbers = torch.cat([seen.flatten() for seen in counting.seen])
    drawn = POINTS * (7 + 20 + 50) + POINTS  # and one each for the reconstructions
    assert numbers.unique().numel() == numbers.numel() == drawn * 2


def test_long_draws_are_a_points_own():
    """Those of a point do not depend on how many points are evaluated; the few are spread evenly over the data."""
    few, many = (
        evaluate(_small(), Evaluation(draws=2, importance_draws=2, long_draws=50, long_points=n), seed=1).arrays
        for n in (5, 10)
    )
    assert len(few["example_khat"]) == len(few["example_nll_long"]) == 5
    assert few["example_nll_long"] == pytest.approx(many["example_nll_long"][::2], rel=1e-6)
    assert few["example_khat"] == pytest.approx(many["example_khat"][::2], rel=1e-5)
    assert len(few["example_nll"]) == len(many["example_nll"]) == 100
    assert observed(_small(), _small().target).evenly_spaced(5).indices.tolist() == [0, 20, 40, 60, 80]
    assert len(observed(_small(), _small().target).evenly_spaced(500)) == 100


def test_long_estimate_changes_no_other():
    """Metrics of the short estimates are the same with the long one and without."""
    without, with_long = evaluate(_small(), SHORT, seed=2), evaluate(_small(), LONG, seed=2)
    assert set(with_long.metrics) - set(without.metrics) == {"nll_long", "khat_bad"}
    assert without.metrics.items() <= with_long.metrics.items()
    more = set(with_long.arrays) - set(without.arrays)
    assert more == {"example_nll_long", "example_khat", "curve_draws", "curve_nll", "curve_nll_se"}


def test_evaluation_is_as_it_was():
    """Metrics of data are those of the records made before the long estimate came, of the same streams."""
    metrics = evaluate(stretched(1.5), Evaluation(draws=30, importance_draws=200_000), seed=7).metrics  # six blocks
    assert metrics["free_energy"].value == pytest.approx(5.094826853695586, rel=1e-12)
    assert metrics["nll"].value == pytest.approx(5.0195934007731235, rel=1e-12)
    assert metrics["nll"].se == pytest.approx(0.000228194264595092, rel=1e-9)
    assert metrics["gap"].se == pytest.approx(0.024822108649582095, rel=1e-9)
    with seeded(3, "target"):
        built = target("digits")
    model = Inference(built, posterior("planar:K=2", built.dim, built.num_features, seed=3))
    metrics = evaluate(model, Evaluation(draws=20, importance_draws=400), seed=3).metrics
    assert metrics["free_energy"].value == pytest.approx(27.96674348717741, rel=1e-9)
    assert metrics["free_energy"].se == pytest.approx(0.01095204814429257, rel=1e-7)
    assert metrics["nll"].value == pytest.approx(27.644513592411872, rel=1e-9)
    assert metrics["nll"].se == pytest.approx(0.002562161600185014, rel=1e-7)


@pytest.mark.parametrize("model", [_small("gaussian"), _small(), stretched(1.5)], ids=["gaussian", "planar", "linear"])
def test_single_precision_agrees_with_double(model):
    """With the same noise, ln w in float32 is that in float64 to float32's rounding, and it is summed in float64."""
    generator = torch.Generator().manual_seed(0)
    double, single = copy.deepcopy(model).double(), copy.deepcopy(model).float()
    drawn = torch.randn(30, 9, model.posterior.noise_dim, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        single_weights, expected = (
            log_weights(cast, cast.target, noise_draws, _first(cast, 9))
            for cast, noise_draws in ((single, drawn.float()), (double, drawn))
        )
    assert single_weights.dtype == expected.dtype == torch.float64
    # Sums of some twenty terms, each off by a few roundings of numbers up to ten.
    assert (single_weights - expected).abs().max() < 20 * 10 * 4 * torch.finfo(torch.float32).eps
    assert not torch.equal(single_weights, expected)


def _first(model: Inference, num: int):
    whole = observed(model, model.target)
    return next(whole.split(num))


class _Broken(LinearGaussian):
    """ln p(x, z) of the third data point is no number, or minus infinity."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def log_joint(self, z, batch=None):
        hit = (batch == self.x[2]).all(-1)
        return torch.where(hit, self.value, super().log_joint(z, batch))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_point_without_weights_leaves_metrics_out(value):
    """One data point whose weights are all NaN or zero makes the means absent; the other points' values stay."""
    model = _Broken(value)
    evaluated = evaluate(Inference(model, Stretched(model, 1.5)), LONG, seed=4)
    assert evaluated.metrics == {}
    good = np.arange(POINTS) != 2
    for name in ("free_energy", "nll", "nll_long", "ess", "khat"):
        finite = np.isfinite(evaluated.arrays[f"example_{name}"])
        assert (finite == good).all(), name
    assert "curve_nll" not in evaluated.arrays


def test_arrays_have_the_stored_form():
    """Per-example values are rows of float32, one for each test point or long point; their means are the metrics."""
    config = Evaluation(draws=5, importance_draws=20, long_draws=30, long_points=4)
    evaluated = evaluate(_small(), config, seed=3)
    for name, length in (("free_energy", 100), ("nll", 100), ("ess", 100), ("nll_long", 4), ("khat", 4)):
        values = evaluated.arrays[f"example_{name}"]
        assert (values.dtype, values.shape) == (np.float32, (length,))
        if name != "khat":
            assert values.astype(float).mean() == pytest.approx(evaluated.metrics[name].value, rel=1e-6)
    assert evaluated.arrays["curve_nll"].dtype == evaluated.arrays["curve_nll_se"].dtype == np.float32
    assert evaluated.metrics["khat_bad"].value == (evaluated.arrays["example_khat"] > 0.7).mean()
