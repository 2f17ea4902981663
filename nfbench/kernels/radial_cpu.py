"""Radial chains on the CPU: which loops run, and in how many threads. Contract: `operators.fused`."""

from torch import Tensor

from nfbench.kernels import radial_loops as loops
from nfbench.kernels import radial_points as points
from nfbench.kernels.memory import empty
from nfbench.kernels.threads import FEW, Part, combined, parts, together


def forward(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`z (G, N, D), maps (G, K, D + 2) -> z_K (G, N, D), ln|det| (G, N), r (G, K, N)`."""
    (groups, draws, dim), depth = z.shape, maps.shape[1]
    z, maps = z.detach().contiguous(), maps.detach().contiguous()
    out, log_det, r = (empty(*shape, like=z) for shape in (z.shape, z.shape[:2], (groups, depth, draws)))
    arguments = [one.numpy() for one in (z, maps, out, log_det, r)]

    def work(index: int, part: Part) -> None:
        if draws == 1:
            single = z[:, 0], maps, out[:, 0], log_det[:, 0], r[..., 0]
            points.forward(*(one.numpy() for one in single), *part.groups)
        elif draws < FEW:
            loops.dimensions_forward(*arguments, *part.groups)
        else:
            loops.draws_forward(*arguments, *part.groups, *part.draws)

    together(work, parts(groups, draws, depth * dim))
    return out, log_det, r


def backward(z: Tensor, r: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in z and maps from z_K and the radii, with which z_{k-1} is rebuilt going down."""
    (groups, draws, dim), depth = z.shape, maps.shape[1]
    given = [one.detach().contiguous() for one in (z, r, maps, grad_z, grad_log_det)]
    arguments = [one.numpy() for one in given]
    to_z = empty(*z.shape, like=z)
    shares = parts(groups, draws, 2 * depth * dim)
    to_maps = combined(shares, maps)

    def work(index: int, part: Part) -> None:
        own = to_maps[index % len(to_maps)]
        if draws == 1:
            single = given[0][:, 0], given[1][..., 0], given[2], given[3][:, 0], given[4][:, 0], to_z[:, 0], own
            points.backward(*(one.numpy() for one in single), *part.groups)
        elif draws < FEW:
            loops.dimensions_backward(*arguments, to_z.numpy(), own.numpy(), *part.groups)
        else:
            loops.draws_backward(*arguments, to_z.numpy(), own.numpy(), *part.groups, *part.draws)

    together(work, shares)
    return to_z, to_maps.sum(0) if len(to_maps) > 1 else to_maps[0]
