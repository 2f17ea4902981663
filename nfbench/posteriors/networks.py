"""Networks inside maps: K small tanh networks of one form with stacked weights, fully connected or autoregressive.

Every hidden layer has H tanh units, which stay bounded, so that no point far out overflows. The context c of a data
point (C numbers) enters as a bias of the first hidden layer, b_k + c U_k, the same c for all K networks, as in the code
of Kingma et al. (2016). The last layer starts at zero and is scaled by 1/sqrt(K H): a step of an optimizer then moves
what a chain of K maps computes about as far at every depth and width, and one learning rate serves them all.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nfbench.kernels.layers import affine, perceptron
from nfbench.posteriors.cost import Cost
from nfbench.posteriors.map_flow import MapCost


@dataclass(frozen=True)
class Conditioner:
    """A network with its context, a function of inputs (S, B, A) that returns outputs (S, B, O).

    Attributes:
        layers: weights (inputs, outputs) and biases (B or 1, outputs) of each layer, the last one without tanh.
    """

    layers: list[tuple[Tensor, Tensor]]

    def __call__(self, x: Tensor) -> Tensor:
        *more, first, last = self.layers
        for weight, bias in more:
            x = perceptron.layer(x, weight, bias).tanh()
        return perceptron.perceptron(x, *first, *last)

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """Weights and biases, layer by layer, of a network with one hidden layer; None for others."""
        if len(self.layers) != 2:
            return None
        (w_in, b_in), (w_out, b_out) = self.layers
        return w_in, b_in, w_out, b_out


class Networks(nn.Module):
    """K fully connected networks from A inputs to O outputs.

    Args:
        depth: K.
        inputs: A.
        outputs: O.
        hidden: H, units of each hidden layer.
        layers: L, hidden layers, at least 1.
        context: C, numbers of context for each data point; 0: none.

    Attributes:
        gain: the last layer is multiplied by gain / sqrt(K H).
        w_in: (K, A, H), weights of the first layer, from N(0, 2/A).
        b_in: (K, H), its biases, from N(0, 2): the units' hinges lie where a unit-scale base has its mass.
        w_context: (K, C, H), weights of the context, from N(0, 1/C).
        w_mid: (L - 1, K, H, H), weights of the layers between, from N(0, 1/H); None where L = 1.
        b_mid: (L - 1, K, 1, H), their biases, from 0; None where L = 1.
        w_out: (K, H, O), weights of the last layer before they are scaled, from 0.
        b_out: (K, O), its biases before they are scaled, from 0.
    """

    gain: ClassVar[float] = 1.0
    w_mid: nn.Parameter | None
    b_mid: nn.Parameter | None

    def __init__(self, depth: int, inputs: int, outputs: int, hidden: int, layers: int, context: int) -> None:
        super().__init__()
        self.depth, self.layers, self.hidden, self.context, self.outputs = depth, layers, hidden, context, outputs
        self.scale = self.gain / math.sqrt(hidden * max(1, depth))
        self.w_in = nn.Parameter(torch.randn(depth, inputs, hidden) * math.sqrt(2 / max(1, inputs)))
        self.b_in = nn.Parameter(torch.randn(depth, hidden) * math.sqrt(2))
        self.w_context = nn.Parameter(torch.randn(depth, context, hidden) / math.sqrt(max(1, context)))
        between = torch.randn(layers - 1, depth, hidden, hidden) / math.sqrt(hidden)
        self.w_mid = nn.Parameter(between) if layers > 1 else None
        self.b_mid = nn.Parameter(torch.zeros(layers - 1, depth, 1, hidden)) if layers > 1 else None
        self.w_out = nn.Parameter(torch.zeros(depth, hidden, outputs))
        self.b_out = nn.Parameter(torch.zeros(depth, outputs))

    def weights(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """The weights as the networks use them.

        Returns:
            First layer (K, A, H), layers between (L - 1, K, H, H) or None, and scaled last layer (K, H, O).
        """
        return self.w_in, self.w_mid, self.w_out * self.scale

    def last_biases(self, context: Tensor) -> Tensor:
        """The scaled biases of the last layer.

        Args:
            context: (B or 1, C).

        Returns:
            (B or 1, K, O).
        """
        return (self.b_out * self.scale).unsqueeze(0)

    def conditioners(self, context: Tensor) -> list[Conditioner]:
        """The K networks, first to last, with the context's part of the biases computed for all of them at once.

        >>> networks = Networks(depth=2, inputs=3, outputs=4, hidden=8, layers=1, context=5)
        >>> [network(torch.zeros(7, 1, 3)).shape for network in networks.conditioners(torch.zeros(1, 5))]
        [torch.Size([7, 1, 4]), torch.Size([7, 1, 4])]

        Args:
            context: (B or 1, C).

        Returns:
            K functions of inputs (S, B, A) that return (S, B, O).
        """
        return [Conditioner(layers) for layers in self.network_layers(context)]

    def network_layers(self, context: Tensor) -> list[list[tuple[Tensor, Tensor]]]:
        """The layers of the K networks.

        Args:
            context: (B or 1, C).

        Returns:
            Of each network, weights (inputs, outputs) and biases (B or 1, outputs) of each of L + 1 layers.
        """
        w_in, w_mid, w_out = self.weights()
        biases = _shifted(self.b_in, context, self.w_context)
        last = w_out.unbind(0), self.last_biases(context).unbind(-2)
        layers = [(w_in.unbind(0), biases.unbind(-2)), last]
        if w_mid is not None and self.b_mid is not None:
            layers[1:1] = [(w.unbind(0), b.unbind(0)) for w, b in zip(w_mid, self.b_mid, strict=True)]
        pairs = [list(zip(*layer, strict=True)) for layer in layers]
        return [list(one) for one in zip(*pairs, strict=True)]

    def products(self) -> tuple[int, int]:
        """Count the multiplications that draws need in one network, and those that the context needs.

        Returns:
            For each draw, and for each row of context.
        """
        inputs = self.w_in.shape[1]
        between = (self.layers - 1) * self.hidden**2
        return inputs * self.hidden + between + self.hidden * self.outputs, self.context * self.hidden

    def cost(self, *, gradient: bool) -> MapCost:
        """The cost of one network, counted as `Identity.cost` counts that of the base.

        With W weights that draws are multiplied by, U = C H of the context, L H hidden units and O outputs:

        Numbers: W + U + L H + O weights and biases, once; with gradient read again and their gradient written.

        Flops a draw: the products with their biases 2 W, tanh L H. With gradient also: their transposes 4 W - L H, and
        4 L H + O of what is elementwise or summed; hidden units count as kept. A row of context: 2 U, with gradient
        4 U more. Of the last layer's weights and biases: their scale, with gradient twice.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of context, and of the shared weights.
        """
        weights, of_context = self.products()
        units = self.layers * self.hidden
        numbers = weights + of_context + units + self.outputs
        scaled = self.last_weights() + self.outputs
        forward = 2 * weights + units
        if gradient:
            draw = Cost(0, forward + 4 * weights + 3 * units + self.outputs)
            return MapCost(draw, Cost(0, 6 * of_context), Cost(3 * numbers, 2 * scaled))
        return MapCost(Cost(0, forward), Cost(0, 2 * of_context), Cost(numbers, scaled))

    def last_weights(self) -> int:
        """Count the weights of the last layer of one network that draws are multiplied by.

        Returns:
            H O.
        """
        return self.hidden * self.outputs


class AutoregressiveNetworks(Networks):
    """K networks whose R outputs for coordinate i see the coordinates before i only (MADE; Germain et al. 2015).

    Hidden units have degrees 1 .. D - 1 in turn: a unit of degree d sees coordinates of degree d and lower, and output
    i sees units of lower degree than its own. Every second network counts coordinates from the last: so an order that
    is reversed after each map costs nothing. Weights are masked once for all draws. The context shifts the outputs
    too, c V_k, from V = 0, for the first coordinate's outputs see no unit.

    Args:
        depth: K.
        dim: D.
        numbers: R, outputs for each coordinate; output r of coordinate i lies at r D + i.
        hidden: H, units of each hidden layer.
        layers: L, hidden layers, at least 1.
        context: C, numbers of context for each data point; 0: none.

    Attributes:
        gain: 2: in 2000 updates 8 affine maps then come closer to `u1` than with a gain of 1 (KL .012, not .030).
        v_context: (K, C, R D), weights from the context to the outputs, before they are scaled.
        mask_in: (K, D, H), True where the first layer has a weight.
        mask_mid: (H, H), where the layers between have one.
        mask_out: (K, H, R D), where the last layer has one.
    """

    gain = 2.0
    mask_in: Tensor
    mask_mid: Tensor
    mask_out: Tensor

    def __init__(self, depth: int, dim: int, numbers: int, hidden: int, layers: int, context: int) -> None:
        super().__init__(depth, dim, numbers * dim, hidden, layers, context)
        self.v_context = nn.Parameter(torch.zeros(depth, context, numbers * dim))
        unit = 1 + torch.arange(hidden) % max(1, dim - 1)  # degrees
        forth, odd = 1 + torch.arange(dim), torch.arange(depth) % 2 == 1
        coordinate = torch.where(odd[:, None], forth.flip(0), forth)
        mask_out = unit[:, None] < coordinate[:, None, :]
        self.register_buffer("mask_in", coordinate[..., None] <= unit, persistent=False)
        self.register_buffer("mask_mid", unit[:, None] <= unit, persistent=False)
        self.register_buffer("mask_out", mask_out.repeat(1, 1, numbers), persistent=False)
        with torch.no_grad():
            self.w_in.mul_((dim / unit).sqrt())  # N(0, 2/d): a unit of degree d sees d coordinates
            if self.w_mid is not None:
                self.w_mid.mul_((hidden / self.mask_mid.sum(0)).sqrt())

    def weights(self) -> tuple[Tensor, Tensor | None, Tensor]:
        w_in, w_mid, w_out = super().weights()
        return w_in * self.mask_in, None if w_mid is None else w_mid * self.mask_mid, w_out * self.mask_out

    def last_biases(self, context: Tensor) -> Tensor:
        return _shifted(self.b_out * self.scale, context, self.v_context * self.scale)

    def products(self) -> tuple[int, int]:
        if not self.depth:
            return 0, 0
        between = (self.layers - 1) * int(self.mask_mid.sum())
        return int(self.mask_in[0].sum()) + between + self.last_weights(), self.context * (self.hidden + self.outputs)

    def last_weights(self) -> int:
        return int(self.mask_out[:1].sum())


def _shifted(biases: Tensor, context: Tensor, weight: Tensor) -> Tensor:
    """Biases (K, H) moved by the context of each data point, (K, H), (B or 1, C), (K, C, H) -> (B or 1, K, H)."""
    if context.shape[1] == 0:
        return biases.unsqueeze(0)
    depth, width, units = weight.shape
    return biases + (context @ weight.transpose(0, 1).reshape(width, depth * units)).reshape(-1, depth, units)


def moved_by(network: object, z: Tensor, form: affine.Form) -> tuple[Tensor, Tensor] | None:
    """An affine map whose numbers a network computes, in one pass over the draws, where the network has that form.

    Args:
        network: a `Conditioner` of the first coordinates, or another function.
        z: (S, B, D).
        form: of the map.

    Returns:
        What `nfbench.kernels.layers.affine.affine` does, (S, B, D) and (S, B); None for other networks.
    """
    weights = network.weights if isinstance(network, Conditioner) else None
    return None if weights is None else affine.affine(z, *weights, form)
