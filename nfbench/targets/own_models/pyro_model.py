"""A target that is a Pyro model of the user's: ``pyro:my.py::model``.

The model is a function without arguments, its data inside. z holds the unconstrained numbers of its latent variables in
the order of the model, by the maps of ``torch.distributions.biject_to``, whose Jacobians are a part of the density. The
sha256 of the file, and of the files that it imports from its own folder, is a part of a cell's identity.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nfbench.specification import sources
from nfbench.targets.own_models.entries import Named, open_models
from nfbench.targets.own_models.libraries import imported
from nfbench.targets.own_models.model import OwnModel
from nfbench.targets.own_models.pyro_density import PyroDensity
from nfbench.targets.own_models.python_files import model_function, split, without_arguments

_EXAMPLE = "pyro:my.py::model"


class PyroTarget(OwnModel):
    """The posterior of a Pyro model's latent variables, up to the evidence of its data.

    All draws are one vectorised call, by `torch.vmap` of the model, so that a model need not know of them.

    Args:
        model: a function with Pyro's sample statements, or file and name of one, such as ``my.py::model``.

    Attributes:
        dim: D, the unconstrained numbers of all latent variables.
        names: of the numbers that `constrain` gives: latent variables and deterministic sites.

    Raises:
        InputError: Pyro is not installed, there is no such model, or it is no density over continuous variables: one
            line with the file's line, the point z and the first site that is not finite.
    """

    def __init__(self, model: str | Callable[[], Any]) -> None:
        owner = f"target 'pyro:{model}'" if isinstance(model, str) else "the Pyro model"
        imported(owner, "pyro", "pyro-ppl")
        if isinstance(model, str):
            path, name = split(model, owner, _EXAMPLE)
            function = model_function(path, name, owner)
        else:
            function = without_arguments(model, owner)
        self._density = PyroDensity(function, owner)
        super().__init__(owner, self._every, self._density.dim)
        self.names = self._density.names
        self.probe()

    def constrain(self, z: Tensor) -> Tensor:
        """The latent variables and the deterministic sites of the model.

        Args:
            z: (n, D).

        Returns:
            (n, C), with the columns that `names` lists.
        """
        return self.mapped(torch.vmap(self._density.constrain), z)

    def first_not_finite(self, z: Tensor) -> str | None:
        with torch.no_grad():
            return self._density.first_not_finite(z)

    def _every(self, z: Tensor) -> Tensor:
        """`z (..., D) -> (...)`, one vectorised call of the model for all draws."""
        flat: Tensor = torch.vmap(self._density.log_joint)(z.reshape(-1, self._density.dim))
        return flat.reshape(z.shape[:-1])


def _look(text: str, owner: str) -> Named:
    path, name = split(text, owner, _EXAMPLE)
    return Named(path, f"{path.stem}::{name}", sources.of_file(path))


open_models("pyro", _EXAMPLE, _look, PyroTarget)
