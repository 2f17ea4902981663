"""Points between radial maps computed anew from z_0, where a chain contracts so that they cannot be rebuilt from z_K.

Going down, z_{k-1} = c + r (z_k - c) / |z_k - c| multiplies what rounding made of z_k by r / |z_k - c|. A draw's
enlargement, the largest product of these factors over the maps it came down since its last exact point, says how many
times the rounding of one map its point is off by. Beyond `LIMIT` the point is taken from the way up.

`start` is the triple (x, base, sigma) that z_0 is made of: z_0 = mean + sigma x with base (G, 2 D), mean and ln sigma,
and sigma (G, D); where base has no rows z_0 is x.
"""

from typing import Any

from nfbench.kernels.compiler.decorators import inlined
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.cpu.tiles import fill, room
from nfbench.kernels.radial.reference import LIMIT
from nfbench.kernels.simd.arithmetic import softplus


@inlined
def enlarged(grown: Any, shrink: Any, radius: Any, one: Any, limit: Any) -> Any:
    """How far a draw's rounding is enlarged after one more map down.

    Args:
        grown: the enlargement before.
        shrink: r / |z - c|, or 0 where z = c.
        radius: r.
        one: 1, in the numbers' type.
        limit: `LIMIT`, in the numbers' type.

    Returns:
        max(grown, 1) shrink; more than the limit where the direction is lost: z = c and r > 0.
    """
    zero = one - one
    lost = shrink == zero and radius > zero
    return limit + one if lost else (grown if grown > one else one) * shrink


@inlined
def begin(start: Any, g: Any, x: Any, point: Any) -> None:
    """Write z_0 of one draw.

    Args:
        start: what z_0 is made of.
        g: the draw's group.
        x: the draw's row of `start[0]`, (D,).
        point: z_0 (D,), written.
    """
    _, base, sigma = start
    for d in range(x.shape[0]):
        point[d] = base[g, d] + sigma[g, d] * x[d] if base.shape[0] else x[d]


@inlined
def climb(point: Any, following: Any, centre: Any, alpha: Any, s: Any, radius: Any) -> None:
    """Move one draw up a map.

    Args:
        point: z before the map, (D,).
        following: z after the map, (D,), written.
        centre: c of the map, first in an array of at least D numbers.
        alpha: of the map.
        s: alpha + beta_hat of the map.
        radius: |z - c|.
    """
    q = (s - alpha) / (alpha + radius)
    for d in range(point.shape[0]):
        following[d] = point[d] + q * (point[d] - centre[d])


@inlined
def climb_tile(path: Any, start: Any, numbers: Any, r: Any, at: Any, g: Any, first: Any, size: Any) -> None:
    """Write the points of a tile of draws before each map of a chain.

    Args:
        path: (K D TILE,), written: z before map k as a tile (D TILE,) from k D TILE on.
        start: what z_0 is made of.
        numbers: the group's maps as (K, D + 2), with alpha and s in place of the raw numbers.
        r: activations (G K N,).
        at: index in r of the tile's first activation in the first map.
        g: the group.
        first: first draw of the tile.
        size: how many draws.
    """
    x, base, sigma = start
    side = path.shape[0] // numbers.shape[0]
    dim = side // TILE
    fill(path[:side], x.reshape(x.size), (g * x.shape[1] + first) * dim, size)
    if base.shape[0]:
        for d in range(dim):
            for n in range(d * TILE, d * TILE + size):
                path[n] = base[g, d] + sigma[g, d] * path[n]
    for k in range(numbers.shape[0] - 1):
        alpha, s = numbers[k, dim], numbers[k, dim + 1]
        for d in range(dim):
            here, there, c = k * side + d * TILE, (k + 1) * side + d * TILE, numbers[k, d]
            for n in range(size):
                q = (s - alpha) / (alpha + r[at + k * size + n])
                path[there + n] = path[here + n] + q * (path[here + n] - c)


@inlined
def path_of_tile(path: Any, start: Any, maps: Any, r: Any, g: Any, first: Any, size: Any) -> Any:
    """The points of a tile of draws before each map.

    Args:
        path: their memory (K D TILE,), or empty.
        start: what z_0 is made of.
        maps: (G, K, D + 2).
        r: activations (G K N,).
        g: the group.
        first: the tile's first draw.
        size: how many draws.

    Returns:
        The memory, as `climb_tile` fills it.
    """
    depth, dim, numbers = maps.shape[1], maps.shape[2] - 2, maps[g].copy()
    for k in range(depth):
        numbers[k, dim], numbers[k, dim + 1] = softplus(maps[g, k, dim]), softplus(maps[g, k, dim + 1])
    if not path.size:
        path = room(depth * dim * TILE, maps)
    climb_tile(path, start, numbers, r, (g * start[0].shape[1] + first) * depth, g, first, size)
    return path


@inlined
def put_back(tile: Any, exact: Any, scalars: Any, grown: Any, before: Any, size: Any) -> None:
    """Replace the points of those draws of a tile whose rounding was enlarged beyond `LIMIT`.

    Args:
        tile: (D TILE,), points after a map.
        exact: (D TILE,), points before that map: from its centre they have the right direction, and length r.
        scalars: of the tile's draws.
        grown: index in `scalars` of the row of enlargements; written: those above the limit become 1, the others what
            they were before the map.
        before: index in `scalars` of the row of enlargements before the map.
        size: how many draws.
    """
    limit, one = scalars.dtype.type(LIMIT), scalars.dtype.type(1)
    for d in range(tile.shape[0] // TILE):
        for n in range(size):
            at = d * TILE + n
            tile[at] = exact[at] if scalars[grown + n] > limit else tile[at]
    for n in range(size):
        scalars[grown + n] = one if scalars[grown + n] > limit else scalars[before + n]
