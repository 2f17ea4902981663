"""Benchmarks of the importance-sampled likelihood, every registered family."""

import pytest
from families import specs

from nfbench import posterior, target
from nfbench.config import Evaluation
from nfbench.evaluation import evaluate
from nfbench.objectives import Inference


@pytest.mark.parametrize("spec", specs(8))
def test_importance_sampling(benchmark, spec):
    """F and -ln p(x) of 64 small images with 20 draws each, in float32."""
    what = target("specks:pixels=64,dim=10,hidden=64")
    model = Inference(what, posterior(spec, what.dim, what.num_features))
    config = Evaluation(draws=2, importance_draws=20, dtype="float32")
    benchmark.group = "importance sampling, 64 pixels"
    found = benchmark(evaluate, model, config, 0)
    assert found["nll"].value <= found["free_energy"].value + 5 * found["free_energy"].se
