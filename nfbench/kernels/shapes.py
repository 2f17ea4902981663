"""Whether tensors fit each other: checked once, where a public function takes them, before any kernel runs.

A compiled loop reads and writes memory as the shapes tell it. Given tensors that do not fit each other it would read
and write memory that belongs to something else, so every public entry of a kernel calls a function of this module.
Only shapes, dtypes and devices are read: a check costs about a microsecond, works under `torch.func.vmap`, where it
sees the shapes of one example, and can be traced by `torch.compile`.

B data points of draws fit numbers with as many rows, or with one row, which then serves every data point; draws for a
single data point fit numbers with several rows, for each of which the same noise is taken. B may be 0.
"""

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError


def dimensions(owner: str, name: str, draws: Tensor) -> int:
    """The size D of draws.

    Args:
        owner: who asks, the first word of the message.
        name: what the message calls the draws, such as ``noise``.
        draws: (S, B, D).

    Raises:
        InputError: the draws have not three axes.
    """
    shape = draws.shape
    if len(shape) != 3:
        _wrong_axes(owner, name, draws, "(S, B, D)")
    return shape[2]


def check_draw(
    owner: str,
    draws: Tensor,
    base: Tensor,
    theta: Tensor,
    numbers: Callable[[int], int],
    depth: int | None = None,
    name: str = "noise",
) -> tuple[int, bool]:
    """Check draws against all numbers of a posterior.

    Args:
        owner: who asks, the first word of the message.
        draws: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.
        theta: (B or 1, K R), the numbers of all maps.
        numbers: D -> R, how many numbers a map has.
        depth: K, number of maps; None: any.
        name: what the message calls the draws.

    Returns:
        R, and whether one call of a kernel can take it all: base and theta have as many rows, and no size is 0.

    Raises:
        InputError: another number of axes, a size that does not fit, several dtypes or devices.
    """
    shape, ends, given = draws.shape, base.shape, theta.shape
    if len(shape) != 3:
        _wrong_axes(owner, name, draws, "(S, B, D)")
    if len(ends) != 2:
        _wrong_axes(owner, "base", base, "(B or 1, 2 D)")
    if len(given) != 2:
        _wrong_axes(owner, "theta", theta, "(B or 1, P)")
    size, points, dim = shape
    rows, width = ends
    own, found = given
    if width != 2 * dim:
        _wrong_base(owner, name, draws, base)
    row = numbers(dim)
    if found % row if depth is None else found != row * depth:
        expected = f"a multiple of {row}" if depth is None else f"{row * depth}"
        raise InputError(f"{owner}: {_shown('theta', theta)} has {found} numbers a row: expected {expected}")
    if rows != 1 or own != 1:
        check_points(owner, name, draws, "base", base)
        check_points(owner, name, draws, "theta", theta)
        if own != rows and own != 1 and rows != 1:
            raise InputError(
                f"{owner}: {_shown('base', base)} has {rows} rows, {_shown('theta', theta)} has {own}: "
                "expected the same number, or 1"
            )
    dtype, device = base.dtype, base.device
    if dtype != draws.dtype or device != draws.device or not dtype.is_floating_point:
        check_kinds(owner, name, draws, "base", base)
    if dtype != theta.dtype or device != theta.device:
        check_kinds(owner, name, draws, "theta", theta)
    return row, own == rows and size > 0 and points > 0 and found > 0


def check_base(owner: str, noise: Tensor, base: Tensor) -> None:
    """Check noise (S, B, D) against the numbers of the base (B or 1, 2 D) alone.

    Raises:
        InputError: another number of axes, a size that does not fit, several dtypes or devices.
    """
    if len(noise.shape) != 3:
        _wrong_axes(owner, "noise", noise, "(S, B, D)")
    if len(base.shape) != 2:
        _wrong_axes(owner, "base", base, "(B or 1, 2 D)")
    if base.shape[1] != 2 * noise.shape[2]:
        _wrong_base(owner, "noise", noise, base)
    check_points(owner, "noise", noise, "base", base)
    check_kinds(owner, "noise", noise, "base", base)


def check_chain(owner: str, z: Tensor, maps: Tensor, row: int) -> None:
    """Check points z (S, B, D) against the numbers of K maps (B or 1, K, R), where `row` is the R that D asks for.

    Raises:
        InputError: another number of axes, a size that does not fit, several dtypes or devices.
    """
    if len(maps.shape) != 3:
        _wrong_axes(owner, "maps", maps, "(B or 1, K, R)")
    if maps.shape[2] != row:
        raise InputError(
            f"{owner}: {_shown('z', z)} has D = {z.shape[2]} dimensions, "
            f"{_shown('maps', maps)} has {maps.shape[2]} numbers a map: expected {row}"
        )
    check_points(owner, "z", z, "maps", maps)
    check_kinds(owner, "z", z, "maps", maps)


def check_flow(owner: str, z: Tensor, theta: Tensor, dim: int, width: int) -> None:
    """Check what `Flow.forward` and `Flow.inverse` are called with; a family calls it first in both.

    Args:
        owner: the family, the first word of the message.
        z: (S, B, D).
        theta: (B or 1, P).
        dim: D.
        width: P.

    Raises:
        InputError: another number of axes, a size that does not fit, several dtypes or devices.
    """
    found = dimensions(owner, "z", z)
    if found != dim:
        raise InputError(f"{owner}: {_shown('z', z)} has D = {found} dimensions: expected {dim}")
    if len(theta.shape) != 2:
        _wrong_axes(owner, "theta", theta, "(B or 1, P)")
    if theta.shape[1] != width:
        raise InputError(f"{owner}: {_shown('theta', theta)} has {theta.shape[1]} numbers a row: expected {width}")
    check_points(owner, "z", z, "theta", theta)
    check_kinds(owner, "z", z, "theta", theta)


def check_input(owner: str, features: Tensor, weight: Tensor) -> None:
    """Check features (B, F) against the weight (outputs, F) that they are multiplied by.

    Under autocast, which casts both, their dtypes may differ.

    Raises:
        InputError: another number of axes, another F, several dtypes or devices.
    """
    shape, (_, width) = features.shape, weight.shape
    if len(shape) != 2:
        _wrong_axes(owner, "features", features, "(B, F)")
    if shape[1] != width:
        raise InputError(f"{owner}: {_shown('features', features)} have F = {shape[1]}: expected {width}")
    dtype = weight.dtype
    if features.dtype != dtype or features.device != weight.device or not dtype.is_floating_point:
        check_kinds(owner, "features", features, "weight", weight, mixed=autocast(features, weight))


def check_features(owner: str, name: str, draws: Tensor, features: Tensor) -> None:
    """Check that draws (S, B, D), which the message calls `name`, and features (B or 1, F) are of the same data points.

    Raises:
        InputError: another number of axes, or of data points.
    """
    shape, given = draws.shape, features.shape
    if len(shape) != 3:
        _wrong_axes(owner, name, draws, "(S, B, D)")
    if len(given) != 2:
        _wrong_axes(owner, "features", features, "(B, F)")
    if shape[1] != given[0]:
        check_points(owner, name, draws, "features", features)


def check_points(owner: str, name: str, draws: Tensor, other: str, rows: Tensor) -> None:
    """Check that the B data points of draws (S, B, ...) fit the rows of another tensor (B or 1, ...).

    Raises:
        InputError: they do not.
    """
    points, found = draws.shape[1], rows.shape[0]
    if found != points and found != 1 and not (points == 1 and found):
        _wrong_rows(owner, name, draws, other, rows)


def check_kinds(owner: str, name: str, one: Tensor, other: str, two: Tensor, *, mixed: bool = False) -> None:
    """Check that two tensors have one floating dtype and one device; where `mixed`, the dtypes may differ.

    Raises:
        InputError: they have not.
    """
    floating = one.dtype.is_floating_point and two.dtype.is_floating_point
    if not floating or not (mixed or one.dtype == two.dtype):
        expected = "floating dtypes" if mixed else "one floating dtype"
        raise InputError(f"{owner}: {name} is {one.dtype}, {other} is {two.dtype}: expected {expected}")
    if one.device != two.device:
        raise InputError(f"{owner}: {name} is on {one.device}, {other} is on {two.device}: expected one device")


def check_forms(owner: str, *given: tuple[str, Tensor, str]) -> dict[str, int]:
    """Check tensors against forms such as ``K D H``, in which the same letter stands for the same size everywhere.

    Args:
        owner: who asks, the first word of the message.
        given: name, tensor and form of each.

    Returns:
        The size of each letter.

    Raises:
        InputError: another number of axes, or two sizes for one letter.
    """
    sizes: dict[str, int] = {}
    for name, tensor, form in given:
        letters = form.split()
        if len(letters) != len(tensor.shape):
            _wrong_axes(owner, name, tensor, f"({', '.join(letters)})")
        for letter, size in zip(letters, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                first, other, _ = next(one for one in given if letter in one[2].split())
                raise InputError(
                    f"{owner}: {_shown(first, other)} has {letter} = {sizes[letter]}, "
                    f"{_shown(name, tensor)} has {letter} = {size}: expected the same number"
                )
    return sizes


def autocast(*tensors: Tensor) -> bool:
    """Whether autocast is on and brings these tensors to one dtype, which it does up to single precision."""
    return torch.is_autocast_enabled(tensors[0].device.type) and all(one.dtype != torch.float64 for one in tensors)


def _shown(name: str, tensor: Tensor) -> str:
    return f"{name} {tuple(tensor.shape)}"


def _wrong_axes(owner: str, name: str, tensor: Tensor, form: str) -> NoReturn:
    raise InputError(f"{owner}: {_shown(name, tensor)} has {tensor.dim()} axes: expected {form}")


def _wrong_base(owner: str, name: str, draws: Tensor, base: Tensor) -> NoReturn:
    dim, width = draws.shape[2], base.shape[1]
    raise InputError(
        f"{owner}: {_shown(name, draws)} has D = {dim} dimensions, {_shown('base', base)} has {width} numbers a row, "
        f"2 D for D = {width / 2:g}: expected the same D"
    )


def _wrong_rows(owner: str, name: str, draws: Tensor, other: str, rows: Tensor) -> NoReturn:
    has = "have" if other == "features" else "has"
    raise InputError(
        f"{owner}: {_shown(name, draws)} has B = {draws.shape[1]} data points, "
        f"{_shown(other, rows)} {has} {rows.shape[0]}: expected the same number, or 1"
    )
