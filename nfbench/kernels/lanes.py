"""What the chains share where every draw has numbers of its own: how many points go together, and their scratch."""

from typing import Any

from nfbench.kernels.arithmetic import inlined

LANES = 8  # points, whole vectors of them
AHEAD = 2  # maps that are on their way from memory


@inlined
def take(points: Any, side: Any, numbers: Any, first: Any, size: Any) -> None:
    """Numbers `(G, D)` of points from `first` on, each followed by zeros: one before that was NaN has left it there."""
    dim = numbers.shape[1]
    for j in range(size):
        points[j * side : j * side + dim] = numbers[first + j]
        points[j * side + dim : (j + 1) * side] = numbers.dtype.type(0)
