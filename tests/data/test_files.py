"""Data files: where they are looked for, what is read from them, and one line for whatever is wrong."""

import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import zipfile
import zlib

import numpy as np
import pytest
from support.image_files import (
    GREY,
    RANDOM,
    ROWS,
    SMALL,
    amat,
    batches,
    closed_folder,
    idx,
    mat,
    npy,
    npz,
    unprivileged,
    wrong,
)

from nfbench.data.load import load
from nfbench.data.protocol import sha256
from nfbench.data.sets import binarized_mnist, cifar10_patches, frey, mnist
from nfbench.data.source import Source
from nfbench.data.storage import files, formats
from nfbench.data.storage.files import File, find, folders, prepend, read
from nfbench.foundation.errors import InputError


@pytest.fixture
def looked_in(monkeypatch, tmp_path):
    """Three empty folders, the second in NFBENCH_DATA and the third the cache."""
    places = [tmp_path / name for name in ("explicit", "variable", "cache")]
    for place in places:
        place.mkdir()
    monkeypatch.setenv("NFBENCH_DATA", str(places[1]))
    monkeypatch.setattr(files, "cache_folder", lambda: places[2])
    return places


@pytest.fixture
def closed():
    with closed_folder() as folder:
        yield folder


class TestSearch:
    def test_order(self, looked_in):
        """An explicit folder comes before NFBENCH_DATA, that before the cache; each file is found in the first."""
        explicit, variable, cache = looked_in
        found = []
        for place in (cache, variable, explicit):
            (place / "rows.mat").write_bytes(b"")
            found.append(find(SMALL))
            if place is variable:
                prepend(explicit)
        assert found == [place / "rows.mat" for place in (cache, variable, explicit)]
        assert folders() == looked_in

    def test_several_folders_in_the_variable(self, looked_in, monkeypatch):
        """NFBENCH_DATA names folders as PATH does."""
        explicit, variable, cache = looked_in
        monkeypatch.setenv("NFBENCH_DATA", os.pathsep.join(["", str(variable), str(explicit)]))
        assert folders() == [variable, explicit, cache]

    @pytest.mark.parametrize("name", ["small/rows.mat", "rows.mat", "small/rows.amat", "rows.amat"])
    def test_forms_and_folders(self, looked_in, name):
        """Each form of a file is found in its folder and without it."""
        assert find(SMALL) is None
        place = looked_in[1] / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"")
        assert find(SMALL) == place

    def test_missing(self, looked_in):
        """One line says what is missing, where it was looked for, and the three ways to get it."""
        told = wrong(Source("small", "none", (SMALL,)).rows)
        for part in ("'small'", "rows.mat or rows.amat", *map(str, looked_in[1:])):
            assert part in told
        for way in ("--data-dir DIR", "NFBENCH_DATA=DIR", "'nfbench data get small'"):
            assert way in told
        assert "no download" in wrong(Source("x", "none", (dataclasses.replace(SMALL, mirrors=()),)).rows)

    def test_missing_data_of_a_protocol(self, looked_in):
        """Loading says the same."""
        assert "'nfbench data get omniglot'" in wrong(load, "omniglot")
        assert "'nfbench data get cifar10-patches'" in wrong(load, "cifar10-patches")

    def test_no_such_folder(self, tmp_path):
        """An explicit folder that is not there is an error, not an empty one."""
        before = os.environ.get("NFBENCH_DATA")
        assert "absent': no such folder" in wrong(prepend, tmp_path / "absent")
        assert os.environ.get("NFBENCH_DATA") == before

    def test_folder_without_permission(self, looked_in, closed, monkeypatch):
        """A folder that may not be looked into is named, not taken for an empty one."""
        monkeypatch.setenv("NFBENCH_DATA", str(closed))
        with unprivileged():
            told = wrong(find, SMALL)
        assert told == f"data folder {str(closed)!r}: Permission denied; expected a readable folder"

    def test_file_without_permission(self, closed):
        """So is a file that may not be read."""
        closed.chmod(0o755)
        file = closed / "small" / "rows.mat"
        for path, mode in ((closed / "small", 0o755), (file, 0)):
            path.chmod(mode)
        with unprivileged():
            assert wrong(read, SMALL, file) == f"cannot read data file {file}: Permission denied"

    def test_a_folder_of_that_name(self, looked_in):
        """A folder where the file should be is an error that says so."""
        (looked_in[1] / "rows.mat").mkdir()
        assert "it is a folder" in wrong(read, SMALL, find(SMALL))

    def test_a_pipe_of_that_name(self, looked_in):
        """A pipe where the file should be is not waited for."""
        os.mkfifo(looked_in[1] / "rows.mat")
        assert "it is a pipe or device" in wrong(read, SMALL, find(SMALL))


def _bomb(kind):
    """A file of a few kilobytes that unpacks to 64 MiB."""
    zeros = bytes(2**26)
    if kind == "gzip":
        return gzip.compress(zeros)
    if kind == "gzip after gzip":
        return b"".join(gzip.compress(zeros[: 2**20]) for _ in range(64))
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", zeros)
        return buffer.getvalue()
    packed = zlib.compress(zeros)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + (0x0100).to_bytes(2, "little") + b"IM"
    return head + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed


@pytest.mark.parametrize("kind", ["gzip", "gzip after gzip", "zip", "matlab"])
def test_a_file_that_unpacks_without_end_is_refused_before_it_is_unpacked(kind):
    """No reader is given a file that would fill the memory; of the right ones every reader is, as other tests show."""
    never = dataclasses.replace(SMALL, decode=lambda _: pytest.fail("unpacked"))
    with pytest.raises(InputError, match="more than 1,299,456 bytes unpacked"):
        never.rows(_bomb(kind), "bomb")


class TestForms:
    def test_text_is_as_good_as_matlab(self, tmp_path):
        """The same rows come from MATLAB's form and from text, whatever the file is called."""
        for number, content in enumerate((mat(X=ROWS), amat(ROWS), amat(ROWS, " \r\n"))):
            path = tmp_path / f"{number}.amat"
            path.write_bytes(content)
            rows = read(SMALL, path)
            assert np.array_equal(rows, ROWS)
            assert rows.dtype == np.uint8

    def test_official_text_of_the_test_images(self):
        """The 10,000 test images written as the official text file has them are read as the same rows."""
        file = binarized_mnist.SOURCE.files[2]
        path = find(file)
        if path is None:
            pytest.skip("binarised MNIST is not on this machine")
        rows = read(file, path)
        text = np.full((10_000, 2 * 784), ord(" "), np.uint8)
        text[:, ::2], text[:, -1] = rows + ord("0"), ord("\n")
        assert np.array_equal(file.rows(text.tobytes(), "binarized_mnist_test.amat"), rows)

    def test_compression_does_not_matter(self):
        """Raw and compressed IDX files give the same rows, at any level of compression."""
        file = dataclasses.replace(mnist.SOURCE.files[0], shape=(20, 784), sha256=sha256(GREY))
        for content in (idx(GREY), gzip.compress(idx(GREY), 1), gzip.compress(idx(GREY), 9)):
            assert np.array_equal(file.rows(content, "x"), GREY)

    def test_faces(self):
        """A numpy array of pictures and the columns of MATLAB's file are the same faces."""
        faces = RANDOM.randint(256, size=(7, 28, 20), dtype=np.uint8)
        rows = formats.frey(npy(faces))
        assert rows.shape == (7, 560)
        assert np.array_equal(formats.frey(mat(ff=faces.reshape(7, 560).T)), rows)
        assert frey.SOURCE.files[0].decode is formats.frey

    def test_cifar(self):
        """All batches in their order, a picture as the records have it: without its class, colour after colour."""
        images = RANDOM.randint(256, size=(12, 3072), dtype=np.uint8)
        assert np.array_equal(formats.cifar(batches(images, 2)), images)
        assert np.array_equal(formats.first_cifar(batches(images, 2), 1), images[:1])
        pictures = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        assert np.array_equal(formats.first_cifar(npz(x=pictures)), images)

    def test_the_part_of_cifar_can_be_taken_from_all_of_it(self):
        """The first 4,000 images have the pinned hash when they come from the archive's first batch, too."""
        file = cifar10_patches.FIRST.files[0]
        path = find(file)
        if path is None:
            pytest.skip("the 4,000 images of CIFAR-10 are not on this machine")
        rows = read(file, path)
        longer = np.concatenate([rows, rows[:100]])
        assert np.array_equal(file.rows(batches(longer, 4100), "cifar-10-binary.tar.gz"), rows)

    def test_iwae_characters(self):
        """Columns of the file become rows, training before test, and pictures stand upright."""
        train, test = (RANDOM.randint(256, size=(num, 28, 28)) for num in (3, 2))
        columns = [part.transpose(0, 2, 1).reshape(-1, 784).T / 255 for part in (train, test)]
        rows = formats.omniglot(mat(data=columns[0], testdata=columns[1]))
        assert np.array_equal(rows, np.concatenate([train, test]).reshape(5, 784))
        with pytest.raises(ValueError, match="not within 0 to 1"):
            formats.omniglot(mat(data=255 * columns[0], testdata=columns[1]))


class Trap:
    """What a pickle may do to who loads it."""

    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (mat(X=ROWS)[:200], "cannot be read"),
            (mat(X=ROWS)[:-50], "cannot be read"),
            (mat(X=ROWS[:19]), "numbers (19, 784)"),
            (mat(X=1 - ROWS), sha256(1 - ROWS)),
            (mat(X=ROWS[::-1]), sha256(ROWS[::-1])),
            (mat(Y=ROWS), "KeyError"),
            (amat(ROWS)[:-2], "cannot be read"),
            (amat(ROWS)[: -2 * 784], "numbers (19, 784)"),
            (amat(2 * ROWS), "not a text of 0 and 1"),
            (b"<html>404</html>", "not a text of 0 and 1"),
            (b"", "not a text of 0 and 1"),
        ],
        ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
    )
    def test_damaged_files(self, tmp_path, content, said):
        """A torn, short, changed, reordered or foreign file: one line with its name, what was found and expected."""
        path = tmp_path / "rows.mat"
        path.write_bytes(content)
        told = wrong(read, SMALL, path)
        for part in (str(path), f"({len(content)} bytes)", said, "expected 20 images of 784 numbers", sha256(ROWS)):
            assert part in told

    @pytest.mark.parametrize(
        ("decode", "content"),
        [
            (formats.idx, idx(GREY)[:-1]),
            (formats.idx, gzip.compress(idx(GREY))[:-9]),
            (formats.idx, idx(GREY, 0x801)),
            (formats.frey, b"\x93NUMPY"),
            (formats.frey, npy(np.zeros((2, 28, 20)))),
            (formats.characters, npz(x=GREY)[:-30]),
            (formats.characters, npz(y=GREY)),
            (formats.cifar, batches(np.zeros((6, 3072), np.uint8), 1)[:-40]),
            (formats.cifar, gzip.compress(b"no archive", mtime=0)),
            (formats.first_cifar, b"PK"),
            (formats.omniglot, amat(ROWS)),
        ],
    )
    def test_every_form_can_be_torn(self, decode, content):
        """Whatever a reader stumbles on becomes one line."""
        file = File(("a/b",), decode, (20, 784), 1, "0" * 64)
        assert "'a/b'" in wrong(file.rows, content, "a/b")

    def test_pickles_are_not_loaded(self):
        """Arrays of objects are refused, and what is pickled in them does not run."""
        objects = np.empty(3, object)
        objects[:] = Trap()
        for decode, content in ((formats.frey, npy(objects)), (formats.characters, npz(x=objects))):
            assert "allow_pickle=False" in wrong(File(("x",), decode, (3, 560), 1, "0" * 64).rows, content, "x")
        assert not Trap.sprung
        pickle.loads(pickle.dumps(Trap()))
        assert Trap.sprung

    def test_files_without_a_hash_of_their_rows(self):
        """Where only the file's own hash is known, sha256 or git's, another file is refused before it is read."""
        content = amat(ROWS)
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        for proof in (f"sha256:{hashlib.sha256(content).hexdigest()}", f"git:{git}"):
            file = dataclasses.replace(SMALL, sha256="", container=proof)
            assert np.array_equal(file.rows(content, "x"), ROWS)
            told = wrong(file.rows, content + b" ", "x")
            assert proof.partition(":")[2] in told
            assert "expected 20 images" in told
