"""The textbook form: what is written from the paper, a module a map, with its own constraint and log-determinant.

Written apart from the package's kernels, in torch's own operations over all draws at once, and with no step that a
careful author would not take. Numbers for each data point come as what an inference network puts out, one tensor
(B, K, D) a kind, of which each map takes its slice: so it is published (van den Berg et al. 2018, released code, and
what was made from it). The contender `split` has instead a tensor of its own for each map, which nothing has to slice.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Inputs, Work
from nfbench.timing.contenders.form import Form, Model, Setting

FORMS: dict[str, Form] = {}


class Chain(nn.Module):
    """A diagonal Gaussian and the layers after it, in a Python loop: `noise (S, B, D) -> z (S, B, D), ln q (S, B)`."""

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
        """`z (S, B, D) -> ln q (S, B)` for layers that have an inverse."""
        log_det = z.new_zeros(())
        for layer in reversed(self.layers):
            z, change = cast(Invertible, layer).inverse(z)
            log_det = log_det + change
        return self._base((z - self.mean) * (-self.log_sigma).exp()) + log_det

    def _base(self, noise: Tensor) -> Tensor:
        return -(0.5 * noise.square() + self.log_sigma + 0.5 * math.log(2 * math.pi)).sum(-1)


class Sliced(nn.Module):
    """K maps whose numbers lie in one tensor (B, K, size) a kind: each takes its slice, forward and back."""

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
        """`z' -> z, ln|det dz/dz'|`."""


class Planar(nn.Module):
    """f(z) = z + u_hat tanh(w.z + b), ln|det| = ln|1 + u_hat.psi| with psi = (1 - tanh^2) w (eq. 10-12, App. A.1)."""

    def __init__(self, w: nn.Parameter, u: nn.Parameter, b: nn.Parameter) -> None:
        super().__init__()
        self.w, self.u, self.b = w, u, b

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.map(z, self.w, self.u, self.b)

    @staticmethod
    def map(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """`z (S, B, D), w and u (D,) or (B, D), b (1,) or (B, 1) -> f(z), ln|det|`."""
        wu = (w * u).sum(-1, keepdim=True)
        u_hat = u + (softplus(wu) - 1 - wu) * w / w.square().sum(-1, keepdim=True)
        h = torch.tanh((z * w).sum(-1, keepdim=True) + b)
        along = (1 - h.square()) * (w * u_hat).sum(-1, keepdim=True)
        return z + u_hat * h, torch.log(torch.abs(1 + along)).squeeze(-1)


class Radial(Invertible):
    """f(z) = z + beta h (z - c), h = 1/(alpha + r), alpha = softplus(a), beta = softplus(b) - alpha (eq. 14, App. A.2).

    ln|det| = (D - 1) ln(1 + beta h) + ln(1 + beta h - beta h^2 r).
    """

    def __init__(self, centre: nn.Parameter, a: nn.Parameter, b: nn.Parameter) -> None:
        super().__init__()
        self.centre, self.a, self.b = centre, a, b

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.map(z, self.centre, self.a, self.b)

    @staticmethod
    def map(z: Tensor, centre: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """`z (S, B, D), centre (D,) or (B, D), a and b (1,) or (B, 1) -> f(z), ln|det|`."""
        alpha = softplus(a)
        beta = softplus(b) - alpha
        offset = z - centre
        r = offset.norm(dim=-1, keepdim=True)
        h = 1 / (alpha + r)
        return z + beta * h * offset, Radial._log_det(r, h, beta, z.shape[-1])

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """|z' - c| = r (1 + beta h) is a quadratic equation in r."""
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
    """f(z) = z's coordinates in another order."""

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
    """f(z) = z M, M orthogonal."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self.matrix, z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self.matrix.mT, z.new_zeros(())


class Coupling(Invertible):
    """f(z) = (z_A, z_B + shift(z_A)), the shift a network with one hidden tanh layer (eq. 18)."""

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


def textbook(family: str, numbers: Callable[[Setting], list[Tensor]], per_map: int) -> Callable[..., None]:
    """Decorate the layers of a family, ``(setting, numbers of each map) -> layers``, to make its form known.

    Args:
        family: its registered name.
        numbers: the family's learned tensors, made from nfbench's.
        per_map: how many of them a map has.
    """

    def decorate(layers: Callable[[Setting, list[list[nn.Parameter]]], list[nn.Module]]) -> None:
        def model(setting: Setting, learned: list[nn.Parameter]) -> Model:
            base, maps = form.grouped(learned, per_map)
            return _drawing(Chain(base[0], base[1], layers(setting, maps)))

        FORMS[family] = Form(numbers, model)

    return decorate


def sliced(written: Form, function: Callable[..., tuple[Tensor, Tensor]], *sizes: int | None) -> Form:
    """The form in which data points that have numbers of their own find them in one tensor a kind.

    Args:
        written: the family's form, which stays what it is where one set of numbers serves all points.
        function: a map, ``(z, its numbers) -> f(z), ln|det|``.
        sizes: of a map's numbers, kind by kind; None stands for D.
    """

    def numbers(setting: Setting) -> list[Tensor]:
        if setting.points == 1:
            return written.numbers(setting)
        widths = [setting.dim if size is None else size for size in sizes]
        theta = setting.state["source.theta"].reshape(setting.points, setting.depth, sum(widths))
        return setting.base + list(torch.split(theta, widths, -1))

    def model(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
        if setting.points == 1 or setting.depth == 0:
            return written.model(setting, learned)
        return _drawing(Chain(learned[0], learned[1], [Sliced(function, learned[2:])]))

    return Form(numbers, model)


def _drawing(chain: Chain) -> Model:
    invertible = all(isinstance(layer, Invertible) for layer in chain.layers)
    return Model(chain, chain.log_prob if invertible else None)


@textbook("gaussian", lambda setting: setting.base, 1)
def _gaussian(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    return []


@textbook("planar", form.planar, 3)
def _planar(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    return [Planar(*numbers) for numbers in maps]


@textbook("radial", form.radial, 3)
def _radial(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    return [Radial(*numbers) for numbers in maps]


@textbook("nice", form.couplings, 4)
def _nice(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    orders = form.orders(setting)
    mixing = map(Permutation, orders) if orders is not None else map(Rotation, form.mixing(setting))
    couplings = [Coupling(*numbers) for numbers in maps]
    return [layer for pair in zip(mixing, couplings, strict=True) for layer in pair]


SLICED = {
    "planar": sliced(FORMS["planar"], Planar.map, None, None, 1),
    "radial": sliced(FORMS["radial"], Radial.map, None, 1, 1),
}


def eager(case: Case, inputs: Inputs) -> Work | None:
    """The textbook form, run operation by operation.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.
    """
    return form.work(case, inputs, FORMS | SLICED)
