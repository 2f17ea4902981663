"""Agreement of restarts from numbers: moments, free energy, modes."""

import math

import numpy as np

from nfbench.analysis.agreement import agreement, modes


def test_the_largest_difference_of_any_coordinate_and_pair_counts():
    """Means in root mean square sd, ln sd as they are, F as a range; by hand."""
    means = [np.array([0.0, 0.0]), np.array([0.1, 3.0]), np.array([0.2, 1.0])]
    sds = [np.array([1.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0])]
    found = agreement(means, sds, [1.0, 0.2, 0.7])
    assert math.isclose(found.moments, 3.0 / math.sqrt(3.0))
    assert math.isclose(found.free_energy, 0.8)
    wide = agreement([np.zeros(1)] * 2, [np.ones(1), np.array([math.e**2])], [0.0, 0.0])
    assert math.isclose(wide.moments, 2.0)


def test_equal_restarts_agree_and_those_without_moments_do_not():
    """0 for the same restart twice and for a single one, infinite where a moment is not finite."""
    one = np.ones(2)
    assert agreement([one, one], [one, one], [0.5, 0.5]) == (0.0, 0.0)
    assert agreement([one], [one], [0.5]) == (0.0, 0.0)
    assert agreement([one, one * math.nan], [one, one], [0.5, 0.5]) == (math.inf, math.inf)


def test_points_that_a_chain_connects_are_one_mode():
    """Ends far apart are one mode where a third point is without a valley to both."""
    dips = np.array([[0.0, 0.2, 5.0, 9.0], [0.2, 0.0, 0.3, 9.0], [5.0, 0.3, 0.0, 9.0], [9.0, 9.0, 9.0, 0.0]])
    assert modes(dips).tolist() == [0, 0, 0, 1]


def test_a_constant_coordinate_hides_no_other():
    """Half of a Cholesky factor is 0 in every draw: it agrees exactly, up to rounding, and the others count."""
    means = [np.array([-5.0, 0.0, 1.0]), np.array([5.0, 0.0, 1.0 + 1e-9])]
    assert agreement(means, [np.array([1.0, 0.0, 0.0])] * 2, [1.0, 1.0]).moments == 10.0
    wider = [np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.1])]
    assert agreement(means[:1] * 2, wider, [1.0, 1.0]).moments == math.inf
    assert agreement([np.array([0.0]), np.array([1.0])], [np.zeros(1)] * 2, [1.0, 1.0]).moments == math.inf
