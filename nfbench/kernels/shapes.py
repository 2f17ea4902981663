"""Checks that tensors fit each other, made once, where a public function takes them, before any kernel runs.

A compiled loop that gets tensors which do not fit each other touches memory of something else: every public entry of a
kernel calls a function of this module. A check takes about a microsecond; `torch.func.vmap` and `torch.compile` run it.

Draws for B data points fit numbers with B rows, or with one row, which then serves every data point; draws for one data
point fit numbers with several rows, each of which then gets the same noise. B may be 0.
"""

from collections.abc import Callable
from typing import NoReturn

from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.kernels.kinds import autocast, check_kinds, from_inference_mode


def dimensions(owner: str, name: str, draws: Tensor) -> int:
    """The size of draws, `draws (S, B, D) -> D`.

    Args:
        owner: the family or kernel that checks, the first word of the message.
        name: of the draws in the message, such as ``noise``.
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
        owner: the family or kernel that checks, the first word of the message.
        draws: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.
        theta: (B or 1, K R), the numbers of all maps.
        numbers: the function D -> R, how many numbers a map has.
        depth: K, number of maps; None allows any.
        name: of the draws in the message.

    Returns:
        R, and whether one call of a kernel can take it all: base and theta have as many rows, and no size is 0.

    Raises:
        InputError: another number of axes, a size that does not fit, tensors of several `kinds`.
    """
    shape, base_shape, theta_shape = draws.shape, base.shape, theta.shape
    if len(shape) != 3:
        _wrong_axes(owner, name, draws, "(S, B, D)")
    if len(base_shape) != 2:
        _wrong_axes(owner, "base", base, "(B or 1, 2 D)")
    if len(theta_shape) != 2:
        _wrong_axes(owner, "theta", theta, "(B or 1, P)")
    size, points, dim = shape
    rows, width = base_shape
    theta_rows, theta_width = theta_shape
    if width != 2 * dim:
        _wrong_base(owner, name, draws, base)
    row = numbers(dim)
    if theta_width % row if depth is None else theta_width != row * depth:
        expected = f"a multiple of {row}" if depth is None else f"{row * depth}"
        raise InputError(f"{owner}: {_shown('theta', theta)} has {theta_width} numbers a row: expected {expected}")
    if rows != 1 or theta_rows != 1:
        check_points(owner, name, draws, "base", base)
        check_points(owner, name, draws, "theta", theta)
        if theta_rows != rows and theta_rows != 1 and rows != 1:
            raise InputError(
                f"{owner}: {_shown('base', base)} has {rows} rows, {_shown('theta', theta)} has {theta_rows}: "
                "expected the same number, or 1"
            )
    dtype, device = base.dtype, base.device
    if dtype != draws.dtype or device != draws.device or not dtype.is_floating_point:
        check_kinds(owner, name, draws, "base", base)
    if dtype != theta.dtype or device != theta.device:
        check_kinds(owner, name, draws, "theta", theta)
    if from_inference_mode(draws, base):
        check_kinds(owner, name, draws, "base", base)
    return row, theta_rows == rows and size > 0 and points > 0 and theta_width > 0


def check_base(owner: str, noise: Tensor, base: Tensor) -> None:
    """Check noise against the numbers of the base alone.

    Args:
        owner: the family or kernel that checks, the first word of the message.
        noise: (S, B, D).
        base: (B or 1, 2 D), mean and ln sigma.

    Raises:
        InputError: another number of axes, a size that does not fit, tensors of several `kinds`.
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
    """Check points against the numbers of K maps.

    Args:
        owner: the map, the first word of the message.
        z: (S, B, D).
        maps: (B or 1, K, R).
        row: R, how many numbers a map must have in D dimensions.

    Raises:
        InputError: another number of axes, a size that does not fit, tensors of several `kinds`.
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
    """Check the arguments of `Flow.forward` and `Flow.inverse`.

    Args:
        owner: the family, the first word of the message.
        z: (S, B, D).
        theta: (B or 1, P).
        dim: D.
        width: P.

    Raises:
        InputError: another number of axes, a size that does not fit, tensors of several `kinds`.
    """
    z_dim = dimensions(owner, "z", z)
    if z_dim != dim:
        raise InputError(f"{owner}: {_shown('z', z)} has D = {z_dim} dimensions: expected {dim}")
    if len(theta.shape) != 2:
        _wrong_axes(owner, "theta", theta, "(B or 1, P)")
    if theta.shape[1] != width:
        raise InputError(f"{owner}: {_shown('theta', theta)} has {theta.shape[1]} numbers a row: expected {width}")
    check_points(owner, "z", z, "theta", theta)
    check_kinds(owner, "z", z, "theta", theta)


def check_input(owner: str, features: Tensor, weight: Tensor) -> None:
    """Check features against the weight that they are multiplied by; autocast casts both, so that dtypes may differ.

    Args:
        owner: the part that checks, the first word of the message.
        features: (B, F).
        weight: (outputs, F).

    Raises:
        InputError: another number of axes, another F, tensors of several `kinds`.
    """
    shape, (_, width) = features.shape, weight.shape
    if len(shape) != 2:
        _wrong_axes(owner, "features", features, "(B, F)")
    if shape[1] != width:
        raise InputError(f"{owner}: {_shown('features', features)} have F = {shape[1]}: expected {width}")
    dtype = weight.dtype
    mixed = features.dtype != dtype or features.device != weight.device or not dtype.is_floating_point
    if mixed or from_inference_mode(features, weight):
        check_kinds(owner, "features", features, "weight", weight, mixed=autocast(features, weight))


def check_features(owner: str, name: str, draws: Tensor, features: Tensor) -> None:
    """Check that draws have the features' data points, `owner, name, draws (S, B, D), features (B or 1, F) -> None`.

    Raises:
        InputError: another number of axes, or of data points.
    """
    shape, features_shape = draws.shape, features.shape
    if len(shape) != 3:
        _wrong_axes(owner, name, draws, "(S, B, D)")
    if len(features_shape) != 2:
        _wrong_axes(owner, "features", features, "(B, F)")
    if shape[1] != features_shape[0]:
        check_points(owner, name, draws, "features", features)


def check_points(owner: str, name: str, draws: Tensor, rows_name: str, rows: Tensor) -> None:
    """Check that the data points of draws fit the rows of another tensor.

    Args:
        owner: the part that checks, the first word of the message.
        name: of the draws in the message.
        draws: (S, B, ...).
        rows_name: of the other tensor in the message.
        rows: (B or 1, ...), or any number of rows where B = 1.

    Raises:
        InputError: they do not fit.
    """
    points, size = draws.shape[1], rows.shape[0]
    if size != points and size != 1 and not (points == 1 and size):
        _wrong_rows(owner, name, draws, rows_name, rows)


def check_forms(owner: str, *tensors: tuple[str, Tensor, str]) -> dict[str, int]:
    """Check tensors against forms such as ``K D H``, in which the same letter stands for the same size everywhere.

    Args:
        owner: the family or kernel that checks, the first word of the message.
        tensors: name in the message, tensor, and form, of each.

    Returns:
        The size of each letter.

    Raises:
        InputError: another number of axes, or two sizes for one letter.
    """
    sizes: dict[str, int] = {}
    for name, tensor, form in tensors:
        letters = form.split()
        if len(letters) != len(tensor.shape):
            _wrong_axes(owner, name, tensor, f"({', '.join(letters)})")
        for letter, size in zip(letters, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                first, first_tensor, _ = next(entry for entry in tensors if letter in entry[2].split())
                raise InputError(
                    f"{owner}: {_shown(first, first_tensor)} has {letter} = {sizes[letter]}, "
                    f"{_shown(name, tensor)} has {letter} = {size}: expected the same number"
                )
    return sizes


def _shown(name: str, tensor: Tensor) -> str:
    """A tensor in a message: ``noise (5, 3, 2)``."""
    return f"{name} {tuple(tensor.shape)}"


def _wrong_axes(owner: str, name: str, tensor: Tensor, form: str) -> NoReturn:
    raise InputError(f"{owner}: {_shown(name, tensor)} has {tensor.dim()} axes: expected {form}")


def _wrong_base(owner: str, name: str, draws: Tensor, base: Tensor) -> NoReturn:
    dim, width = draws.shape[2], base.shape[1]
    raise InputError(
        f"{owner}: {_shown(name, draws)} has D = {dim} dimensions, {_shown('base', base)} has {width} numbers a row, "
        f"2 D for D = {width / 2:g}: expected the same D"
    )


def _wrong_rows(owner: str, name: str, draws: Tensor, rows_name: str, rows: Tensor) -> NoReturn:
    has = "have" if rows_name == "features" else "has"
    raise InputError(
        f"{owner}: {_shown(name, draws)} has B = {draws.shape[1]} data points, "
        f"{_shown(rows_name, rows)} {has} {rows.shape[0]}: expected the same number, or 1"
    )
