"""The classical Runge-Kutta method of order 4 with fixed steps, as a map with its exact Jacobian.

A step moves z by h (k_1 + 2 k_2 + 2 k_3 + k_4)/6. Tangents go through the same four stages: what comes out is the
Jacobian of the step itself, not an integral of the trace of the field's, which differs from it by the solver's error.

Where a field's Jacobian is U N V with fewer columns of U than dimensions, tangents may stay in U's coordinates: a field
that returns N V U along them makes I + c N V U of every I + c U N V, and the determinants are the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""A velocity: z (S, B, D), tangents (S, B, T, D) and time -> dz/dt (S, B, D), and its derivatives along tangents."""


def step(field: Field, z: Tensor, time: float, length: float, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Take one step.

    >>> def decay(z, tangents, time):
    ...     return -z, -tangents
    >>> z, jacobian = step(decay, torch.ones(1, 1, 1), 0.0, 0.5)
    >>> round(z.item(), 6), round(jacobian.item(), 6)
    (0.606771, 0.606771)

    Args:
        field: the velocity.
        z: (S, B, D).
        time: at the step's beginning.
        length: of the step; negative: back in time.
        width: T, how many coordinates the field's tangents have; None: those of z, D.

    Returns:
        z after the step (S, B, D) and the step's Jacobian (S, B, T, T), whose row i is dz'/dz_i.
    """
    width = z.shape[-1] if width is None else width
    eye = torch.eye(width, dtype=z.dtype, device=z.device).expand(*z.shape[:-1], width, width)
    k_1, l_1 = field(z, eye, time)
    k_2, l_2 = field(*_ahead((z, eye), (k_1, l_1), length / 2), time + length / 2)
    k_3, l_3 = field(*_ahead((z, eye), (k_2, l_2), length / 2), time + length / 2)
    k_4, l_4 = field(*_ahead((z, eye), (k_3, l_3), length), time + length)
    slope = _ahead((k_1 + k_4, l_1 + l_4), (k_2 + k_3, l_2 + l_3), 2.0)
    return _ahead((z, eye), slope, length / 6)


def _ahead(at: tuple[Tensor, Tensor], along: tuple[Tensor, Tensor], by: float) -> tuple[Tensor, Tensor]:
    """A point and its tangents, moved by a multiple of their slopes; one pass over memory each."""
    return torch.add(at[0], along[0], alpha=by), torch.add(at[1], along[1], alpha=by)


def solve(field: Field, z: Tensor, steps: int, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Go from time 0 to 1.

    Args:
        field: the velocity.
        z: (S, B, D).
        steps: n, how many steps.
        width: how many coordinates the field's tangents have; None: those of z, D.

    Returns:
        z at time 1 (S, B, D) and ln|det| of the discrete map (S, B).
    """
    log_det = z.new_zeros(z.shape[:-1])
    for number in range(steps):
        z, jacobian = step(field, z, number / steps, 1 / steps, width)
        log_det = log_det + torch.linalg.slogdet(jacobian)[1]
    return z, log_det


def solve_back(field: Field, z: Tensor, steps: int, rounds: int = 4) -> tuple[Tensor, Tensor]:
    """Undo `solve`: each step by Newton's method, from a step back in time.

    Args:
        field: the velocity.
        z: at time 1, (S, B, D).
        steps: n.
        rounds: Newton's steps; the last one carries the gradients, by the implicit function theorem.

    Returns:
        z at time 0 (S, B, D) and ln|det| of the inverse of the discrete map (S, B).
    """
    log_det = z.new_zeros(z.shape[:-1])
    for number in reversed(range(steps)):
        with torch.no_grad():
            before, _ = step(field, z, (number + 1) / steps, -1 / steps)
            for _ in range(rounds):
                before = before - _newton(field, before, z, number, steps)[0]
        by, jacobian = _newton(field, before, z, number, steps)
        z = before - by
        _, jacobian = step(field, z, number / steps, 1 / steps)
        log_det = log_det - torch.linalg.slogdet(jacobian)[1]
    return z, log_det


def _newton(field: Field, before: Tensor, after: Tensor, number: int, steps: int) -> tuple[Tensor, Tensor]:
    """Newton's step for the point before step `number`, (S, B, D), and the Jacobian there (S, B, D, D)."""
    reached, jacobian = step(field, before, number / steps, 1 / steps)
    by = torch.linalg.solve(jacobian.detach().mT, (reached - after).unsqueeze(-1)).squeeze(-1)
    return by, jacobian
