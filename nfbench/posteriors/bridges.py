"""Densities between the base and the target, ln pi_m = (1 - b_m) ln q_0 + b_m ln p(x, z), up to constants."""

import torch
from torch import Tensor, nn


class Bridges(nn.Module):
    """Learned inverse temperatures 0 < b_1 < ... < b_M.

    Args:
        number: M.
        last: whether b_M is 1, the target itself; else it stays below 1.

    Attributes:
        raw: (M,) or (M + 1,), logits of the differences b_1, b_2 - b_1, ..., which are equal at the start.
    """

    def __init__(self, number: int, *, last: bool) -> None:
        super().__init__()
        self.number = number
        self.raw = nn.Parameter(torch.zeros(number + (not last)))

    def forward(self) -> Tensor:
        """The inverse temperatures.

        >>> Bridges(2, last=False)().tolist(), Bridges(2, last=True)().tolist()
        ([0.333..., 0.666...], [0.5, 1.0])

        Returns:
            b (M,), ascending.
        """
        ascending: Tensor = self.raw.softmax(-1).cumsum(-1)
        return ascending[: self.number]


def bridge_slope(z: Tensor, gradient: Tensor, base: Tensor, b: Tensor) -> Tensor:
    """The gradient of ln pi_m in z.

    Args:
        z: (S, B, D).
        gradient: of ln p(x, z), (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma of q_0.
        b: inverse temperature, ().

    Returns:
        (S, B, D).
    """
    mean, log_sigma = base.chunk(2, -1)
    return (1 - b) * (mean - z) * (-2 * log_sigma).exp() + b * gradient
