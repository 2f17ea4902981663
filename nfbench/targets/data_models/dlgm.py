"""A deep latent Gaussian model with one stochastic layer (Rezende et al. 2014; Rezende & Mohamed 2015, Sec 6.2, 6.3).

z ~ N(0, I) in D dimensions; a deterministic network, the decoder, turns z into the parameters of p(x|z). A second
network, the encoder, turns x into features for amortized posteriors.
"""

import itertools
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nfbench.data.load import load
from nfbench.data.observations import Observations
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.kernels.layers.maxout import maxout
from nfbench.specification.registry import register_target
from nfbench.targets.contract import LatentVariableModel, Splits, Target
from nfbench.targets.data_models.likelihoods import KINDS

Activation = Literal["maxout", "relu", "softplus", "tanh"]
Count = Annotated[int, Field(ge=1)]

_ACTIVATIONS = {"relu": nn.ReLU, "softplus": nn.Softplus, "tanh": nn.Tanh}


class Maxout(nn.Module):
    """An affine map to `window * units` numbers, then the largest of each window (paper, Sec 6.2: windows of 4).

    Args:
        inputs: width of the input.
        units: width of the output.
        window: how many neighbours compete.
    """

    def __init__(self, inputs: int, units: int, window: int = 4) -> None:
        super().__init__()
        self.window = window
        self.affine = nn.Linear(inputs, window * units)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Args:
            x: (..., inputs).

        Returns:
            (..., units).
        """
        most = maxout(x.reshape(-1, x.shape[-1]), self.affine.weight, self.affine.bias, self.window)
        return most.reshape(*x.shape[:-1], -1)


class DeepLatentGaussian(LatentVariableModel):
    """The model ln p(x, z) = ln N(z; 0, I) + ln p(x|z) with a decoder and an encoder of deterministic layers.

    Weights start as torch's linear layers do, the bias of the decoder's last layer as its likelihood says.

    Args:
        dim: D, number of latent variables.
        hidden: units of each deterministic layer after its non-linearity; F, the width of the encoder's features.
        observations: the data; binary ones get a Bernoulli likelihood, grey levels a logit-normal one.
        layers: number of deterministic layers of the encoder, and of the decoder.
        activation: their non-linearity.
        window: how many neighbours compete in maxout.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        observations: Observations,
        *,
        layers: int = 1,
        activation: Activation = "maxout",
        window: int = 4,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.num_features = hidden
        self.data = observations.protocol
        self.observations = observations
        self.shape = observations.shape
        self.redraws = observations.redraw is not None
        first = observations.observe(observations.train, stream(0, "start"))
        self.encoder = _network(first.shape[-1], hidden, layers, activation, window)
        self.hidden = _network(dim, hidden, layers, activation, window)
        self.likelihood = KINDS[observations.values](hidden, first)
        widest = window * hidden if activation == "maxout" else hidden
        self.width = dim + widest + self.likelihood.width

    def features(self, batch: Tensor) -> Tensor:
        features: Tensor = self.encoder(batch)
        return features

    def splits(self) -> Splits:
        return Splits(self.observations.train, self.observations.valid, self.observations.test)

    def observe(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        return self.observations.observe(rows, generator)

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        if batch is None:
            raise ValueError("a model of data needs a batch (B, pixels), got None")
        return self.log_prior(z) + self.log_likelihood(z, batch)

    def log_likelihood(self, z: Tensor, batch: Tensor) -> Tensor:
        """Evaluate ln p(x|z).

        Args:
            z: (S, B, D).
            batch: observations (B, pixels).

        Returns:
            (S, B), in nats.
        """
        return self.likelihood.log_prob(self.hidden(self.checked(z)), batch)

    def mean(self, z: Tensor) -> Tensor:
        return self.likelihood.centre(self.hidden(self.checked(z)))


def _network(inputs: int, units: int, layers: int, activation: Activation, window: int) -> nn.Sequential:
    """A network `(..., inputs) -> (..., units)` of so many deterministic layers."""
    sizes = [inputs, *[units] * layers]
    pairs = list(itertools.pairwise(sizes))
    if activation == "maxout":
        return nn.Sequential(*(Maxout(before, after, window) for before, after in pairs))
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(before, after), _ACTIVATIONS[activation]()) for before, after in pairs)
    )


@register_target(
    "dlgm", label="{data} (D={dim})", cite="Rezende et al. 2014; Rezende & Mohamed 2015, Sec 6.2", year=2014
)
def dlgm(
    data: str = "digits",
    *,
    merge_valid: bool = False,
    dequantise: bool = False,
    dim: Count = 40,
    layers: Count = 1,
    hidden: Count = 400,
    counted: Literal["after", "before"] = "after",
    activation: Activation = "maxout",
    window: Annotated[int, Field(ge=2)] = 4,
) -> Target:
    """Deep latent Gaussian model of images under any data protocol ('nfbench data ls').

    Args:
        data: name of a data protocol.
        merge_valid: validation images are trained on, where the protocol has that option.
        dequantise: noise is added between the grey levels, where the protocol has that option.
        dim: D, number of latent variables.
        layers: deterministic layers of the encoder, and of the decoder; the paper does not say how many.
        hidden: units of each of these layers.
        counted: whether `hidden` counts units after maxout or before it, which the paper leaves open.
        activation: non-linearity of the deterministic layers.
        window: how many neighbours compete in maxout.

    Returns:
        The model, its weights drawn from torch's own generator.

    Raises:
        InputError: `hidden`, counted before maxout, is no multiple of `window`; an unknown protocol; missing data.
    """
    observations = load(data, merge_valid=merge_valid, dequantise=dequantise)
    units = hidden
    if counted == "before" and activation == "maxout":
        units, rest = divmod(hidden, window)
        if rest or not units:
            raise InputError(f"target 'dlgm': hidden={hidden}, counted before maxout: expected a multiple of {window}")
    return DeepLatentGaussian(dim, units, observations, layers=layers, activation=activation, window=window)
