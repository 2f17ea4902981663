"""Distances between two sets of draws: moments, sliced Wasserstein, maximum mean discrepancy, a classifier.

Each compares draws `x` with reference draws `y`, both (n, D), in standard deviations of the reference: `standardise`
both first. None of them is 0 for two finite sets of one distribution, so that `evaluation.reference` gives each
beside its floor, the same number for two halves of the reference.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

Draws = NDArray[np.float64]

DIRECTIONS = 100  # of the sliced Wasserstein distance
PARTS = 5  # disjoint pairs of sets whose distances are averaged, which gives their error
BLOCK = 250  # draws of a block of the maximum mean discrepancy
MOST_CLASSIFIED = 4000  # draws of each set that a classifier sees: more takes longer than all other metrics
_HIDDEN = (32, 32)  # units of the classifier's two layers
_MOST_PAIRS = 1000  # draws among which the median distance is searched


class Value(NamedTuple):
    """An estimate with its standard error.

    Attributes:
        value: the estimate.
        se: its standard error over the draws; NaN where there are too few.
    """

    value: float
    se: float


def standardise(reference: Draws, *others: Draws) -> list[Draws]:
    """Shift and scale sets of draws by the reference's means and standard deviations.

    Args:
        reference: (n, D).
        others: sets of draws (m, D).

    Returns:
        The reference, then the others, coordinate by coordinate in standard deviations of the reference; a coordinate
        in which the reference is constant is only shifted.
    """
    sd = reference.std(0)
    scale = np.where(sd > 0, sd, 1.0)
    return [(draws - reference.mean(0)) / scale for draws in (reference, *others)]


def mean_error(x: Draws, y: Draws) -> Value:
    """The largest difference of means, max_d |mean x_d - mean y_d|.

    Args:
        x: draws (n, D).
        y: reference draws (m, D), standardised.

    Returns:
        The difference in standard deviations, with the standard error of that coordinate's difference.

    >>> round(mean_error(np.array([[0.0], [2.0]]), np.array([[-1.0], [1.0]])).value, 3)
    1.0
    """
    apart = np.abs(x.mean(0) - y.mean(0))
    place = int(np.argmax(apart))
    return Value(float(apart[place]), math.sqrt(x[:, place].var(ddof=1) / len(x) + y[:, place].var(ddof=1) / len(y)))


def log_sd_ratio(x: Draws, y: Draws) -> Value:
    """The mean over coordinates of ln(sd x_d / sd y_d): below 0 where x is too narrow on average.

    Args:
        x: draws (n, D).
        y: reference draws (m, D).

    Returns:
        The mean, with its standard error for independent draws; coordinates share draws, which the error counts.
    """
    (log_x, influence_x), (log_y, influence_y) = _log_sd(x), _log_sd(y)
    errors = [influence.mean(1).std(ddof=1) / math.sqrt(len(influence)) for influence in (influence_x, influence_y)]
    return Value(float((log_x - log_y).mean()), math.hypot(*errors))


def log_sd_error(x: Draws, y: Draws) -> Value:
    """The largest |ln(sd x_d / sd y_d)| of a coordinate.

    Args:
        x: draws (n, D).
        y: reference draws (m, D).

    Returns:
        The largest one, with the standard error of that coordinate's ratio.

    >>> round(log_sd_error(np.array([[-2.0], [2.0]]), np.array([[-1.0], [1.0]])).value, 3)  # ln 2
    0.693
    """
    (log_x, influence_x), (log_y, influence_y) = _log_sd(x), _log_sd(y)
    with np.errstate(invalid="ignore"):
        apart = np.abs(log_x - log_y)
    place = int(np.argmax(apart))
    errors = [part[:, place].std(ddof=1) / math.sqrt(len(part)) for part in (influence_x, influence_y)]
    return Value(float(apart[place]), math.hypot(*errors))


def sliced_w2(x: Draws, y: Draws, rng: np.random.Generator) -> Value:
    """The sliced 2-Wasserstein distance, sqrt(E_theta W2^2(theta.x, theta.y)) (Bonneel et al. 2015, section 3).

    In one dimension W2^2 is the mean squared difference of sorted draws. The draws are cut into disjoint parts, as the
    distance of finite sets has no simple error.

    Args:
        x: draws (n, D), in any order.
        y: reference draws (n, D), in an order that does not matter.
        rng: of the directions, uniform on the sphere.

    Returns:
        The mean over the parts, in standard deviations of the reference, with its standard error.
    """
    directions = rng.normal(size=(x.shape[1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    size = min(len(x), len(y)) // PARTS
    values = []
    for part in range(PARTS):
        own = slice(part * size, (part + 1) * size)
        sorted_x, sorted_y = np.sort(x[own] @ directions, 0), np.sort(y[own] @ directions, 0)
        values.append(math.sqrt(np.square(sorted_x - sorted_y).mean()))
    return _mean(values)


def squared_mmd(x: Draws, y: Draws, width: float) -> Value:
    """The squared maximum mean discrepancy with a Gaussian kernel, without bias (Gretton et al. 2012, eq. 3).

    It is the mean over disjoint blocks of draws, whose spread gives the error (the B-test, Zaremba et al. 2013); the
    expectation does not depend on the size of the blocks and is 0 for equal distributions.

    Args:
        x: draws (n, D), in any order.
        y: reference draws (n, D), in an order that does not matter.
        width: of the kernel exp(-|x - y|^2 / (2 width^2)).

    Returns:
        The mean over blocks, which may be below 0, with its standard error.
    """
    num = min(len(x), len(y))
    size = min(BLOCK, num // PARTS)
    values = [
        _of_block(x[start : start + size], y[start : start + size], width)
        for start in range(0, num - size + 1, max(size, 1))
    ]
    return _mean(values)


def median_distance(draws: Draws) -> float:
    """The median distance of two draws, the usual width of a kernel (Gretton et al. 2012, section 8).

    Args:
        draws: (n, D); evenly spaced ones are used of more than 1000.

    Returns:
        The median, or 1 where all are equal.
    """
    some = draws[np.linspace(0, len(draws) - 1, min(len(draws), _MOST_PAIRS)).astype(int)]
    return float(np.median(pdist(some))) or 1.0


def c2st(x: Draws, y: Draws, seed: int) -> Value:
    """The classifier two-sample test: held-out accuracy of telling x from y (Lopez-Paz & Oquab 2017).

    A network with two layers of 32 units learns from half of each set and is asked about the other half. Whatever it
    learned, its number of right answers is binomial with 1/2 if the distributions are equal.

    Args:
        x: draws (n, D), in any order; the first 4000 are used.
        y: reference draws (m, D), in an order that does not matter.
        seed: of the network's start.

    Returns:
        The accuracy, 0.5 where the sets cannot be told apart and 1 where they do not overlap, with its binomial error.
    """
    # Imported here, as it takes a second.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    num = min(len(x), len(y), MOST_CLASSIFIED) // 2
    learned, asked = (
        (np.concatenate([x[part], y[part]]), np.repeat([0, 1], num)) for part in (slice(0, num), slice(num, 2 * num))
    )
    network = MLPClassifier(_HIDDEN, early_stopping=True, n_iter_no_change=10, max_iter=200, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(*learned)
    accuracy = float(network.score(*asked))
    return Value(accuracy, math.sqrt(max(accuracy * (1 - accuracy), 0.25 / num) / (2 * num)))


def _log_sd(draws: Draws) -> tuple[Draws, Draws]:
    """Logarithm of the sd of each coordinate (D,), and what each draw contributes to it, by the delta method (n, D)."""
    centred = np.square(draws - draws.mean(0))
    variance = centred.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.5 * np.log(variance), (centred / variance - 1) / 2


def _of_block(x: Draws, y: Draws, width: float) -> float:
    num, scale = len(x), -0.5 / width**2
    inside = sum(np.exp(scale * np.square(pdist(each))).sum() for each in (x, y)) * 2 / (num * (num - 1))
    return float(inside - 2 * np.exp(scale * cdist(x, y, "sqeuclidean")).mean())


def _mean(values: list[float]) -> Value:
    return Value(float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values))))
