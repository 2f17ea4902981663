"""The layers of the textbook form: a module a map, each with its own constraint and log-determinant (`textbook`)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus


class Chain(nn.Module):
    """A diagonal Gaussian and the layers after it, in a Python loop: `noise (S, B, D) -> z (S, B, D), ln q (S, B)`.

    Args:
        mean: of the base, (D,) or (B, D).
        log_sigma: ln of its standard deviations, likewise.
        layers: the maps, the first one first.
    """

    def __init__(self, mean: nn.Parameter, log_sigma: nn.Parameter, layers: list[nn.Module]) -> None:
        super().__init__()
        self.mean = mean
        self.log_sigma = log_sigma
        self.layers = nn.ModuleList(layers)

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = self.mean + self.log_sigma.exp() * noise
        log_q = self._base(noise)
        for layer in self.layers:
            z, log_det = layer(z)
            log_q = log_q - log_det
        return z, log_q

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at any points, for layers that all have an inverse.

        Args:
            z: (S, B, D).

        Returns:
            ln q(z) (S, B), in nats.
        """
        log_det = z.new_zeros(())
        for layer in reversed(self.layers):
            z, change = cast(Invertible, layer).inverse(z)
            log_det = log_det + change
        return self._base((z - self.mean) * (-self.log_sigma).exp()) + log_det

    def _base(self, noise: Tensor) -> Tensor:
        return -(0.5 * noise.square() + self.log_sigma + 0.5 * math.log(2 * math.pi)).sum(-1)


class Sliced(nn.Module):
    """K maps whose numbers lie in one tensor (B, K, size) a kind: each takes its slice, forward and back.

    Args:
        function: a map, ``(z, its numbers) -> f(z), ln|det|``.
        numbers: (B, K, size), one tensor a kind.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, Tensor]], numbers: list[nn.Parameter]) -> None:
        super().__init__()
        self.function = function
        self.numbers = nn.ParameterList(numbers)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(())
        for k in range(self.numbers[0].shape[1]):
            z, change = self.function(z, *(number[:, k] for number in self.numbers))
            log_det = log_det + change
        return z, log_det


class Invertible(nn.Module, ABC):
    """A layer with an inverse in closed form."""

    @abstractmethod
    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `forward`.

        Args:
            z: z' = f(z), (S, B, D).

        Returns:
            z (S, B, D) and ln|det dz/dz'| (S, B), or () where it is 0 everywhere.
        """


class Planar(nn.Module):
    """f(z) = z + u_hat tanh(w.z + b), ln|det| = ln|1 + u_hat.psi| with psi = (1 - tanh^2) w (eq. 10-12, App. A.1).

    Args:
        w: (D,).
        u: (D,), before the constraint.
        b: (1,).
    """

    def __init__(self, w: nn.Parameter, u: nn.Parameter, b: nn.Parameter) -> None:
        super().__init__()
        self.w, self.u, self.b = w, u, b

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.map(z, self.w, self.u, self.b)

    @staticmethod
    def map(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the map.

        Args:
            z: (S, B, D).
            w: (D,) or (B, D).
            u: (D,) or (B, D), before the constraint.
            b: (1,) or (B, 1).

        Returns:
            f(z) (S, B, D) and ln|det| (S, B).
        """
        wu = (w * u).sum(-1, keepdim=True)
        u_hat = u + (softplus(wu) - 1 - wu) * w / w.square().sum(-1, keepdim=True)
        h = torch.tanh((z * w).sum(-1, keepdim=True) + b)
        along = (1 - h.square()) * (w * u_hat).sum(-1, keepdim=True)
        return z + u_hat * h, torch.log(torch.abs(1 + along)).squeeze(-1)


class Radial(Invertible):
    """f(z) = z + beta h (z - c), h = 1/(alpha + r), alpha = softplus(a), beta = softplus(b) - alpha (eq. 14, App. A.2).

    ln|det| = (D - 1) ln(1 + beta h) + ln(1 + beta h - beta h^2 r).

    Args:
        centre: (D,).
        a: (1,).
        b: (1,).
    """

    def __init__(self, centre: nn.Parameter, a: nn.Parameter, b: nn.Parameter) -> None:
        super().__init__()
        self.centre, self.a, self.b = centre, a, b

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.map(z, self.centre, self.a, self.b)

    @staticmethod
    def map(z: Tensor, centre: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the map.

        Args:
            z: (S, B, D).
            centre: (D,) or (B, D).
            a: raw alpha, (1,) or (B, 1).
            b: raw beta, (1,) or (B, 1).

        Returns:
            f(z) (S, B, D) and ln|det| (S, B).
        """
        alpha = softplus(a)
        beta = softplus(b) - alpha
        offset = z - centre
        r = offset.norm(dim=-1, keepdim=True)
        h = 1 / (alpha + r)
        return z + beta * h * offset, Radial._log_det(r, h, beta, z.shape[-1])

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `forward`: |z' - c| = r (1 + beta h) is a quadratic equation in r.

        Args:
            z: z' = f(z), (S, B, D).

        Returns:
            z (S, B, D) and ln|det dz/dz'| (S, B).
        """
        alpha = softplus(self.a)
        beta = softplus(self.b) - alpha
        offset = z - self.centre
        length = offset.norm(dim=-1, keepdim=True)
        half = 0.5 * (length - alpha - beta)
        r = half + torch.sqrt(half.square() + alpha * length)
        h = 1 / (alpha + r)
        return self.centre + offset / (1 + beta * h), -self._log_det(r, h, beta, z.shape[-1])

    @staticmethod
    def _log_det(r: Tensor, h: Tensor, beta: Tensor, dim: int) -> Tensor:
        across, along = 1 + beta * h, 1 + beta * h - beta * h.square() * r
        return ((dim - 1) * torch.log(across) + torch.log(along)).squeeze(-1)


class Permutation(Invertible):
    """f(z) = z's coordinates in another order.

    Args:
        order: (D,), places in z.
    """

    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[..., self.order], z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[..., self.back], z.new_zeros(())


class Rotation(Invertible):
    """f(z) = z M, M orthogonal.

    Args:
        matrix: M (D, D).
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self.matrix, z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self.matrix.mT, z.new_zeros(())


class Coupling(Invertible):
    """f(z) = (z_A, z_B + shift(z_A)), the shift a network with one hidden tanh layer (eq. 18).

    Args:
        w_in: (H, A).
        b_in: (H,), or (B, H) where each data point has its own.
        w_out: (D - A, H).
        b_out: (D - A,).
    """

    def __init__(self, w_in: nn.Parameter, b_in: nn.Parameter, w_out: nn.Parameter, b_out: nn.Parameter) -> None:
        super().__init__()
        self.w_in, self.b_in, self.w_out, self.b_out = w_in, b_in, w_out, b_out

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        fixed, moved = z.tensor_split([self.w_in.shape[1]], -1)
        return torch.cat([fixed, moved + self._shift(fixed)], -1), z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        fixed, moved = z.tensor_split([self.w_in.shape[1]], -1)
        return torch.cat([fixed, moved - self._shift(fixed)], -1), z.new_zeros(())

    def _shift(self, fixed: Tensor) -> Tensor:
        shared = self.b_in.dim() == 1
        inputs = linear(fixed, self.w_in, self.b_in) if shared else linear(fixed, self.w_in) + self.b_in
        return linear(torch.tanh(inputs), self.w_out, self.b_out)
