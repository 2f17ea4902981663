"""Benchmarks of the importance-sampled likelihood: every registered family, and beside the bare matrix products."""

import statistics
import time

import pytest
import torch
from support.families import specs

from nfbench import posterior, target
from nfbench.evaluation.evaluate import evaluate
from nfbench.evaluation.likelihood import evaluate_long_draws, observed
from nfbench.foundation.settings import backend
from nfbench.specification.config import Evaluation
from nfbench.training.objective import Inference

PIXELS, DIM, HIDDEN, WINDOW = 784, 40, 400, 4  # the paper's binarised MNIST
DRAWS, POINTS, ROUNDS = 5000, 2, 7


@pytest.mark.parametrize("spec", specs(8))
def test_importance_sampling(benchmark, spec):
    """F and -ln p(x) of 64 small images with 20 draws each, in float32."""
    what = target("specks:pixels=64,dim=10,hidden=64")
    model = Inference(what, posterior(spec, what.dim, what.num_features))
    config = Evaluation(draws=2, importance_draws=20, dtype="float32")
    benchmark.group = "importance sampling, 64 pixels"
    found = benchmark(evaluate, model, config, 0).metrics
    assert found["nll"].value <= found["free_energy"].value + 5 * found["free_energy"].se


def _products(rows: int) -> float:
    """CPU seconds of the decoder's two matrix products, nothing between them, for every draw of the long estimate."""
    z, units = torch.randn(DIM, DRAWS), torch.randn(DRAWS, HIDDEN)
    first, last = torch.randn(WINDOW * HIDDEN, DIM), torch.randn(HIDDEN, PIXELS)
    start = time.process_time()
    for _ in range(POINTS):
        for part in range(0, DRAWS, rows):
            first @ z[:, part : part + rows]
            units[part : part + rows] @ last
    return time.process_time() - start


@pytest.mark.parametrize("spec", ["gaussian", "planar:K=80"])
def test_share_of_the_bare_products(benchmark, capsys, spec):
    """How much of a long estimate's time its matrix products alone would take; the two in turn, median of seven.

    CPU time of one thread, for others may use the machine; draws, weights, their curve and k-hat are all in it.
    """
    what = target(f"specks:pixels={PIXELS},dim={DIM},hidden={HIDDEN}")
    model = Inference(what, posterior(spec, what.dim, what.num_features, seed=0)).eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            data = observed(model, what).evenly_spaced(POINTS)
            shares = [_share(model, data) for _ in range(ROUNDS + 1)][1:]  # the first one warms up
            benchmark.group = "5000 importance draws a point, 784 pixels"
            benchmark.pedantic(evaluate_long_draws, (model, what, data, DRAWS, 0), rounds=3)
    finally:
        torch.set_num_threads(threads)
    share = statistics.median(shares)
    benchmark.extra_info["share of the bare matrix products"] = share
    with capsys.disabled():
        print(f"\n{spec}: bare matrix products / evaluation = {share:.2f} ({min(shares):.2f} to {max(shares):.2f})")
    assert share > 0.3 or backend() == "reference"  # plain PyTorch is not what this is claimed of


def _share(model, data) -> float:
    bare = _products(rows=832)
    start = time.process_time()
    evaluate_long_draws(model, model.target, data, DRAWS, 0)
    return bare / (time.process_time() - start)
