"""A deep latent Gaussian model of binary observations, with one stochastic layer (paper, Sec 6.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nfbench.kernels.maxout import largest
from nfbench.numerics import standard_normal_log_prob
from nfbench.targets.base import LatentVariableModel, Splits

_WINDOW = 4


class Maxout(nn.Module):
    """An affine map to `4 * units` numbers, then Maxout(x)_k = max of x_i over i in [4k, 4(k+1)) (paper, Sec 6.2)."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, _WINDOW * units)

    def forward(self, x: Tensor) -> Tensor:
        """`x (..., inputs) -> (..., units)`."""
        # Units before rows: the maximum then runs over whole rows of memory instead of four neighbours.
        y = torch.addmm(self.affine.bias.unsqueeze(1), self.affine.weight, x.reshape(-1, x.shape[-1]).mT)
        windows = y.reshape(len(y) // _WINDOW, _WINDOW, y.shape[1])
        return largest(windows).mT.reshape(*x.shape[:-1], -1)


class DeepLatentGaussian(LatentVariableModel):
    """ln p(x, z) = ln N(z; 0, I) + sum_i [x_i l_i - softplus(l_i)], with logits l = affine(maxout(z)) for binary x.

    The encoder trunk is one maxout layer too: the paper does not say how many layers it has, nor whether its 400 units
    are counted before the maximum or after; here `hidden` counts them after. Weights start as torch's linear layers do,
    except that the logits' bias is the log-odds of each pixel in the training images (one image of each kind added, so
    that it is finite): a usual choice, not the paper's.

    Args:
        dim: D, number of latent variables.
        hidden: units of each maxout layer, and F of `features`.
        observations: binary, rows of equal length.
        data: the protocol of the observations.
    """

    def __init__(self, dim: int, hidden: int, observations: Splits, data: str) -> None:
        super().__init__()
        self.dim = dim
        self.num_features = hidden
        self.data = data
        self.observations = observations
        pixels = observations.train.shape[-1]
        self.encoder = Maxout(pixels, hidden)
        self.hidden = Maxout(dim, hidden)
        self.logits = nn.Linear(hidden, pixels)
        ones = observations.train.sum(0)
        with torch.no_grad():
            self.logits.bias.copy_(torch.log((ones + 1) / (len(observations.train) - ones + 1)))

    def features(self, batch: Tensor) -> Tensor:
        features: Tensor = self.encoder(batch)
        return features

    def splits(self) -> Splits:
        return self.observations

    def log_joint(self, z: Tensor, batch: Tensor | None = None) -> Tensor:
        if batch is None:
            raise ValueError("a model of data needs a batch (B, pixels), got None")
        return standard_normal_log_prob(z) + self.log_likelihood(z, batch)

    def log_likelihood(self, z: Tensor, batch: Tensor) -> Tensor:
        """`z (S, B, D), batch (B, pixels) -> ln p(x|z) (S, B)`."""
        # Under autocast the logits come in bfloat16, too coarse for a sum over pixels.
        logits: Tensor = self.logits(self.hidden(z)).to(batch.dtype)
        return (batch * logits - functional.softplus(logits)).sum(-1)
