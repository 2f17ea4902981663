"""Couplings: a map moves some coordinates elementwise, by numbers that a network computes from the others.

z = (z_A, z_B), A the first D - D//2 coordinates: z_B' = h(z_B; network(z_A)), z_A' = z_A, and ln|det| = sum ln h'. The
inverse is that of h. Then the coordinates turn, (z_A, z_B') -> (z_B', z_A): the halves swap where D is even, and where
it is odd all coordinates move in turn; after K maps they turn back. No mask multiplies anything.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from nfbench.posteriors.context_flow import ContextFlow
from nfbench.posteriors.cost import Cost, combine
from nfbench.posteriors.map_flow import MapCost
from nfbench.posteriors.networks import Conditioner, Networks


class CouplingFlow(ContextFlow):
    """K couplings; a family says how coordinates move (`move`), back as well, and what that costs (`move_cost`).

    Args:
        dim: D, at least 2: one coordinate has no other to be moved by.
        depth: K.
        numbers: R, how many numbers a network computes for each coordinate that it moves.
        hidden: H, units of each hidden layer.
        layers: hidden layers of each network.
        context: C, numbers for each data point that the networks see; 0: none.

    Attributes:
        networks: the K networks, from |A| coordinates to R |B| numbers.

    Raises:
        InputError: `dim` is 1.
    """

    def __init__(self, dim: int, depth: int, numbers: int, hidden: int, layers: int, context: int) -> None:
        super().__init__(dim, depth, context, least=2)
        self.moved = dim // 2
        self.networks = Networks(depth, dim - self.moved, numbers * self.moved, hidden, layers, context)

    @abstractmethod
    def move(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Move coordinates elementwise.

        Args:
            z: (S, B, |B|).
            numbers: (S, B, R |B|), of the network.

        Returns:
            The coordinates after the map and ln of the derivative of each, (S, B, |B|) both.
        """

    @abstractmethod
    def move_back(self, z: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `move`.

        Args:
            z: the coordinates after the map (S, B, |B|).
            numbers: (S, B, R |B|), of the network.

        Returns:
            The coordinates before the map and ln of the derivative of this inverse for each, (S, B, |B|) both.
        """

    @abstractmethod
    def move_cost(self, *, gradient: bool) -> int:
        """Count the flops of `move` for one coordinate of one draw, the sum of ln of the derivatives included.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            Flops.
        """

    def conditioners(self, context: Tensor) -> list[Conditioner]:
        """The K networks.

        Args:
            context: (B or 1, P).

        Returns:
            K functions of z_A (S, B, |A|) that return numbers (S, B, R |B|).
        """
        return self.networks.conditioners(context)

    def chain(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for network in self.conditioners(context):
            z, change = self.couple(z, network)
            log_det = log_det + change
        return self._turned(z, -1), log_det

    def couple(self, z: Tensor, network: Conditioner) -> tuple[Tensor, Tensor]:
        """One coupling, after which the coordinates turn.

        Args:
            z: (S, B, D).
            network: computes the numbers of those that move.

        Returns:
            The moved coordinates, then the others (S, B, D), and ln|det| (S, B).
        """
        seen, moving = z[..., : -self.moved], z[..., -self.moved :]
        moved, log_slopes = self.move(moving, network(seen))
        return torch.cat([moved, seen], -1), log_slopes.sum(-1)

    def chain_inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self._turned(z, 1), z.new_zeros(z.shape[:-1])
        for network in reversed(self.conditioners(context)):
            moved, seen = z[..., : self.moved], z[..., self.moved :]
            back, log_slopes = self.move_back(moved, network(seen))
            z = torch.cat([seen, back], -1)
            log_det = log_det + log_slopes.sum(-1)
        return z, log_det

    def _turned(self, z: Tensor, direction: int) -> Tensor:
        """Coordinates turned K times by |B| places, to the right for 1, to the left for -1."""
        places = self.depth * self.moved % self.dim
        return z.roll(direction * places, -1) if places else z

    def map_cost(self, *, gradient: bool) -> MapCost:
        """A network (`Networks.cost`) and what `move_cost` says of each coordinate that moves; turning costs nothing.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of the shared weights.
        """
        draw, row, shared = self.networks.cost(gradient=gradient)
        moves = Cost(0, self.moved * self.move_cost(gradient=gradient))
        return MapCost(combine((1, draw), (1, moves)), row, shared)
