"""Image files as rows of uint8: MATLAB 5, text of 0 and 1, IDX, numpy, CIFAR's records. Nothing is ever unpickled.

Each function takes a file's bytes and gives `(n, pixels)`; what it cannot read it refuses with any exception.
"""

import gzip
import io
import tarfile
import zipfile
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nfbench.data.protocol import Rows

_GZIP, _ZIP, _NUMPY, _MATLAB = b"\x1f\x8b", b"PK", b"\x93NUMPY", b"MATLAB 5.0"
_MATLAB_HEADER, _MATLAB_COMPRESSED = 128, 15  # bytes of the header; type of a compressed element
_CHUNK = 2**20
_IDX_IMAGES = 0x00000803  # unsigned bytes, three dimensions
_CIFAR_PIXELS = 3 * 32 * 32
_CIFAR_MEMBERS = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def check_unpacked(content: bytes, most: int) -> None:
    """Refuse a compressed file that unpacks to more than it should, before anything holds it unpacked.

    Args:
        content: bytes of a file: gzip, zip, MATLAB 5, or one that is not compressed.
        most: bytes that it may have unpacked.

    Raises:
        ValueError: it has more, or its compression is damaged.
    """
    size = 0
    if content.startswith(_ZIP):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    elif content.startswith(_GZIP):
        size = _unpacked_size(content, most, zlib.MAX_WBITS | 16)
    elif content.startswith(_MATLAB):
        place = _MATLAB_HEADER
        order: Literal["little", "big"] = "big" if content[place - 2 : place] == b"MI" else "little"
        while place + 8 <= len(content) and size <= most:
            kind, length = (int.from_bytes(content[place + at : place + at + 4], order) for at in (0, 4))
            packed = content[place + 8 : place + 8 + length]
            size += _unpacked_size(packed, most - size, zlib.MAX_WBITS) if kind == _MATLAB_COMPRESSED else 0
            place += 8 + length
    if size > most:
        raise ValueError(f"more than {most:,} bytes unpacked")


def _unpacked_size(content: bytes, most: int, form: int) -> int:
    """How many bytes a compressed stream unpacks to; any number above `most` for more than that."""
    size, rest = 0, content
    while rest and size <= most:
        unpacker = zlib.decompressobj(form)
        while size <= most and not unpacker.eof and rest:
            try:
                size += len(unpacker.decompress(rest, _CHUNK))
            except zlib.error as error:
                raise ValueError(str(error)) from None
            rest = unpacker.unconsumed_tail
        rest = unpacker.unused_data if form != zlib.MAX_WBITS else b""  # gzip files can follow each other
        rest = rest.lstrip(b"\0")
    return size


def matlab(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a MATLAB 5 file.

    Args:
        content: bytes of the file.

    Returns:
        Array by name.

    Raises:
        ValueError: it is something else.
    """
    from scipy.io import loadmat

    if not content.startswith(_MATLAB):
        raise ValueError(f"starts with {content[:10]!r}, not with {_MATLAB!r}")
    arrays: dict[str, NDArray[Any]] = loadmat(io.BytesIO(content))
    return arrays


def binary(content: bytes) -> Rows:
    """0 and 1, in MATLAB's array `X` or as text (.amat; some files of that name are MATLAB's).

    Args:
        content: bytes of the file.

    Returns:
        (n, pixels) of 0 and 1.
    """
    if content.startswith(_MATLAB):
        return np.ascontiguousarray(matlab(content)["X"], np.uint8)
    return text(content)


def text(content: bytes) -> Rows:
    r"""Lines of 0 and 1 between spaces.

    >>> text(b"0 1 1\n1 0 0\n").tolist()
    [[0, 1, 1], [1, 0, 0]]

    Args:
        content: bytes of the file.

    Returns:
        (n, pixels) of 0 and 1.

    Raises:
        ValueError: it is something else.
    """
    columns = len(content[: content.find(b"\n")].split())
    signs = np.frombuffer(content, np.uint8)
    digits = signs[signs > ord(" ")] - ord("0")
    if not columns or (digits > 1).any():
        raise ValueError("not a text of 0 and 1")
    return digits.reshape(-1, columns)


def idx(content: bytes) -> Rows:
    """Images of MNIST's format, compressed or not.

    Args:
        content: bytes of the file.

    Returns:
        (n, height width).

    Raises:
        ValueError: it is something else.
    """
    raw = gzip.decompress(content) if content.startswith(_GZIP) else content
    magic, num, height, width = np.frombuffer(raw, ">i4", 4).tolist()
    if magic != _IDX_IMAGES:
        raise ValueError(f"its magic number is {magic}, not {_IDX_IMAGES}")
    return np.frombuffer(raw, np.uint8, offset=16).reshape(num, height * width)


def frey(content: bytes) -> Rows:
    """28 x 20 faces from a numpy array, or from the columns of MATLAB's `ff`.

    Args:
        content: bytes of the file.

    Returns:
        (n, 560).
    """
    if content.startswith(_NUMPY):
        faces = np.load(io.BytesIO(content), allow_pickle=False)
        return _bytes(faces.reshape(len(faces), -1))
    return _bytes(matlab(content)["ff"].T)


def characters(content: bytes) -> Rows:
    """28 x 28 characters from the array `x` of a numpy archive.

    Args:
        content: bytes of the file.

    Returns:
        (n, 784).
    """
    images = _archive(content)
    return _bytes(images.reshape(len(images), -1))


def omniglot(content: bytes) -> Rows:
    """IWAE's characters, training before test: grey between 0 and 1 in 255 steps, pictures stored column by column.

    Args:
        content: bytes of the file.

    Returns:
        (n, 784).

    Raises:
        ValueError: grey is not between 0 and 1.
    """
    arrays = matlab(content)
    grey = np.concatenate([arrays["data"].T, arrays["testdata"].T]).astype(np.float64)
    if grey.min() < 0 or grey.max() > 1:
        raise ValueError(f"grey from {grey.min()} to {grey.max()}, not within 0 to 1")
    pictures = np.rint(255 * grey).astype(np.uint8).reshape(-1, 28, 28).transpose(0, 2, 1)
    return np.ascontiguousarray(pictures).reshape(-1, 784)


def cifar(content: bytes) -> Rows:
    """All images of CIFAR's archive of binary batches, training before test; a colour after the other.

    Args:
        content: bytes of the file.

    Returns:
        (n, 3072).
    """
    return _batches(content, _CIFAR_MEMBERS)


def first_cifar(content: bytes, num: int = 4000) -> Rows:
    """The first training images, from that archive or from the array `x` (n, 32, 32, 3) of a numpy archive.

    Args:
        content: bytes of the archive.
        num: n, images to take.

    Returns:
        (n, 3072), uint8.
    """
    if content.startswith(_ZIP):
        return _bytes(_archive(content).transpose(0, 3, 1, 2).reshape(-1, _CIFAR_PIXELS))
    return _batches(content, _CIFAR_MEMBERS[:1])[:num]


def _batches(content: bytes, members: tuple[str, ...]) -> Rows:
    """Records of one byte for the class and the pixels; nothing is extracted to disk."""
    parts = []
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in members:
            stream = archive.extractfile(f"cifar-10-batches-bin/{member}")
            if stream is None:
                raise ValueError(f"{member} is no regular file")
            parts.append(np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + _CIFAR_PIXELS)[:, 1:])
    return np.concatenate(parts)


def _archive(content: bytes) -> NDArray[Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        array: NDArray[Any] = archive["x"]
    return array


def _bytes(array: NDArray[Any]) -> Rows:
    if array.dtype != np.uint8:
        raise ValueError(f"numbers of type {array.dtype}, not uint8")
    return np.ascontiguousarray(array)
