"""Modes that restarts found: counted right for known densities, wherever draws start."""

import torch

from nfbench import target
from nfbench.evaluation.modes import modes_found
from nfbench.posteriors.build import posterior
from nfbench.targets.function import FunctionTarget
from nfbench.training.objective import Inference


def at(density, *places):
    """Narrow Gaussians around places, for one density."""
    models = []
    for place in places:
        q = posterior("gaussian", density.dim)
        with torch.no_grad():
            q.source.base.copy_(torch.tensor([*place, *[-1.0] * density.dim]).reshape(q.source.base.shape))
        models.append(Inference(density, q))
    return models


def two(z):
    """Two unit normals at (5, 0) and (-5, 0), one of a tenth of the other's weight."""
    heights = [-0.5 * (z - torch.tensor([place, 0.0])).square().sum(-1) for place in (5.0, -5.0)]
    return torch.logaddexp(heights[0], heights[1] - 2.3)


def test_restarts_on_different_modes_are_counted():
    """Restarts on the same mode found one together, on two modes one each and two together."""
    density = FunctionTarget(two, 2)
    assert modes_found(at(density, (5.0, 0.5), (4.0, 0.0))) == [1, 1, 1]
    assert modes_found(at(density, (5.0, 0.5), (-4.0, 0.0))) == [1, 1, 2]


def test_a_posterior_on_both_modes_found_two():
    """A wide Gaussian between the modes has draws that climb to each."""
    (wide,) = at(FunctionTarget(two, 2), (0.0, 0.0))
    with torch.no_grad():
        wide.posterior.source.base[..., 2:] = 1.6
    assert modes_found([wide]) == [2, 2]


def test_a_curved_ridge_is_one_mode():
    """Both ends of a banana climb to one place, although the straight line between them leaves it."""
    density = FunctionTarget(lambda z: -0.5 * z[..., 0] ** 2 - 2 * (z[..., 1] - z[..., 0] ** 2) ** 2, 2)
    assert modes_found(at(density, (2.0, 4.0), (-2.0, 4.0))) == [1, 1, 1]


def test_a_density_that_is_not_finite_everywhere_is_climbed_all_the_same():
    """Draws where ln p is not a number, or that run off, are left out and raise no error."""
    density = FunctionTarget(lambda z: z[..., 0].log() - z[..., 0], 1)
    assert modes_found(at(density, (1.0,), (-4.0,)))[0] == 1


def test_all_energies_of_the_paper_have_their_modes():
    """U1 has two lobes on its ring: wide restarts found both."""
    (wide,) = at(target("u1"), (0.0, 0.0))
    with torch.no_grad():
        wide.posterior.source.base[..., 2:] = 0.5
    assert modes_found([wide]) == [2, 2]
