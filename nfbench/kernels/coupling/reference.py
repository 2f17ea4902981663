"""Additive couplings with fixed mixing: NICE as a volume-preserving flow (Rezende & Mohamed 2015, eq. 16-19).

A coupling after the mixings M_1 ... M_k acts on y = x R, R = M_1 ... M_k, where x has not been mixed at all:
x' = x + shift((x R)_A) R_B^T. Folded into the weights, mixing costs nothing a draw: two products a coupling, no copy.
On the CPU compiled loops take tiles of draws through the chain and undo it on the way back: only x_K is saved.
"""

from typing import NoReturn

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.settings import backend
from nfbench.kernels import kinds, shapes
from nfbench.kernels.coupling import operators
from nfbench.kernels.cpu.shares import FEW
from nfbench.kernels.diagonal.reference import for_each
from nfbench.kernels.dispatch import differentiated


def chain(
    z: Tensor,
    basis: Tensor,
    w_in: Tensor,
    b_in: Tensor,
    w_out: Tensor,
    b_out: Tensor,
    rows: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """K times: y = z M_k; z = (y_A, y_B + shift(y_A)). The log-determinant is zero: |det M_k| = 1.

    Args:
        z: (S, B, D), split into the first D - D//2 coordinates (A) and the last D//2 (B).
        basis: (K, D, D) orthogonal, the products M_1 ... M_k of the mixings.
        w_in: (K, |A|, H) weights of the one hidden tanh layer that all data points share.
        b_in: (B or 1, K, H) its biases, for each data point.
        w_out: (K, H, |B|).
        b_out: (K, |B|).
        rows: `used(basis, |A|)`, computed here where it is None; callers that call often pass it.

    Returns:
        z_K (S, B, D).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    _check(z, basis, w_in, b_in, w_out, b_out, *(rows or ()))
    z = for_each(z, b_in)
    inner, biases, outer, total = _folded(basis, w_in, b_in, w_out, b_out)
    shape, x = z.shape, z.flatten(0, 1)
    if compiled(z, len(basis)):
        reads, writes = (part.unsqueeze(0) for part in (rows or used(basis, w_in.shape[-2])))
        weights, bias, back = (
            numbers.to(z.dtype).unsqueeze(0) for numbers in (inner, biases, outer.mT)
        )  # may be in autocast's dtype
        x = operators.chain(x.unsqueeze(0), weights, bias, back, reads, writes).squeeze(0)
    else:
        for inner_k, bias_k, outer_k in zip(inner.unbind(0), biases.unbind(-2), outer.unbind(0), strict=True):
            x = torch.addmm(x, _hidden(x, inner_k, bias_k, shape), outer_k)
    return ((x + total) @ basis[-1] if len(basis) else x).reshape(shape)


def used(basis: Tensor, split: int) -> tuple[Tensor, Tensor]:
    """Which unmixed coordinates each coupling reads, and which it moves.

    With permutations these are the coordinates that have become y_A, and y_B: half the work. With rotations they are
    all.

    Args:
        basis: (K, D, D), the products M_1 ... M_k.
        split: |A|.

    Returns:
        Two boolean tensors (K, D).
    """
    return (basis[..., :split] != 0).any(-1), (basis[..., split:] != 0).any(-1)


def compiled(z: Tensor, depth: int) -> bool:
    """Whether the compiled loops run: on the CPU, in float32 or float64, for at least `FEW` draws.

    Args:
        z: draws (S, B, D).
        depth: K.

    Returns:
        Whether they do; not where K = 0, ``NFBENCH_BACKEND`` asks for other code, or `differentiated` is True.
    """
    fits = z.device.type == "cpu" and z.dtype in (torch.float32, torch.float64) and depth > 0
    few = z.shape[0] * z.shape[1] < FEW
    return fits and not few and backend() in ("auto", "numba") and not differentiated()


def inverse(z: Tensor, basis: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor) -> Tensor:
    """Exact inverse of `chain`: mix back by the transpose, then subtract the shifts, the last one first.

    Args:
        z: z_K (S, B, D).
        basis: as in `chain`.
        w_in: as in `chain`.
        b_in: as in `chain`.
        w_out: as in `chain`.
        b_out: as in `chain`.

    Returns:
        z (S, B, D).

    Raises:
        InputError: tensors that do not fit each other, of several dtypes or on several devices (`shapes`).
    """
    _check(z, basis, w_in, b_in, w_out, b_out)
    z = for_each(z, b_in)
    inner, biases, outer, total = _folded(basis, w_in, b_in, w_out, b_out)
    shape, x = z.shape, z.flatten(0, 1)
    if len(basis):
        x = x @ basis[-1].mT - total
    for k in reversed(range(len(basis))):
        x = torch.addmm(x, _hidden(x, inner[k], biases[..., k, :], shape), outer[k], alpha=-1)
    return x.reshape(shape)


def _check(z: Tensor, basis: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, *rows: Tensor) -> None:
    """Raise an `InputError` for arguments that `chain` cannot take; which tensors disagree is worked out only then."""
    of_z, of_basis, of_w_in, of_biases = z.shape, basis.shape, w_in.shape, b_in.shape
    fits = len(of_z) == len(of_basis) == len(of_w_in) == len(of_biases) == 3
    if fits:
        (depth, dim, _), (_, split, hidden) = of_basis, of_w_in
        fits = of_z[2] == dim == of_basis[2] and of_w_in[0] == depth and of_biases[1:] == (depth, hidden)
        fits = fits and w_out.shape == (depth, hidden, dim - split) and b_out.shape == (depth, dim - split)
        fits = fits and all(marks.shape == (depth, dim) for marks in rows)
    if not fits:
        _explain(z, basis, w_in, b_in, w_out, b_out, *rows)
    shapes.check_points("coupling", "z", z, "b_in", b_in)
    dtype, device = z.dtype, z.device
    for name, numbers in (("basis", basis), ("w_in", w_in), ("b_in", b_in), ("w_out", w_out), ("b_out", b_out)):
        if numbers.dtype != dtype or numbers.device != device or not dtype.is_floating_point:
            kinds.check_kinds("coupling", "z", z, name, numbers)


def _explain(
    z: Tensor, basis: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, *rows: Tensor
) -> NoReturn:
    """Raise an `InputError` that says which of these do not fit each other."""
    layers = ("w_in", w_in, "K A H"), ("b_in", b_in, "R K H"), ("w_out", w_out, "K H M"), ("b_out", b_out, "K M")
    marks = [(name, row, "K D") for name, row in zip(("reads", "writes"), rows, strict=False)]
    sizes = shapes.check_forms("coupling", ("z", z, "S B D"), ("basis", basis, "K D D"), *layers, *marks)
    raise InputError(
        f"coupling: w_in {tuple(w_in.shape)} reads {sizes['A']} coordinates, w_out {tuple(w_out.shape)} moves "
        f"{sizes['M']}: expected {sizes['D']} together"
    )


def _folded(
    basis: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fold the mixings into the weights.

    The constant part of a shift, b_out, moves all draws alike: it goes into the biases of the couplings that follow,
    and its sum over all couplings is added at the end.

    Returns:
        On unmixed coordinates the weights A (K, D, H), the biases of the hidden layers (B or 1, K, H), the weights C
        (K, H, D), and the sum of the constant parts (D,).
    """
    split = w_in.shape[-2]
    back = basis[..., split:].mT
    inner, outer = basis[..., :split] @ w_in, w_out @ back
    constant = (b_out.unsqueeze(-2) @ back).squeeze(-2).cumsum(0)
    before = torch.cat([torch.zeros_like(constant[:1]), constant[:-1]])
    return inner, b_in + (before.unsqueeze(-2) @ inner).squeeze(-2), outer, constant[-1:].sum(0)


def _hidden(x: Tensor, weight: Tensor, bias: Tensor, shape: torch.Size) -> Tensor:
    """The hidden units tanh(x weight + bias) (S B, H) of `x (S B, D), weight (D, H), bias (B or 1, H)`."""
    if len(bias) == 1:
        return torch.addmm(bias[0], x, weight).tanh_()
    return ((x @ weight).reshape(*shape[:2], weight.shape[-1]) + bias).tanh_().flatten(0, 1)
