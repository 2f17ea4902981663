"""TILE draws held dimension by dimension, so that a vector has one dimension of several draws; compiled."""

from typing import Any

from nfbench.kernels.arithmetic import inlined
from nfbench.kernels.threads import TILE


@inlined
def fill(tile: Any, draws: Any) -> None:
    """`draws (N <= TILE, D)` into `tile (D TILE,)`; what the tile has besides, of other draws, becomes zero."""
    count, dim = draws.shape
    for d in range(dim):
        for n in range(count):
            tile[d * TILE + n] = draws[n, d]
        for n in range(count, TILE):
            tile[d * TILE + n] = tile.dtype.type(0)


@inlined
def empty(tile: Any, draws: Any) -> None:
    """The tile's draws into `draws (N <= TILE, D)`."""
    count, dim = draws.shape
    for n in range(count):
        for d in range(dim):
            draws[n, d] = tile[d * TILE + n]
