"""What the chains share where every draw has numbers of its own: how many points go together, and their scratch."""

from typing import Any

from nfbench.kernels.simd.arithmetic import inlined
from nfbench.kernels.simd.vector import narrow, store

width, load, _, _ = narrow

LANES = 8  # points, whole vectors of them
AHEAD = 2  # maps that are on their way from memory


@inlined
def take(points: Any, side: Any, numbers: Any, first: Any, size: Any) -> None:
    """Numbers `(G, D)` of points from `first` on, each followed by zeros: one before that was NaN has left it there."""
    dim = numbers.shape[1]
    for j in range(size):
        points[j * side : j * side + dim] = numbers[first + j]
        points[j * side + dim : (j + 1) * side] = numbers.dtype.type(0)


@inlined
def within(block: Any, share: Any, points: Any, depth: Any) -> Any:
    """Of LANES points from `block` on those of a share: the first, how many, and where what is kept of them lies.

    A number for each point of a block lies map by map, whatever part of the block a share has: `apart` numbers are
    from one map to the next.
    """
    first, stop = max(block, share[1]), min(block + LANES, share[2])
    return first, stop - first, block * depth + first - block, min(LANES, points - block)


@inlined
def keep(kept: Any, at: Any, by: Any, place: Any, size: Any) -> None:
    """`size` scalars from `place` on are kept."""
    vector = width(by)
    for j in range(0, size, vector):
        store(kept, at + j, min(vector, size - j), load(by, place + j, vector))


@inlined
def recall(kept: Any, at: Any, by: Any, place: Any, size: Any) -> None:
    """The way back of `keep`; the scalars of points that are not there are zeros."""
    vector = width(by)
    for j in range(0, LANES, vector):
        store(by, place + j, vector, load(kept, at + j, min(vector, size - j)))
