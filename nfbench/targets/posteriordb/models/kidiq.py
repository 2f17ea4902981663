"""Children's test scores on their mothers' schooling, IQ and work (Gelman & Hill 2006, Chapters 3 and 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from nfbench.targets.posteriordb.densities import cauchy
from nfbench.targets.posteriordb.linear import LinearRegression, columns
from nfbench.targets.posteriordb.model import Data, add

Columns = Callable[[Tensor, Tensor], Tensor]


def _mothers(data: Data, *keys: str) -> list[Tensor]:
    return [torch.tensor(data[key], dtype=torch.float64) for key in keys]


def _prior(b: Tensor, sigma: Tensor) -> Tensor:
    """Cauchy's prior of sigma, flat in the coefficients."""
    return cauchy(sigma, 2.5)


def _with_prior(inputs: Columns) -> Callable[[Data], LinearRegression]:
    """A model with Cauchy's prior of sigma."""

    def make(data: Data) -> LinearRegression:
        score, school, iq = _mothers(data, "kid_score", "mom_hs", "mom_iq")
        return LinearRegression(inputs(school, iq), score, prior=_prior)

    return make


def _flat(inputs: Columns) -> Callable[[Data], LinearRegression]:
    """A model with flat priors."""

    def make(data: Data) -> LinearRegression:
        score, school, iq = _mothers(data, "kid_score", "mom_hs", "mom_iq")
        return LinearRegression(inputs(school, iq), score)

    return make


def _work(data: Data) -> LinearRegression:
    """On the four kinds of the mother's work, with flat priors."""
    score, work = _mothers(data, "kid_score", "mom_work")
    return LinearRegression(columns(*((work == kind).double() for kind in (2, 3, 4))), score)


def _interaction(school: Tensor, iq: Tensor) -> Tensor:
    return columns(school, iq, school * iq)


def _centred(school: Tensor, iq: Tensor) -> Tensor:
    return _interaction(school - school.mean(), iq - iq.mean())


def _at_usual_values(school: Tensor, iq: Tensor) -> Tensor:
    return _interaction(school - 0.5, iq - 100)


def _standard(school: Tensor, iq: Tensor) -> Tensor:
    return _interaction(*((x - x.mean()) / (2 * x.std()) for x in (school, iq)))


add("kidiq-kidscore_momiq", _with_prior(lambda school, iq: columns(iq)), log_z=-1882.35631)
add("kidiq-kidscore_momhs", _with_prior(lambda school, iq: columns(school)), log_z=-1914.81755)
add("kidiq-kidscore_momhsiq", _with_prior(columns), log_z=-1877.03933)
add("kidiq-kidscore_interaction", _with_prior(_interaction), log_z=-1873.50902)
add("kidiq_with_mom_work-kidscore_interaction_c", _flat(_centred))
add("kidiq_with_mom_work-kidscore_interaction_c2", _flat(_at_usual_values))
add("kidiq_with_mom_work-kidscore_interaction_z", _flat(_standard))
add("kidiq_with_mom_work-kidscore_mom_work", _work)
