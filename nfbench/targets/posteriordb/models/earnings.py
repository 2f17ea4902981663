"""Earnings on height and sex, with flat priors (Gelman & Hill 2006, Chapters 2 and 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from nfbench.targets.posteriordb.linear import LinearRegression, columns
from nfbench.targets.posteriordb.model import Data, add

Columns = Callable[[Tensor, Tensor], Tensor]


def _standard(x: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1, with N - 1."""
    return (x - x.mean()) / x.std()


def _regression(response: Callable[[Tensor], Tensor], inputs: Columns) -> Callable[[Data], LinearRegression]:
    """A model of a function of the earnings, on columns made of height and male."""

    def make(data: Data) -> LinearRegression:
        earn, height, male = (torch.tensor(data[key], dtype=torch.float64) for key in ("earn", "height", "male"))
        return LinearRegression(inputs(height, male), response(earn))

    return make


def _height(height: Tensor, male: Tensor) -> Tensor:
    return columns(height)


def _height_male(height: Tensor, male: Tensor) -> Tensor:
    return columns(height, male)


def _log_height_male(height: Tensor, male: Tensor) -> Tensor:
    return columns(height.log(), male)


def _interaction(height: Tensor, male: Tensor) -> Tensor:
    return columns(height, male, height * male)


def _interaction_z(height: Tensor, male: Tensor) -> Tensor:
    return _interaction(_standard(height), male)


add("earnings-earn_height", _regression(lambda earn: earn, _height))
add("earnings-logearn_height", _regression(torch.log, _height))
add("earnings-log10earn_height", _regression(torch.log10, _height))
add("earnings-logearn_height_male", _regression(torch.log, _height_male))
add("earnings-logearn_logheight_male", _regression(torch.log, _log_height_male))
add("earnings-logearn_interaction", _regression(torch.log, _interaction))
add("earnings-logearn_interaction_z", _regression(torch.log, _interaction_z))
