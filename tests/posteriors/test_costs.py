"""What a family needs at least: the formulas against numbers that count their own operations."""

import pytest
import torch
from support.counted import D, K, PlanarMap, RadialMap, chain, values
from support.families import densities, normal, posterior, specs, wild
from torch.utils.flop_counter import FlopCounterMode

from nfbench.posteriors.contract import Identity
from nfbench.records.timings import Case
from nfbench.timing.contenders import textbook
from nfbench.timing.contenders.contract import inputs

S = 3


@pytest.mark.parametrize(("family", "kind"), [("planar", PlanarMap), ("radial", RadialMap)])
def test_flops_are_those_of_a_chain_that_counts_itself(family, kind):
    """A scalar chain whose draws and gradients are right takes exactly the flops of the formula."""
    q = wild(f"{family}:K={K}", D, seed=1)
    noise, to_z, to_log_q = normal(S, 1, D, seed=2), normal(S, 1, D, seed=3), normal(S, 1, seed=4)
    z, log_q = q(noise)
    torch.autograd.backward((z, log_q), (to_z, to_log_q))
    results, forward, base, theta, both = chain(kind, q, noise, to_z, to_log_q)
    for mine, true_z, true_q in zip(results, z[:, 0], log_q[:, 0], strict=True):
        torch.testing.assert_close(values(mine[0]), true_z.detach())
        torch.testing.assert_close(torch.tensor(mine[1].value, dtype=torch.float64), true_q.detach())
    torch.testing.assert_close(values(base), q.source.base.grad[0])
    torch.testing.assert_close(values(theta), q.source.theta.grad[0])
    assert forward == q.flow.cost(S, 1, 1, gradient=False).flops
    assert both == q.flow.cost(S, 1, 1, gradient=True).flops


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("mixing", ["permutation", "orthogonal"])
def test_flops_of_couplings_are_their_products_and_a_few_more(mixing, gradient):
    """Torch's own count of the textbook's matrix products, and beside them what the docstring says of a map."""
    hidden, moved, mode = 16, D // 2, "backward" if gradient else "sample"
    spec = f"nice:K={K},mixing={mixing},hidden={hidden}"
    case = Case(profile="test", posterior=spec, mode=mode, dim=D, draws=S, dtype="float64", threads=1)
    work = textbook.eager(case, inputs(case))
    with FlopCounterMode(display=False) as counter:
        work.run()
    ways = 2 if gradient else 1
    besides = S * K * (ways * moved + (4 if gradient else 1) * hidden) + K * ways * moved * (hidden + 1)
    if mixing == "orthogonal":
        besides -= S * K * ways * D  # torch counts a sum of D products as 2 D, it is 2 D - 1
    base = Identity(D).cost(S, 1, 1, gradient=gradient)
    cost = posterior(spec, D).flow.cost(S, 1, 1, gradient=gradient)
    assert cost.flops - base.flops - besides == counter.get_total_flops() > 0


def test_a_narrow_coupling_can_fold_its_rotation():
    """With fewer hidden units than dimensions the rotation costs no more than folding it into the weights."""
    narrow, wide = (posterior(f"nice:K=1,mixing=orthogonal,hidden={H}", D).flow for H in (2, D))
    still = [posterior(f"nice:K=1,hidden={H}", D).flow for H in (2, D)]
    turns = [
        turning.cost(1, 1, 1, gradient=False).flops - permuting.cost(1, 1, 1, gradient=False).flops
        for turning, permuting in zip((narrow, wide), still, strict=True)
    ]
    assert turns == [2 * D * 2, 2 * D * D - D]


@pytest.mark.parametrize(
    ("spec", "forward", "gradient"),
    [
        # D = 2, S = 3: noise 6, z 6, ln q 3, base 4; with gradient z 6, dz 6, dln q 3, base 4 again, its gradient 4
        ("gaussian", 19, 42),
        # theta 5; again 5, its gradient 5, h of three draws out and back 6
        ("planar:K=1", 19 + 5, 42 + 5 + 5 + 5 + 6),
        # theta 4; again 4, its gradient 4, r of three draws out and back 6
        ("radial:K=1", 19 + 4, 42 + 4 + 4 + 4 + 6),
        # weights 7 + 7 + 1, biases 7, order 2; with gradient three times weights and biases, twice the order
        ("nice:K=1,hidden=7", 19 + 22 + 2, 42 + 3 * 22 + 2 * 2),
        ("nice:K=1,hidden=7,mixing=orthogonal", 19 + 22 + 4, 42 + 3 * 22 + 2 * 4),
    ],
)
def test_numbers_are_those_counted_by_hand(spec, forward, gradient):
    """Everything read and written, one by one, for three draws in two dimensions."""
    flow = posterior(spec, 2).flow
    assert flow.cost(3, 1, 1, gradient=False).numbers == forward
    assert flow.cost(3, 1, 1, gradient=True).numbers == gradient


def test_numbers_of_each_point_are_its_own():
    """Amortized, theta and base are counted once a data point; draws as before."""
    flow = posterior("planar:K=1", 2).flow
    shared, own = (flow.cost(3, 4, points, gradient=True) for points in (1, 4))
    assert own.numbers - shared.numbers == 3 * (3 * 4 + 3 * 5)  # three points more, each number three times
    assert own.flops - shared.flops == 3 * (4 * 2 + 22 * 2 + 15)


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("spec", densities(specs(1)))
def test_costs_grow_in_proportion(spec, gradient):
    """Each further draw, data point and map costs the same; a gradient costs more than none."""
    q = posterior(spec, D)
    by_draws = [q.cost(draws, 2, 2, gradient=gradient) for draws in (1, 2, 3)]
    by_depth = [posterior(deeper, D).cost(5, 2, 2, gradient=gradient) for deeper in deepened(spec)]
    for costs in (by_draws, by_depth):
        for first, second, third in zip(*costs, strict=True):
            assert third - second == second - first >= 0
    assert by_draws[0].flops < by_draws[1].flops
    assert by_draws[0].numbers < by_draws[1].numbers
    with_gradient, without = (q.cost(5, 2, 2, gradient=which) for which in (True, False))
    assert all(more > less for more, less in zip(with_gradient, without, strict=True))


def deepened(spec):
    """The spec at depths 1, 2 and 3, or itself where it has none."""
    return [spec.replace("K=1", f"K={depth}") for depth in (1, 2, 3)]
