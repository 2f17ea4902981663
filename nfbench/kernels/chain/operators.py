"""A fused chain as a pair of operators that torch differentiates, traces and vectorises over seeds."""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.settings import backend
from nfbench.kernels import shapes
from nfbench.kernels.autograd import Node, once
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.kernels.dispatch import Chain, kernels, transformed


class Fused(NamedTuple):
    """What the kernels of a map are called by.

    Attributes:
        chain: `z (S, B, D), maps (B or 1, K, R) -> z_K (S, B, D), ln|det| (S, B)`.
        draw: `noise (S, B, D), base (B or 1, 2 D), theta (B or 1, K R), K -> z_K (S, B, D), ln q(z_K) (S, B)`: the same
            of draws of the base, which holds mean and ln sigma; theta are the maps' numbers as a source has them. K may
            be None: then it is what theta holds.
    """

    chain: Chain
    draw: Callable[[Tensor, Tensor, Tensor, int | None], tuple[Tensor, Tensor]]


def fused(name: str, reference: Chain, numbers: Callable[[int], int]) -> Fused:
    """A chain by the kernels that fit.

    These are the modules ``<name>.cpu`` and ``<name>.triton``. Where neither runs, `reference` does. Each has two
    functions, on groups of N draws that share their maps' numbers:

    - ``forward(z (G, N, D), maps (G, K, R)) -> z_K (G, N, D), ln|det| (G, N), kept (G, K, N)``,
    - ``backward(z_K, kept, maps, grad of z_K, grad of ln|det|) -> grad of z (G, N, D), grad of maps (G, K, R)``.

    What is kept for the backward pass is one number a draw and map. ``<name>.cpu`` has besides these `cpu.Chain.draw`
    and `undraw`, the same with the base.

    Args:
        name: of the map.
        reference: the chain in plain PyTorch; it also takes what has no draws or no data points.
        numbers: D -> R, how many numbers a map has.
    """

    def forward(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        results: tuple[Tensor, Tensor, Tensor] = _module(name, z).forward(z, maps)
        return results

    def backward(z: Tensor, kept: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor) -> tuple[Tensor, Tensor]:
        grads: tuple[Tensor, Tensor] = _module(name, z).backward(z, kept, maps, grad_z, grad_log_det)
        return grads

    first = torch.library.custom_op(f"nfbench::{name}", forward, mutates_args=())
    second = torch.library.custom_op(f"nfbench::{name}_backward", backward, mutates_args=())
    first.register_fake(_forward_shapes)
    second.register_fake(_backward_shapes)
    _differentiable(first, second)

    def chain(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_chain(name, z, maps, numbers(shapes.dimensions(name, "z", z)))
        kind = kernels(name, z, reference) if maps.shape[1] and z.numel() else None
        if kind is None:
            return reference(z, maps)
        # An operator costs 0.1 ms a call: where nothing traces or vectorises, autograd alone stands around the kernels.
        if not transformed():
            found: tuple[Tensor, Tensor] = _Direct.applied(_kernels_of(name, kind), z, maps)
            return found
        z_k, log_det, _ = first(_grouped(z, maps.shape[0]), maps)
        return _ungrouped(z_k, z.shape), _ungrouped(log_det, z.shape)

    def draw(noise: Tensor, base: Tensor, theta: Tensor, depth: int | None) -> tuple[Tensor, Tensor]:
        row, together = shapes.check_draw(name, noise, base, theta, numbers, depth)
        kind = kernels(name, noise, reference) if together and not transformed() else None
        if kind is None:
            z_0, log_q = diagonal.draw(noise, base)
            z, log_det = chain(z_0, _by_map(theta, row))
            return z, log_q - log_det
        loops = diagonal.loops(noise, base) if kind == "triton" else None
        module = _kernels_of(name, kind) if loops is None else _Apart(loops, _kernels_of(name, kind))
        found: tuple[Tensor, Tensor] = _Drawn.applied(module, noise, base, theta, row)
        return found

    return Fused(chain, draw)


class _Direct(Node):
    """A pair of kernels under autograd alone, from `z (S, B, D)` to `z_K (S, B, D), ln|det| (S, B)`."""

    @staticmethod
    def forward(ctx: Any, module: Any, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        z_k, log_det, kept = module.forward(_grouped(z, maps.shape[0]), maps)
        ctx.module, ctx.shape = module, z.shape
        ctx.save_for_backward(z_k, kept, maps)
        return _ungrouped(z_k, z.shape), _ungrouped(log_det, z.shape)

    @staticmethod
    @once
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[None, Tensor, Tensor]:
        z_k, kept, maps = ctx.saved_tensors
        grads = _grouped(grad_z, maps.shape[0]), _grouped(grad_log_det.unsqueeze(-1), maps.shape[0]).squeeze(-1)
        to_z, to_maps = ctx.module.backward(z_k, kept, maps, *grads)
        return None, _ungrouped(to_z, grad_z.shape).sum_to_size(ctx.shape), to_maps


class _Apart(NamedTuple):
    """`cpu.Chain.draw` and `undraw` by the base's own kernels and the chain's, one after the other."""

    loops: diagonal.Loops
    module: Any

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor, row: int) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        maps = _by_map(theta.detach(), row)
        z_0, log_q, sigma = self.loops.forward(noise, base)
        z_k, log_det, scalars = self.module.forward(_grouped(z_0, len(maps)), maps)
        log_q, kept = log_q - _ungrouped(log_det, noise.shape), (noise, sigma, z_k, scalars, maps)
        return _ungrouped(z_k, noise.shape), log_q, kept

    def undraw(
        self, kept: tuple[Tensor, ...], grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        noise, sigma, z_k, scalars, maps = kept
        points, to_log_det = len(maps), -grad_log_q.unsqueeze(-1)
        grads = _grouped(grad_z, points), _grouped(to_log_det, points).squeeze(-1)
        to_z, to_maps = self.module.backward(z_k, scalars, maps, *grads)
        to_z_0 = _ungrouped(to_z, noise.shape)
        back, to_base = self.loops.backward(noise, sigma, to_z_0, grad_log_q, to_noise=to_noise)
        return back, to_base, to_maps.flatten(1)


class _Drawn(Node):
    """Base and chain together: what is between them costs autograd as much as a small chain itself."""

    @staticmethod
    def forward(ctx: Any, module: Any, noise: Tensor, base: Tensor, theta: Tensor, row: int) -> tuple[Tensor, Tensor]:
        z, log_q, ctx.kept = module.draw(diagonal.for_each(noise, base), base, theta, row)
        ctx.module, ctx.shape = module, noise.shape
        ctx.save_for_backward(noise, z, theta)  # whose memory is among what is kept: so a change of them is noticed
        return z, log_q

    @staticmethod
    @once
    def backward(ctx: Any, grad_z: Tensor, grad_log_q: Tensor) -> tuple[None, Tensor | None, Tensor, Tensor, None]:
        _ = ctx.saved_tensors  # fails where one has changed
        found = ctx.module.undraw(ctx.kept, grad_z, grad_log_q, to_noise=ctx.needs_input_grad[1])
        to_noise, to_base, to_theta = found
        return None, None if to_noise is None else to_noise.sum_to_size(ctx.shape), to_base, to_theta, None


@functools.cache
def _kernels_of(name: str, kind: str) -> Any:
    return importlib.import_module(f"nfbench.kernels.{name}.{kind}")


def _module(name: str, z: Tensor) -> Any:
    kind = "triton" if z.device.type == "cuda" or backend() == "triton" else "cpu"
    return _kernels_of(name, kind)


def _forward_shapes(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    groups, draws, _ = z.shape
    return z.new_empty(z.shape), z.new_empty(groups, draws), z.new_empty(groups, maps.shape[1], draws)


def _backward_shapes(
    z: Tensor, kept: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor
) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), maps.new_empty(maps.shape)


def _grouped(z: Tensor, batch: int) -> Tensor:
    """`z (S, B, D) -> (G, N, D)`: the N draws of a group share their numbers, which come for `batch` data points.

    One group of all S B draws where the numbers serve every data point (batch = 1), else a group for each.
    """
    if batch > 1:
        return z.expand(z.shape[0], batch, z.shape[2]).transpose(0, 1)
    return z.reshape(1, z.shape[0] * z.shape[1], z.shape[2])


def _by_map(theta: Tensor, row: int) -> Tensor:
    """`(B or 1, K R) -> (B or 1, K, R)`."""
    return theta.reshape(theta.shape[0], theta.shape[1] // row, row)


def _ungrouped(values: Tensor, shape: torch.Size) -> Tensor:
    """`(G, N, ...) -> (S, B, ...)` with `shape` starting (S, B): the inverse of `_grouped`."""
    if values.shape[0] == 1:
        return values.reshape(shape[0], shape[1], *values.shape[2:])
    return values.transpose(0, 1)


def _differentiable(first: Any, second: Any) -> None:
    """Make the first operator differentiable by the second, and both usable under vmap."""

    def setup(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[0], output[2], inputs[1])

    def differentiate(ctx: Any, grad_z: Tensor, grad_log_det: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        grads: tuple[Tensor, Tensor] = second(*ctx.saved_tensors, grad_z, grad_log_det)
        return grads

    first.register_autograd(differentiate, setup_context=setup)
    for operator in (first, second):
        operator.register_vmap(folding(operator))


def folding(operator: Callable[..., Any]) -> Callable[..., Any]:
    """The vmap rule that turns seeds into groups, which all tensors of the operator have in front."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Any, Any]:
        seeds = info.batch_size
        folded = []
        for tensor, at in zip(tensors, in_dims, strict=True):
            lifted = tensor.expand(seeds, *tensor.shape) if at is None else tensor.movedim(at, 0)
            folded.append(lifted.reshape(seeds * lifted.shape[1], *lifted.shape[2:]))
        results = operator(*folded)
        if isinstance(results, Tensor):
            return results.reshape(seeds, results.shape[0] // seeds, *results.shape[1:]), 0
        found = tuple(part.reshape(seeds, part.shape[0] // seeds, *part.shape[1:]) for part in results)
        return found, (0,) * len(found)

    return rule
