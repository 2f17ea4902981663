"""A fused chain of maps as functions of tensors that torch differentiates, traces and vectorises over seeds.

`fused` makes them for a map: `chain`, and `draw`, which begins with the base's noise. Plain calls go through nodes of
autograd's graph (`_Chain`, `_Draw`); under vmap or tracing they go through the custom operators ``nfbench::<map>`` and
``nfbench::<map>_gradients``, whose call costs 0.1 ms more.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nfbench.foundation.settings import backend
from nfbench.kernels import shapes
from nfbench.kernels.autograd import Node, by_kernel, keeps_graph
from nfbench.kernels.chain.groups import grouped, ungrouped
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.kernels.dispatch import Chain, differentiated, kernels, transformed

# torch keeps compiled graphs on disk by what was traced, not by what its custom operators are: another form of these
# operators needs another tag, or a graph of an earlier version of nfbench is run.
torch.compiler.config.cache_key_tag += "nfbench-chains-2;"


class Fused(NamedTuple):
    """The functions of a map that has kernels.

    Attributes:
        chain: of z (S, B, D) and maps (B or 1, K, R); returns z_K (S, B, D) and ln|det| (S, B).
        draw: of noise (S, B, D), base (B or 1, 2 D), theta (B or 1, K R) and K, or None for as many maps as theta has;
            returns z_K (S, B, D) and ln q(z_K) (S, B).
    """

    chain: Chain
    draw: Callable[[Tensor, Tensor, Tensor, int | None], tuple[Tensor, Tensor]]


def fused(name: str, reference: Chain, numbers: Callable[[int], int], *, restarts: bool = False) -> Fused:
    """Make the functions of a map from its kernels and its plain form.

    The kernels are the modules ``<name>.cpu`` and ``<name>.triton`` of `nfbench.kernels`. Each has two functions on
    groups of N draws that share their maps' numbers:

    - ``forward(z (G, N, D), maps (G, K, R)) -> z_K (G, N, D), ln|det| (G, N), activations (G, K, N)``,
    - ``backward(z_K, activations, maps, gradient in z_K, gradient in ln|det|) -> gradients in z (G, N, D), in maps
      (G, K, R)``; with z as one argument more where the module's ``RESTARTS`` is True.

    One activation for each map and draw is all that is saved for the way back, beside z_K and perhaps z.
    ``<name>.cpu`` has two functions more, ``draw`` and ``draw_backward`` (`chain.cpu.Chain`), which begin with the
    base's noise.

    Args:
        name: of the map and its folder.
        reference: the chain in plain PyTorch: it runs where no kernel does, and where there are no draws or points.
        numbers: the function D -> R, how many numbers a map has.
        restarts: whether ``RESTARTS`` is True in any of the map's modules: its operator then saves z.

    Returns:
        The map's chain and draw, which run the kernels where they can.
    """

    def forward(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        results: tuple[Tensor, Tensor, Tensor] = _operator_module(name, z).forward(z, maps)
        return results

    def backward(
        z: Tensor, activations: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor, z_0: Tensor
    ) -> tuple[Tensor, Tensor]:
        return _gradients(_operator_module(name, z), z_0, z, activations, maps, grad_z, grad_log_det)

    forward_operator = torch.library.custom_op(f"nfbench::{name}", forward, mutates_args=())
    backward_operator = torch.library.custom_op(f"nfbench::{name}_gradients", backward, mutates_args=())
    forward_operator.register_fake(_forward_shapes)
    backward_operator.register_fake(_backward_shapes)
    _differentiable(forward_operator, backward_operator, restarts=restarts)

    def chain(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        shapes.check_chain(name, z, maps, numbers(shapes.dimensions(name, "z", z)))
        kind = kernels(name, z, reference) if maps.shape[1] and z.numel() else None
        if kind is None:
            return reference(z, maps)
        if not transformed():
            results: tuple[Tensor, Tensor] = _Chain.applied(_kernels(name, kind), reference, z, maps)
            return results
        if differentiated():
            return reference(z, maps)
        z_k, log_det, _ = forward_operator(grouped(z, maps.shape[0]), maps)
        return ungrouped(z_k, z.shape), ungrouped(log_det, z.shape)

    def draw(noise: Tensor, base: Tensor, theta: Tensor, depth: int | None) -> tuple[Tensor, Tensor]:
        row, together = shapes.check_draw(name, noise, base, theta, numbers, depth)
        kind = kernels(name, noise, reference) if together and not transformed() else None
        if kind is None:
            z_0, log_q = diagonal.draw(noise, base)
            z, log_det = chain(z_0, _by_map(theta, row))
            return z, log_q - log_det
        loops = diagonal.loops(noise, base) if kind == "triton" else None
        module = _kernels(name, kind) if loops is None else _DrawThenChain(loops, _kernels(name, kind))
        results: tuple[Tensor, Tensor] = _Draw.applied(module, reference, noise, base, theta, row)
        return results

    return Fused(chain, draw)


class _Chain(Node):
    """The kernels of a module as a node of autograd's graph: z (S, B, D), maps -> z_K (S, B, D), ln|det| (S, B)."""

    @staticmethod
    def forward(ctx: Any, module: Any, reference: Chain, z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        z_k, log_det, activations = module.forward(grouped(z, maps.shape[0]), maps)
        ctx.module, ctx.reference, ctx.shape = module, reference, z.shape
        ctx.save_for_backward(z_k, activations, maps, z)
        return ungrouped(z_k, z.shape), ungrouped(log_det, z.shape)

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad_z: Tensor, grad_log_det: Tensor) -> tuple[None, None, Tensor, Tensor]:
        z_k, activations, maps, z = ctx.saved_tensors
        grads = grouped(grad_z, maps.shape[0]), grouped(grad_log_det.unsqueeze(-1), maps.shape[0]).squeeze(-1)
        to_z, to_maps = _gradients(ctx.module, grouped(z, maps.shape[0]), z_k, activations, maps, *grads)
        return None, None, ungrouped(to_z, grad_z.shape).sum_to_size(ctx.shape), to_maps

    @staticmethod
    def plain(ctx: Any) -> tuple[Chain, tuple[Tensor | None, ...]]:
        _, _, maps, z = ctx.saved_tensors
        return ctx.reference, (None, None, z, maps)


class _DrawThenChain(NamedTuple):
    """`draw` and `draw_backward` of `chain.cpu.Chain` by two modules, one after the other.

    Attributes:
        loops: draws from the base.
        module: kernels of the map, with ``forward`` and ``backward``.
    """

    loops: diagonal.Loops
    module: Any

    def draw(self, noise: Tensor, base: Tensor, theta: Tensor, row: int) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        maps = _by_map(theta.detach(), row)
        z_0, log_q, sigma = self.loops.forward(noise, base)
        start = grouped(z_0, len(maps))
        z_k, log_det, activations = self.module.forward(start, maps)
        start = start if self.module.RESTARTS else z_k  # what is saved anyway
        log_q, saved = log_q - ungrouped(log_det, noise.shape), (noise, sigma, start, z_k, activations, maps)
        return ungrouped(z_k, noise.shape), log_q, saved

    def draw_backward(
        self, saved: tuple[Tensor, ...], grad_z: Tensor, grad_log_q: Tensor, *, to_noise: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        noise, sigma, start, z_k, activations, maps = saved
        points, to_log_det = len(maps), -grad_log_q.unsqueeze(-1)
        grads = grouped(grad_z, points), grouped(to_log_det, points).squeeze(-1)
        to_z, to_maps = _gradients(self.module, start, z_k, activations, maps, *grads)
        to_z_0 = ungrouped(to_z, noise.shape)
        back, to_base = self.loops.backward(noise, sigma, to_z_0, grad_log_q, to_noise=to_noise)
        return back, to_base, to_maps.flatten(1)


class _Draw(Node):
    """Base and chain as one node of autograd's graph: a node each would cost a small chain's time more."""

    @staticmethod
    def forward(
        ctx: Any, module: Any, reference: Chain, noise: Tensor, base: Tensor, theta: Tensor, row: int
    ) -> tuple[Tensor, Tensor]:
        z, log_q, ctx.saved = module.draw(diagonal.for_each(noise, base), base, theta, row)
        ctx.module, ctx.reference, ctx.row, ctx.shape = module, reference, row, noise.shape
        ctx.save_for_backward(noise, z, theta, base)  # `saved` is on their memory: so torch notices if they are changed
        return z, log_q

    @staticmethod
    @by_kernel
    def backward(ctx: Any, grad_z: Tensor, grad_log_q: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises if one was changed in place
        grads = ctx.module.draw_backward(ctx.saved, grad_z, grad_log_q, to_noise=ctx.needs_input_grad[2])
        if not keeps_graph():
            ctx.saved = None  # as torch does with `saved_tensors`: the node itself lives as long as the loss
        to_noise, to_base, to_theta = grads
        to_noise = None if to_noise is None else to_noise.sum_to_size(ctx.shape)
        return None, None, to_noise, to_base, to_theta, None

    @staticmethod
    def plain(ctx: Any) -> tuple[Callable[..., tuple[Tensor, Tensor]], tuple[Tensor | None, ...]]:
        noise, _, theta, base = ctx.saved_tensors

        def draw(noise: Tensor, base: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
            z_0, log_q = diagonal.reference(noise, base)
            z, log_det = ctx.reference(z_0, _by_map(theta, ctx.row))
            return z, log_q - log_det

        return draw, (None, None, noise, base, theta, None)


@functools.cache
def _kernels(name: str, kind: str) -> Any:
    return importlib.import_module(f"nfbench.kernels.{name}.{kind}")


def _operator_module(name: str, z: Tensor) -> Any:
    """The kernels that an operator runs on z, which `dispatch.kernels` has let through."""
    kind = "triton" if z.device.type == "cuda" or backend() == "triton" else "cpu"
    return _kernels(name, kind)


def _gradients(module: Any, z: Tensor, *arguments: Tensor) -> tuple[Tensor, Tensor]:
    """A module's ``backward``, with z (G, N, D) as its last argument where the module restarts from it."""
    grads: tuple[Tensor, Tensor] = module.backward(*arguments, *((z,) if module.RESTARTS else ()))
    return grads


def _forward_shapes(z: Tensor, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    groups, draws, _ = z.shape
    return z.new_empty(z.shape), z.new_empty(groups, draws), z.new_empty(groups, maps.shape[1], draws)


def _backward_shapes(
    z: Tensor, activations: Tensor, maps: Tensor, grad_z: Tensor, grad_log_det: Tensor, z_0: Tensor
) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), maps.new_empty(maps.shape)


def _by_map(theta: Tensor, row: int) -> Tensor:
    """Split theta by maps, `(B or 1, K R) -> (B or 1, K, R)`; `row` is R."""
    return theta.reshape(theta.shape[0], theta.shape[1] // row, row)


def _differentiable(forward: Any, backward: Any, *, restarts: bool) -> None:
    """Register the backward operator as the gradient of the forward one, and vmap rules for both.

    The backward operator's last argument is z; where no module restarts from it, z_K, which is saved anyway, stands in.
    """

    def setup(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0] if restarts else output[0], output[0], output[2], inputs[1])

    def differentiate(ctx: Any, grad_z: Tensor, grad_log_det: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        z, *saved = ctx.saved_tensors
        grads: tuple[Tensor, Tensor] = backward(*saved, grad_z, grad_log_det, z)
        return grads

    forward.register_autograd(differentiate, setup_context=setup)
    for operator in (forward, backward):
        operator.register_vmap(folding(operator))


def folding(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Make the vmap rule of an operator whose tensors all have groups as their first axis: seeds become groups.

    E seeds of G groups are E G groups of one call.

    Args:
        operator: a custom operator of tensors, and of numbers that all seeds share.

    Returns:
        The rule, for the operator's `register_vmap`.
    """

    def rule(info: Any, in_dims: tuple[int | None, ...], *tensors: Any) -> tuple[Any, Any]:
        seeds = info.batch_size
        folded = []
        for tensor, at in zip(tensors, in_dims, strict=True):
            if not isinstance(tensor, Tensor):
                folded.append(tensor)
                continue
            lifted = tensor.expand(seeds, *tensor.shape) if at is None else tensor.movedim(at, 0)
            folded.append(lifted.reshape(seeds * lifted.shape[1], *lifted.shape[2:]))
        results = operator(*folded)
        if isinstance(results, Tensor):
            return results.reshape(seeds, results.shape[0] // seeds, *results.shape[1:]), 0
        by_seed = tuple(part.reshape(seeds, part.shape[0] // seeds, *part.shape[1:]) for part in results)
        return by_seed, (0,) * len(by_seed)

    return rule
