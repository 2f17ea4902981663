"""The deep latent Gaussian model with a diagonal posterior as the textbook has it, and its bare matrix products."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from nfbench.posteriors.contract import Identity
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.posteriors.sources import Amortized
from nfbench.targets.data_models.dlgm import DeepLatentGaussian
from nfbench.training.objective import Inference


class Maxout(nn.Module):
    """An affine layer and the largest of every four of its outputs.

    Args:
        inputs: numbers that come in.
        units: numbers that go out.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, 4 * units)

    def forward(self, x: Tensor) -> Tensor:
        largest: Tensor = self.affine(x).view(len(x), -1, 4).max(-1).values
        return largest


class Autoencoder(nn.Module):
    """Encoder, a head for mean and ln sigma, decoder: the layers of `DeepLatentGaussian` in torch's own modules.

    Args:
        pixels: of an image.
        hidden: units of each hidden layer.
        dim: D.
    """

    def __init__(self, pixels: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.encoder = Maxout(pixels, hidden)
        self.head = nn.Linear(hidden, 2 * dim)
        self.decoder = nn.Sequential(Maxout(dim, hidden), nn.Linear(hidden, pixels))

    def forward(self, noise: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Draw z = mean + sigma noise for each image, and evaluate both densities there.

        Args:
            noise: standard normal (B, D).
            x: binary images (B, pixels).

        Returns:
            ln q(z|x) and ln p(x, z), each (B,), in nats.
        """
        mean, log_sigma = self.head(self.encoder(x)).chunk(2, -1)
        z = mean + log_sigma.exp() * noise
        log_q = (-0.5 * noise.square() - log_sigma - 0.5 * math.log(2 * math.pi)).sum(-1)
        prior = (-0.5 * z.square() - 0.5 * math.log(2 * math.pi)).sum(-1)
        return log_q, prior - binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)


NAMES = {
    "encoder.affine": "target.encoder.0.affine",
    "head": "posterior.source.base",
    "decoder.0.affine": "target.hidden.0.affine",
    "decoder.1": "target.likelihood.logits",
}  # of a textbook layer -> of nfbench's


def autoencoder(model: Inference) -> Autoencoder | None:
    """The textbook form with a model's parameters; None where the model is of another kind.

    Args:
        model: target and posterior.

    Returns:
        A copy, with parameters of its own.
    """
    if not _fits(model):
        return None
    state = model.state_dict()
    weight = state["target.encoder.0.affine.weight"]
    written = Autoencoder(weight.shape[1], len(weight) // 4, model.target.dim).to(weight)
    written.load_state_dict({name: state[own_name(name)] for name in written.state_dict()})
    return written


def own_name(name: str) -> str:
    """What nfbench calls the textbook's parameter of that name.

    >>> own_name("decoder.1.bias")
    'target.likelihood.logits.bias'

    Args:
        name: of the textbook's parameter.

    Returns:
        Its name in a model of nfbench.
    """
    layer, _, kind = name.rpartition(".")
    return f"{NAMES[layer]}.{kind}"


def bare(model: Inference, batch: int) -> Callable[[], None] | None:
    """Nothing but the matrix products of one step with one draw a data point, and one optimizer pass.

    Of every layer y = x W^T: the product itself, that for the gradient of W, and, but for the layer that sees the data,
    that for the gradient of x. The optimizer is torch's fused Adam over tensors of the model's sizes.

    Args:
        model: target and posterior.
        batch: B, data points.

    Returns:
        One repetition; None where the model is of another kind.
    """
    if not _fits(model):
        return None
    params = [value.detach().clone().requires_grad_() for value in model.parameters()]
    for value in params:
        value.grad = torch.randn_like(value)
    optimizer = torch.optim.Adam(params, lr=1e-4, fused=True)
    layers = [_layer(state, batch) for state in _weights(model.state_dict()).items()]

    def run() -> None:
        with torch.no_grad():
            for x, weight, grad, first in layers:
                _ = x @ weight.mT, grad.mT @ x, None if first else grad @ weight
        optimizer.step()

    return run


def _weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if value.dim() == 2}


def _layer(named: tuple[str, Tensor], batch: int) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Inputs (B, I), weights (O, I), a gradient (B, O), and whether the inputs are data."""
    name, weight = named
    outputs, inputs = weight.shape
    return weight.new_ones(batch, inputs), weight, weight.new_ones(batch, outputs), name.startswith("target.encoder")


def _fits(model: Inference) -> bool:
    posterior, names = model.posterior, {name.rpartition(".")[0] for name in model.state_dict()}
    return (
        isinstance(model.target, DeepLatentGaussian)
        and names == set(NAMES.values())
        and len(model.state_dict()["target.hidden.0.affine.bias"]) == 4 * model.target.num_features
        and isinstance(posterior, FlowPosterior)
        and isinstance(posterior.flow, Identity)
        and isinstance(posterior.source, Amortized)
    )
