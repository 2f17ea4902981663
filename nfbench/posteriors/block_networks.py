"""Block networks: monotone in each coordinate and autoregressive at once (De Cao, Titov & Aziz 2019, Sec 4).

Each of D coordinates has `a` units in every hidden tanh layer. A weight matrix consists of D x D blocks: those on the
diagonal are positive, exp(.), those below it are free, those above it are zero. So f_i increases in z_i and depends on
z_1 .. z_i only: df/dz is triangular, and ln df_i/dz_i adds up through the layers by logsumexp over the units of block
i. Rows are normalised, w = e^g v / |v|. The context of a data point enters as a bias of the first hidden layer.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from nfbench.foundation.numerics import implicit_root
from nfbench.kernels.dispatch import differentiated
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost


class Layer(NamedTuple):
    """One layer of one network, with a units of each coordinate coming in and b going out.

    Attributes:
        weight: (D b, D a), its blocks applied.
        bias: (D b) or (B or 1, D b).
        log_diagonal: (D, b, a), ln of the blocks on the diagonal.
    """

    weight: Tensor
    bias: Tensor
    log_diagonal: Tensor


class BlockNetworks(nn.Module):
    """K block networks with stacked weights.

    Args:
        depth: K.
        dim: D.
        units: a, of each coordinate in each hidden layer.
        layers: L, hidden layers, at least 1.
        context: C, numbers of context for each data point; 0: none.

    Attributes:
        v: of each of L + 1 layers, (K, D b, D a), rows before they are normalised and blocks before exp, from N(0, 1).
        g: of each layer, (K, D b), ln of the rows' lengths, from ln U(0, 1).
        biases: of each layer, (K, D b), from N(0, 2) in the first layer and 0 in the others.
        w_context: (K, C, D a), weights of the context, from N(0, 1/C).
    """

    def __init__(self, depth: int, dim: int, units: int, layers: int, context: int) -> None:
        super().__init__()
        self.depth, self.dim, self.units, self.layers, self.context = depth, dim, units, layers, context
        sizes = [1, *(units for _ in range(layers)), 1]
        pairs = self.pairs = list(zip(sizes[1:], sizes[:-1], strict=True))  # (b, a) of each layer
        self.v = nn.ParameterList(torch.randn(depth, dim * b, dim * a) for b, a in pairs)
        self.g = nn.ParameterList(torch.rand(depth, dim * b).clamp_min(1e-3).log() for b, _ in pairs)
        spread = [math.sqrt(2)] + layers * [0.0]
        self.biases = nn.ParameterList(
            width * torch.randn(depth, dim * b) for width, (b, _) in zip(spread, pairs, strict=True)
        )
        self.w_context = nn.Parameter(torch.randn(depth, context, dim * units) / math.sqrt(max(1, context)))

    def networks(self, context: Tensor) -> list[list[Layer]]:
        """The layers of the K networks, their weights made for all networks at once.

        Args:
            context: (B or 1, C).

        Returns:
            L + 1 layers of each of K networks.
        """
        made = [self._layers(number, context) for number in range(self.layers + 1)] if self.depth else [[]]
        return [list(layers) for layers in zip(*made, strict=True)]

    def _layers(self, number: int, context: Tensor) -> list[Layer]:
        """Layer `number` of every network."""
        (b, a), dim = self.pairs[number], self.dim
        v, g, bias = self.v[number], self.g[number], self.biases[number]
        block = torch.arange(dim, device=v.device)
        row, column = block.repeat_interleave(b)[:, None], block.repeat_interleave(a)
        below, diagonal = row > column, row == column
        rows = torch.where(diagonal, torch.where(diagonal, v, 0.0).exp(), torch.where(below, v, 0.0))
        log_length = rows.square().sum(-1, keepdim=True).log() / 2
        weights = rows * (g.unsqueeze(-1) - log_length).exp()
        raw = v.reshape(self.depth, dim, b, dim, a).diagonal(dim1=1, dim2=3).movedim(-1, 1)
        log_diagonal = raw + (g.unsqueeze(-1) - log_length).reshape(self.depth, dim, b, 1)
        biases = bias.unbind(0)
        if number == 0 and self.context:
            biases = (bias.unsqueeze(1) + context @ self.w_context).unbind(0)  # (B or 1, D a) each
        return list(map(Layer, weights.unbind(0), biases, log_diagonal.unbind(0)))

    def cost(self, *, gradient: bool) -> MapCost:
        """The cost of one network, counted as `Identity.cost` counts that of the base.

        A layer from a to b units of each coordinate has W = a b D (D + 1) / 2 weights, a b D of them on the diagonal.
        Numbers: weights, lengths and biases once, and C D a of the context; with gradient read again and their gradient
        written. Flops a draw: the products 2 W, tanh and ln of its derivative 6 a unit, logsumexp 3 for each weight on
        the diagonal; with gradient twice that again. A row: the context's product 2 C D a, with gradient 4 C D a more.
        The weights: squares, sums and scale 3 W, exp on the diagonal; with gradient twice that again.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of context, and of the shared weights.
        """
        D, pairs = self.dim, self.pairs
        diagonal = sum(a * b * D for b, a in pairs)
        weights = sum(a * b * D * (D + 1) // 2 for b, a in pairs)
        of_context = self.context * D * self.units
        times = 3 if gradient else 1
        draw = 2 * weights + 6 * self.layers * D * self.units + 3 * diagonal
        numbers = weights + 2 * sum(b * D for b, _ in pairs) + of_context
        shared = Cost(times * numbers, times * (3 * weights + diagonal))
        return MapCost(Cost(0, times * draw), Cost(0, times * 2 * of_context), shared)


def apply(layers: list[Layer], z: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a network.

    Args:
        layers: of the network.
        z: (S, B, D).

    Returns:
        f (S, B, D) and ln df_i/dz_i (S, B, D).
    """
    first, *others = layers
    h = _affine(z, first.weight, first.bias)
    log_slopes = first.log_diagonal.squeeze(-1)  # (S, B, D, a) from here on; here the same for all draws
    for layer in others:
        units, bent = tanh_and_log_slope(h)
        log_slopes = log_slopes + bent.unflatten(-1, log_slopes.shape[-2:])  # type: ignore[no-untyped-call]
        h = _affine(units, layer.weight, layer.bias)
        log_slopes = (log_slopes.unsqueeze(-2) + layer.log_diagonal).logsumexp(-1)
    return h, log_slopes.squeeze(-1)


def solve(layers: list[Layer], right: Tensor, by_f: Tensor, by_z: Tensor) -> Tensor:
    """Solve by_f f(z) + by_z z = right for z, coordinate by coordinate, each by a root of one number.

    The units of the coordinates before are known then; those of coordinate i follow from z_i by the diagonal blocks.
    The last layer's units lie between -1 and 1, which brackets the root.

    Args:
        layers: of the network.
        right: (S, B, D).
        by_f: a positive number, ().
        by_z: a positive number, ().

    Returns:
        z (S, B, D), differentiable in all arguments by the implicit function theorem.
    """
    dim = right.shape[-1]
    before: list[list[Tensor]] = [[] for _ in layers]  # what comes into each layer, coordinate by coordinate
    for i in range(dim):
        known, blocks = [], []
        for layer, h in zip(layers, before, strict=True):
            b, a = layer.log_diagonal.shape[1:]
            bias = layer.bias[..., i * b : (i + 1) * b].expand(*right.shape[:2], b)
            rows = layer.weight[i * b : (i + 1) * b]
            known.append(bias + torch.cat(h, -1) @ rows[:, : i * a].mT if h else bias)
            blocks.append(rows[:, i * a : (i + 1) * a])
        reach = blocks[-1].sum()
        ends = [(right[..., i] - by_f * (known[-1][..., 0] + sign * reach)) / by_z for sign in (1, -1)]

        def equation(
            t: Tensor, i: int = i, known: list[Tensor] = known, blocks: list[Tensor] = blocks
        ) -> tuple[Tensor, Tensor]:
            *_, (f, slope) = _block(t, known, blocks)
            return by_f * f[..., 0] + by_z * t - right[..., i], by_f * slope[..., 0] + by_z

        root = implicit_root(equation, ends[0], ends[1])
        for h, (value, _) in zip(before[1:], _block(root, known, blocks), strict=False):
            h.append(value.tanh())
        before[0].append(root.unsqueeze(-1))
    return torch.cat(before[0], -1)


def tanh_and_log_slope(a: Tensor) -> tuple[Tensor, Tensor]:
    """Compute tanh(a) and ln tanh'(a) = 2 (ln 2 - |a| - softplus(-2 |a|)), finite however large a is.

    >>> tanh_and_log_slope(torch.tensor([0.0, 1e4]))[1].tolist()
    [0.0, -19998.61328125]

    Args:
        a: of any shape.

    Returns:
        Both of the shape of a.
    """
    if torch.compiler.is_compiling() or differentiated():
        return _tanh_and_log_slope(a)
    both: tuple[Tensor, Tensor] = _Tanh.apply(a)  # type: ignore[no-untyped-call]
    return both


def _tanh_and_log_slope(a: Tensor) -> tuple[Tensor, Tensor]:
    size = a.abs()
    return a.tanh(), 2 * (math.log(2) - size - softplus(-2 * size))


class _Tanh(torch.autograd.Function):
    """`tanh_and_log_slope`, whose gradient needs the first result only: ln tanh' falls by 2 tanh."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> tuple[Tensor, Tensor]:
        return _tanh_and_log_slope(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[0])

    @staticmethod
    def backward(ctx: Any, to_tanh: Tensor, to_log_slope: Tensor) -> Tensor:
        (units,) = ctx.saved_tensors
        gradient: Tensor = to_tanh - units * (units * to_tanh + 2 * to_log_slope)
        return gradient


def _block(t: Tensor, known: list[Tensor], blocks: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Of coordinate i at z_i = t (S, B), each layer's sums before tanh and their derivatives in t, (S, B, b) both."""
    h, slope, results = t.unsqueeze(-1), torch.ones_like(t).unsqueeze(-1), []
    for number, (bias, block) in enumerate(zip(known, blocks, strict=True)):
        if number:
            h = h.tanh()
            slope = slope * (1 - h.square())
        h, slope = h @ block.mT + bias, slope @ block.mT
        results.append((h, slope))
    return results


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The product x weight^T + bias of `x (S, B, i), weight (o, i), bias (o) or (B or 1, o)`."""
    return linear(x, weight, bias) if bias.dim() == 1 else x @ weight.mT + bias
