"""Posteriors whose numbers for each data point come from a source, free or amortized."""

from abc import abstractmethod

from torch import Tensor, nn

from nfbench.foundation.errors import InputError
from nfbench.kernels import kinds, shapes
from nfbench.posteriors.contract import LogJoint, Posterior


class SourcedPosterior(Posterior):
    """A posterior that is given by two rows of numbers for each data point, `base` and `theta`.

    A family says what it does with the numbers, and does not know whether they are free or amortized. The data points
    B of noise, or of z, are those of the features, or `points`. One row of features, or `points` = 1, serves any number
    of data points; noise for one data point serves every row. B = 0 gives empty results.

    Args:
        dim: D.
        noise_dim: N, numbers of noise that a draw takes.
        points: number of rows of a free posterior's numbers, B or 1.

    Attributes:
        source: features (B, F) or None -> base (B or 1, W) and theta (B or 1, P), which a family sets by
            `sources.source`.
    """

    source: nn.Module

    def __init__(self, dim: int, noise_dim: int, points: int = 1) -> None:
        super().__init__()
        self.dim, self.noise_dim, self.points = dim, noise_dim, points

    def rows(self, draws: Tensor, features: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
        """The numbers for some draws, after a check that these fit.

        Args:
            draws: noise (S, B, N) or z (S, B, D).
            features: of the encoder (B, F); None for a free posterior.
            name: of the draws in messages, ``noise`` or ``z``.

        Returns:
            Base (B or 1, W) and theta (B or 1, P).

        Raises:
            InputError: draws or features of another shape, dtype or device than the parameters ask for; features
                missing, or given to a free posterior.
        """
        if features is not None:
            shapes.check_features("posterior", name, draws, features)
        base, theta = self.source(features)
        self.check(draws, base, theta, name)
        return base, theta

    def check(self, draws: Tensor, base: Tensor, theta: Tensor, name: str) -> None:
        """Refuse draws that do not fit the numbers.

        Args:
            draws: noise (S, B, N) or z (S, B, D).
            base: (B or 1, W).
            theta: (B or 1, P).
            name: of the draws in the message, ``noise`` or ``z``.

        Raises:
            InputError: another number of axes, a size that does not fit, several dtypes or devices.
        """
        size = shapes.dimensions("posterior", name, draws)
        expected = self.noise_dim if name == "noise" else self.dim
        if size != expected:
            letter = "N" if name == "noise" else "D"
            message = f"posterior: {name} {tuple(draws.shape)} has {letter} = {size} numbers a draw"
            raise InputError(f"{message}: expected {letter} = {expected}")
        for rows_name, rows in (("base", base), ("theta", theta)):
            shapes.check_points("posterior", name, draws, rows_name, rows)
            kinds.check_kinds("posterior", name, draws, rows_name, rows)


class SourcePosterior(SourcedPosterior):
    """A posterior that draws and has a density by formulas in two rows of numbers, `base` and `theta`."""

    @abstractmethod
    def draw(self, noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Turn noise into draws and their log-density.

        Args:
            noise: standard normal (S, B, N); with one data point it serves every row of numbers.
            base: (B or 1, W).
            theta: (B or 1, P).

        Returns:
            z (S, B, D) and ln q(z) (S, B), in nats.
        """

    @abstractmethod
    def density(self, z: Tensor, base: Tensor, theta: Tensor) -> Tensor:
        """The log-density at points.

        Args:
            z: (S, B, D).
            base: (B or 1, W).
            theta: (B or 1, P).

        Returns:
            ln q(z) (S, B), in nats.
        """

    def forward(
        self, noise: Tensor, features: Tensor | None = None, log_joint: LogJoint | None = None
    ) -> tuple[Tensor, Tensor]:
        """Turn noise into draws and their log-density.

        Args:
            noise: standard normal (S, B, N), of the parameters' dtype.
            features: of the encoder (B, F); None for a free posterior.
            log_joint: ignored: the family does not follow the target's gradient.

        Returns:
            z (S, B, D) and ln q(z|x) (S, B), in nats.

        Raises:
            InputError: noise or features of another shape, dtype or device than the parameters ask for; features
                missing, or given to a free posterior.
        """
        base, theta = self.rows(noise, features, "noise")
        return self.draw(noise, base, theta)

    def log_prob(self, z: Tensor, features: Tensor | None = None) -> Tensor:
        """The log-density at any points.

        Args:
            z: (S, B, D); also (S, D) where there are no data points.
            features: of the encoder (B, F); None for a free posterior.

        Returns:
            ln q(z|x) in nats, (S, B); (S,) for z (S, D).

        Raises:
            InputError: z or features of another shape, dtype or device than the parameters ask for; features missing,
                or given to a free posterior.
        """
        if z.dim() == 2 and features is None and self.points == 1:
            return self.log_prob(z.unsqueeze(1)).squeeze(1)
        base, theta = self.rows(z, features, "z")
        return self.density(z, base, theta)
