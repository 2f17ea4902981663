"""Small image files in every form, and a folder without permission, for the tests of data."""

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from nfbench.data.protocol import sha256
from nfbench.data.storage import formats
from nfbench.data.storage.files import File
from nfbench.foundation.errors import InputError

RANDOM = np.random.RandomState(0)
ROWS = RANDOM.randint(2, size=(20, 784), dtype=np.uint8)
GREY = RANDOM.randint(256, size=(20, 784), dtype=np.uint8)
NOBODY = 65534


def mat(**arrays):
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=True)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def amat(rows, line_end="\n"):
    return "".join(" ".join(map(str, row)) + line_end for row in rows.tolist()).encode()


def idx(rows, magic=0x803):
    return np.array([magic, len(rows), 28, 28], ">i4").tobytes() + rows.tobytes()


def batches(images, each):
    """CIFAR's archive: records of a class and an image, so many a member."""
    members = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    records = np.concatenate([np.arange(len(images), dtype=np.uint8)[:, None] % 10, images], 1)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for number, member in enumerate(members):
            content = records[number * each : (number + 1) * each].tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{member}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


SMALL = File(("small/rows.mat", "small/rows.amat"), formats.binary, (20, 784), 1, sha256(ROWS), mirrors=("http://x/",))


@contextlib.contextmanager
def unprivileged():
    """As somebody to whom permissions apply: root is nobody within the block."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


@contextlib.contextmanager
def closed_folder():
    """A folder with a file, into which nobody may look, in one into which all may."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "closed"
        (folder / "small").mkdir(parents=True)
        (folder / "small" / "rows.mat").write_bytes(mat(X=ROWS))
        folder.parent.chmod(0o755)
        folder.chmod(0)
        yield folder
        folder.chmod(0o700)


def wrong(call, *arguments):
    """The one line of the error."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
