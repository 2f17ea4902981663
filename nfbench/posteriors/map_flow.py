"""Flows whose K maps have one form: theta split into the numbers of each map, shapes checked, costs added up."""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from nfbench.kernels import shapes
from nfbench.posteriors.contract import Flow, Identity
from nfbench.posteriors.cost import Cost, combine

Chain = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class MapCost(NamedTuple):
    """The least work of one map of a chain, the base's apart.

    Attributes:
        draw: for each draw.
        row: for each row of theta.
        shared: once, for weights that all data points share.
    """

    draw: Cost
    row: Cost
    shared: Cost = Cost(0, 0)


class ChainFlow(Flow):
    """K maps of one form whose family computes the whole chain: shapes checked, costs added up.

    A family says what `chain` and `chain_inverse` do with the numbers of all maps, and gives `initial` and `map_cost`.

    Attributes:
        name: the family, as messages begin.
    """

    checks = True
    name: str

    @abstractmethod
    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Push points through the chain.

        Args:
            z: (S, B, D).
            maps: the numbers of all maps, in the shape that the class says.

        Returns:
            z_K (S, B, D) and ln|det dz_K/dz| (S, B).
        """

    @abstractmethod
    def chain_inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `chain`.

        Args:
            z: z_K (S, B, D).
            maps: as of `chain`.

        Returns:
            z (S, B, D) and ln|det dz/dz_K| (S, B).
        """

    @abstractmethod
    def map_cost(self, *, gradient: bool) -> MapCost:
        """The cost of one map, counted as `Identity.cost` counts that of the base.

        Args:
            gradient: forward and backward, else forward alone.

        Returns:
            The costs for each draw, for each row of theta, and of what all data points share.
        """

    @abstractmethod
    def with_numbers(self, chain: Chain, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Call `chain` or `chain_inverse` with the numbers in theta.

        Args:
            chain: one of the two.
            z: (S, B, D).
            theta: (B or 1, P), which fits z.

        Returns:
            What it returns.
        """

    def forward(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow(self.name, z, theta, self.dim, self.num_params)
        return self.with_numbers(self.chain, z, theta)

    def inverse(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_flow(self.name, z, theta, self.dim, self.num_params)
        return self.with_numbers(self.chain_inverse, z, theta)

    def cost(self, draws: int, batch: int, points: int, *, gradient: bool) -> Cost:
        base = Identity(self.dim).cost(draws, batch, points, gradient=gradient)
        draw, row, shared = self.map_cost(gradient=gradient)
        one_map = combine((draws * batch, draw), (points, row), (1, shared))
        return combine((1, base), (self.depth, one_map))


class MapFlow(ChainFlow):
    """K maps with R numbers each for a data point: P = K R. A chain gets them as maps (B or 1, K, R).

    Args:
        dim: D.
        depth: K.
        numbers: R.
    """

    def __init__(self, dim: int, depth: int, numbers: int) -> None:
        super().__init__(dim, depth, depth * numbers)
        self.numbers = numbers

    def maps(self, theta: Tensor) -> Tensor:
        """Split theta into the numbers of each map.

        >>> from nfbench.posteriors.build import posterior
        >>> flow = posterior("planar:K=3", dim=2).flow
        >>> flow.maps(flow.initial().unsqueeze(0)).shape
        torch.Size([1, 3, 5])

        Args:
            theta: (B or 1, K R).

        Returns:
            (B or 1, K, R).
        """
        return theta.reshape(len(theta), self.depth, self.numbers)

    def with_numbers(self, chain: Chain, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return chain(z, self.maps(theta))


class Kernel(Protocol):
    """A chain of maps as functions of maps (B or 1, K, R): a module such as `nfbench.kernels.planar.reference`."""

    NAME: str

    def numbers(self, dim: int) -> int:
        """Count the numbers of a map.

        Args:
            dim: D.

        Returns:
            R.
        """

    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Push points through the chain.

        Args:
            z: (S, B, D).
            maps: (B or 1, K, R).

        Returns:
            z_K (S, B, D) and ln|det dz_K/dz| (S, B).
        """

    def inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `chain`.

        Args:
            z: z_K (S, B, D).
            maps: (B or 1, K, R).

        Returns:
            z (S, B, D) and ln|det dz/dz_K| (S, B).
        """

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
        """Draw from the diagonal base and push the draws through the chain.

        Args:
            noise: standard normal (S, B, D).
            base: (B or 1, 2 D), mean and ln sigma.
            theta: (B or 1, K R), the numbers of all maps.
            depth: K; None: theta's width divided by R.

        Returns:
            z_K (S, B, D) and ln q(z_K) (S, B), in nats.

        Raises:
            InputError: tensors that do not fit each other, of several dtypes or on several devices.
        """


class KernelFlow(MapFlow):
    """K maps that a kernel computes, base and chain at once; a family adds `initial` and `map_cost`.

    Args:
        dim: D.
        depth: K.

    Attributes:
        kernel: the functions that compute the chain.
    """

    checks = True
    kernel: Kernel

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__(dim, depth, self.kernel.numbers(dim))
        self.name = self.kernel.NAME

    def chain(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernel.chain(z, maps)

    def chain_inverse(self, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernel.inverse(z, maps)

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernel.draw(noise, base, theta, self.depth)
