"""LANES data points, each with one draw and numbers of its own, that go through a chain together; compiled.

What is scalar in a map (an activation, a softplus) fills a vector when it is done for LANES points at once. Scratch
memory holds the points one after the other, each padded with zeros to whole vectors; the scalars of LANES points lie
side by side. One activation for each point and map is saved for the way back.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.simd.vector import narrow, store

width, load, _, _ = narrow

LANES = 8  # points that go together, a multiple of the vectors' width
AHEAD = 2  # maps: so far ahead their numbers are asked for from memory


@inlined
def take(points: Any, side: Any, numbers: Any, first: Any, size: Any) -> None:
    """Copy points from `numbers (G, D)` to scratch memory.

    Args:
        points: scratch (LANES side,); the padding is set to zero anew, as a point before may have left NaN there.
        side: D rounded up to whole vectors.
        numbers: (G, D).
        first: the first point.
        size: how many points.
    """
    dim = numbers.shape[1]
    for j in range(size):
        points[j * side : j * side + dim] = numbers[first + j]
        points[j * side + dim : (j + 1) * side] = numbers.dtype.type(0)


@inlined
def give(points: Any, side: Any, numbers: Any, first: Any, size: Any) -> None:
    """Copy points from scratch memory back to an array: `take` the other way.

    Args:
        points: scratch (LANES side,).
        side: D rounded up to whole vectors.
        numbers: (G, D), written.
        first: the first point.
        size: how many points.
    """
    dim = numbers.shape[1]
    for j in range(size):
        numbers[first + j] = points[j * side : j * side + dim]


@inlined
def intersect_block(block: Any, share: Any, points: Any, depth: Any) -> Any:
    """Intersect a block of LANES points with a share.

    Activations `(G K,)` are saved block after block, in a block map after map, in a map point after point, whatever
    part of the block a share has.

    Args:
        block: the block's first point.
        share: a `Share`; its groups are points.
        points: G, all points.
        depth: K.

    Returns:
        The first point that is in both, how many are, the index of the first point's activation in the first map, and
        the stride from one map's activation to the next one's.
    """
    first, stop = max(block, share[1]), min(block + LANES, share[2])
    return first, stop - first, block * depth + first - block, min(LANES, points - block)


@inlined
def upward(first: Any, k: Any, depth: Any, row: Any) -> Any:
    """Which maps are at work in step k of K + 1 on the way up: the step ends map k - 1 and begins map k.

    Args:
        first: a data point.
        k: 0 to K; the first step only begins a map, the last one only ends one.
        depth: K.
        row: R, how many numbers a map has.

    Returns:
        The index of the numbers of the map that ends, for this point; how many numbers further those of the map that
        begins are; and how many further those are that should be asked for from memory now.
    """
    ending, beginning = max(k - 1, 0), min(k, depth - 1)
    ahead = k + AHEAD - ending
    ahead = (ahead if k + AHEAD < depth else ahead + (LANES - 1) * depth) * row
    return (first * depth + ending) * row, (beginning - ending) * row, ahead


@inlined
def downward(first: Any, k: Any, depth: Any, row: Any) -> Any:
    """Which maps are at work in step k = K - 1 to -1 on the way down: the step ends map k + 1 and begins map k.

    Args:
        first: a data point.
        k: the first step, K - 1, only begins a map; the last one, -1, only ends one.
        depth: K.
        row: R, how many numbers a map has.

    Returns:
        What `upward` returns, and the number of the map that begins (0 in the last step).
    """
    ending, beginning = min(k + 1, depth - 1), max(k, 0)
    ahead = k - AHEAD - ending
    ahead = (ahead if k >= AHEAD else ahead + (LANES + 1) * depth) * row
    return (first * depth + ending) * row, (beginning - ending) * row, ahead, beginning


@inlined
def save(activations: Any, at: Any, scalars: Any, place: Any, size: Any) -> None:
    """Save the activations of some points in one map.

    Args:
        activations: (G K,), written.
        at: index in `activations` of the first point's activation in this map.
        scalars: scratch, in rows of LANES numbers.
        place: index in `scalars` of the activations' row.
        size: how many points.
    """
    vector = width(scalars)
    for j in range(0, size, vector):
        store(activations, at + j, min(vector, size - j), load(scalars, place + j, vector))


@inlined
def recall(activations: Any, at: Any, scalars: Any, place: Any, size: Any) -> None:
    """Load what `save` saved; the scalars of lanes without a point become zero.

    Args:
        activations: (G K,).
        at: index in `activations` of the first point's activation in this map.
        scalars: scratch, in rows of LANES numbers, written.
        place: index in `scalars` of the activations' row.
        size: how many points.
    """
    vector = width(scalars)
    for j in range(0, LANES, vector):
        store(scalars, place + j, vector, load(activations, at + j, min(vector, size - j)))
