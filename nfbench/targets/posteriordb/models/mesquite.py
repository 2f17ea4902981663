"""The weight of mesquite bushes on their measures, with flat priors (Gelman & Hill 2006, Chapter 4)."""

from collections.abc import Callable

import torch
from torch import Tensor

from nfbench.targets.posteriordb.linear import LinearRegression, columns
from nfbench.targets.posteriordb.model import Data, add

_MEASURES = ("diam1", "diam2", "canopy_height", "total_height", "density", "group")
Measures = dict[str, Tensor]


def _regression(inputs: Callable[[Measures], Tensor], *, logarithm: bool = True) -> Callable[[Data], LinearRegression]:
    """A model of the weight or its logarithm, on columns made of the measures."""

    def make(data: Data) -> LinearRegression:
        measures = {key: torch.tensor(data[key], dtype=torch.float64) for key in _MEASURES}
        weight = torch.tensor(data["weight"], dtype=torch.float64)
        return LinearRegression(inputs(measures), weight.log() if logarithm else weight)

    return make


def _plain(m: Measures) -> Tensor:
    return columns(*m.values())


def _logs(m: Measures) -> Tensor:
    return columns(*(m[key].log() for key in _MEASURES[:-1]), m["group"])


def _sizes(m: Measures) -> tuple[Tensor, Tensor, Tensor]:
    """The logarithms of the canopy's volume, area and shape."""
    area = m["diam1"] * m["diam2"]
    return (area * m["canopy_height"]).log(), area.log(), (m["diam1"] / m["diam2"]).log()


def _volume(m: Measures) -> Tensor:
    return columns(_sizes(m)[0])


def _volume_area(m: Measures) -> Tensor:
    volume, area, _ = _sizes(m)
    return columns(volume, area, m["group"])


def _volume_area_shape_height(m: Measures) -> Tensor:
    return columns(*_sizes(m), m["total_height"].log(), m["group"])


def _volume_area_shape(m: Measures) -> Tensor:
    return columns(*_sizes(m), m["total_height"].log(), m["density"].log(), m["group"])


add("mesquite-mesquite", _regression(_plain, logarithm=False))
add("mesquite-logmesquite", _regression(_logs))
add("mesquite-logmesquite_logvolume", _regression(_volume))
add("mesquite-logmesquite_logva", _regression(_volume_area))
add("mesquite-logmesquite_logvas", _regression(_volume_area_shape))
add("mesquite-logmesquite_logvash", _regression(_volume_area_shape_height))
