"""Downloads of data: the first mirror that gives the right file, and nothing left behind that only looks right."""

import dataclasses
import gzip
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from support.image_files import GREY, ROWS, SMALL, amat, closed_folder, idx, mat, unprivileged, wrong

from nfbench.data.protocol import sha256
from nfbench.data.source import Source
from nfbench.data.storage import download, files, formats
from nfbench.data.storage.download import get
from nfbench.data.storage.files import read

RIGHT = mat(X=ROWS)
GET = requests.get


class Handler(BaseHTTPRequestHandler):
    """Serves what each path of the table holds; one of ``/torn`` stops half way, one of ``/slow`` takes its time.

    One of ``/dropped`` sends as many bytes as `most` says at each call; it sends the rest of a file if that is asked
    for, one of ``/dropped/simple`` does not.
    """

    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.table.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range", "")
        if "/dropped/" in self.path and asked and "/simple/" not in self.path:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.server.ranges.append(start)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            content = content[start:]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for byte in content if "/slow/" in self.path else b"":
            self.wfile.write(bytes([byte]))
            if self.server.ended.wait(0.05):
                return
        most = self.server.most.pop(0) if "/dropped/" in self.path and self.server.most else len(content)
        self.wfile.write(content[: len(content) // 2] if "/torn/" in self.path else content[:most])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A web server of this machine: put content into `table`, read from `asked` what was asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.table, running.asked, running.ended = {}, [], threading.Event()
        running.ranges, running.most = [], []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def dead():
    """The address of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """The cache, empty, and no other folder."""
    monkeypatch.delenv("NFBENCH_DATA", raising=False)
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("nfbench.data.storage.download.cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def source(*mirrors, **changes):
    return Source("small", "none", (dataclasses.replace(SMALL, mirrors=mirrors, **changes),))


def fetch(*arguments):
    return list(get(*arguments, say=lambda _: None))


def left(folder):
    """Every file under a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_right_file_is_kept(server, home):
    """It lies in the cache under its name, and is found there; a second call asks no server."""
    server.table["/rows.mat"] = RIGHT
    small = source(f"{server.url}/rows.mat")
    assert fetch(small) == [home / "small" / "rows.mat"]
    assert (small.rows()[0] == ROWS).all()
    assert fetch(small) == [home / "small" / "rows.mat"]
    assert server.asked == ["/rows.mat"]
    assert left(home) == [home / "small" / "rows.mat"]


def test_names(server, home):
    """A file is called as its mirror calls it, if that is one of its names; what it holds decides how it is read."""
    server.table = {"/rows.amat": RIGHT, "/other": amat(ROWS)}
    assert fetch(source(f"{server.url}/rows.amat")) == [home / "small" / "rows.amat"]
    folder = home.parent / "elsewhere"
    assert fetch(source(f"{server.url}/other"), folder) == [folder / "small" / "rows.mat"]
    assert (read(SMALL, folder / "small" / "rows.mat") == ROWS).all()


def test_the_second_mirror_is_asked_when_the_first_is_dead(server, home, dead):
    """So is the next after one that does not have the file, has a wrong one, or stops half way."""
    server.table = {"/wrong/rows.mat": mat(X=1 - ROWS), "/torn/rows.mat": RIGHT, "/right/rows.mat": RIGHT}
    paths = ("/absent/rows.mat", "/wrong/rows.mat", "/torn/rows.mat", "/right/rows.mat")
    small = source(f"{dead}/rows.mat", *(server.url + path for path in paths))
    assert fetch(small) == [home / "small" / "rows.mat"]
    assert list(dict.fromkeys(server.asked)) == list(paths)
    assert server.asked.count("/torn/rows.mat") == download._ATTEMPTS
    assert (home / "small" / "rows.mat").read_bytes() == RIGHT


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("/absent/rows.mat", None, "404"),
        ("/wrong/rows.mat", mat(X=1 - ROWS), f"sha256 {sha256(1 - ROWS)}; expected 20 images"),
        ("/torn/rows.mat", RIGHT, "IncompleteRead"),
        ("/short/rows.mat", RIGHT[:-9], "cannot be read"),
        ("/page/rows.mat", b"<html>Moved</html>", "cannot be read"),
    ],
)
def test_what_is_not_right_is_not_kept(server, home, path, content, said):
    """One line names the mirror and what was wrong; nothing lies in the cache."""
    if content is not None:
        server.table[path] = content
    told = wrong(fetch, source(server.url + path))
    assert server.url + path in told
    assert said in told
    assert left(home) == []


def test_what_is_too_large_is_broken_off(server, home):
    """A server that sends far more than the file has is left in the middle; nothing lies in the cache."""
    server.table["/rows.mat"] = RIGHT + bytes(3 * 2**20)
    assert "more than 1048578 bytes" in wrong(fetch, source(f"{server.url}/rows.mat"))
    assert left(home) == []


def test_what_is_too_slow_is_broken_off(server, home, monkeypatch):
    """So is one that takes longer than the slowest connection that is waited for."""
    monkeypatch.setattr(download, "_PATIENCE", 1e-9)
    monkeypatch.setattr(download, "_SLOWEST", 1e15)
    monkeypatch.setattr("requests.get", lambda url, timeout, **rest: GET(url, timeout=30, **rest))
    server.table["/rows.mat"] = RIGHT
    assert "slower than" in wrong(fetch, source(f"{server.url}/rows.mat"))
    assert left(home) == []


def test_a_server_that_sends_a_byte_now_and_then_is_left(server, home, monkeypatch):
    """Bytes that come faster than the patience of a connection, and too slowly to end, do not keep the user waiting."""
    monkeypatch.setattr(download, "_PATIENCE", 0.3)
    monkeypatch.setattr(download, "_SLOWEST", 1e9)
    monkeypatch.setattr("requests.get", lambda url, timeout, **rest: GET(url, timeout=30, **rest))
    server.table["/slow/rows.mat"] = RIGHT
    started = time.monotonic()
    assert "slower than" in wrong(fetch, source(f"{server.url}/slow/rows.mat"))
    assert time.monotonic() - started < 5
    assert left(home) == []
    server.ended.set()


@pytest.mark.parametrize("path", ["/dropped/rows.gz", "/dropped/simple/rows.gz"])
def test_a_connection_that_breaks_off_is_taken_up_again(server, home, monkeypatch, path):
    """What has come is not asked for again where the server can send the rest; else it is all sent anew."""
    monkeypatch.setattr(download, "_CHUNK", 100)
    server.table[path] = content = gzip.compress(idx(GREY), 0)
    assert len(content) > 1000
    server.most = [450, 300]
    changes = {"decode": formats.idx, "sha256": sha256(GREY)}
    (place,) = fetch(source(server.url + path, **changes))
    assert place.read_bytes() == content
    assert server.asked == [path] * 3
    assert server.ranges == ([] if "simple" in path else [400, 700])
    assert left(home) == [place]


def test_a_connection_that_always_breaks_off_is_left(server, home):
    """After some attempts the mirror is given up, and nothing lies in the cache."""
    server.table["/dropped/rows.mat"] = RIGHT
    server.most = [10] * 20
    assert "IncompleteRead" in wrong(fetch, source(f"{server.url}/dropped/rows.mat"))
    assert len(server.asked) == download._ATTEMPTS
    assert left(home) == []


def test_a_dead_mirror_alone(home, dead):
    """The line says that it could not be reached."""
    told = wrong(fetch, source(f"{dead}/rows.mat"))
    assert "no mirror gave it" in told
    assert "Connection refused" in told
    assert left(home) == []


def test_every_mirror_is_named(server, home):
    """Where all fail, each has its reason."""
    told = wrong(fetch, source(f"{server.url}/a/rows.mat", f"{server.url}/b/rows.mat"))
    assert told.count("404") == 2


def test_no_mirror(home):
    """A file that cannot be downloaded is said to be so."""
    assert "has no download" in wrong(fetch, source())


def test_recompressed_content_is_right(server, home):
    """What is compared are the rows, not the file: another compression is as good."""
    changes = {"decode": formats.idx, "sha256": sha256(GREY)}
    server.table["/rows.mat"] = gzip.compress(idx(GREY), 1)
    assert fetch(source(f"{server.url}/rows.mat", **changes)) == [home / "small" / "rows.mat"]


def test_interrupted(server, home, monkeypatch):
    """An interrupt in the middle leaves nothing, and what was there before stays."""
    import pooch

    def interrupted(self, url, output_file, *_):
        output_file.write(RIGHT[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    (home / "small").mkdir(parents=True)
    (home / "small" / "rows.mat").write_bytes(b"torn before")
    with pytest.raises(KeyboardInterrupt):
        fetch(source(f"{server.url}/rows.mat"))
    assert left(home) == [home / "small" / "rows.mat"]
    assert (home / "small" / "rows.mat").read_bytes() == b"torn before"


@pytest.mark.parametrize("name", ["rows.mat", "rows.amat"])
def test_a_wrong_file_in_the_cache_is_replaced(server, home, name):
    """The right one takes its place, under its name, so that it is found from then on."""
    (home / "small").mkdir(parents=True)
    (home / "small" / name).write_bytes(b"torn")
    server.table["/rows.amat"] = RIGHT
    small = source(f"{server.url}/rows.amat")
    assert fetch(small) == [home / "small" / name]
    assert (small.rows()[0] == ROWS).all()


def test_a_wrong_file_of_the_users_is_left_alone(server, home, monkeypatch, tmp_path):
    """In a folder that NFBENCH_DATA names, the user decides; nothing is downloaded that would not be found."""
    own = tmp_path / "own" / "rows.mat"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    monkeypatch.setenv("NFBENCH_DATA", str(own.parent))
    told = wrong(fetch, source(f"{server.url}/rows.mat"))
    assert str(own) in told
    assert "remove it" in told
    assert own.read_bytes() == b"mine"
    assert server.asked == []


def test_data_elsewhere_are_not_downloaded_unless_a_folder_is_named(server, home, monkeypatch, tmp_path):
    """What NFBENCH_DATA has is enough; a folder that is named gets its own."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rows.mat").write_bytes(RIGHT)
    monkeypatch.setenv("NFBENCH_DATA", str(tmp_path / "own"))
    server.table["/rows.mat"] = RIGHT
    small = source(f"{server.url}/rows.mat")
    assert fetch(small) == [tmp_path / "own" / "rows.mat"]
    assert fetch(small, tmp_path / "named") == [tmp_path / "named" / "small" / "rows.mat"]


def test_a_folder_that_cannot_be_written(server):
    """One line names the folder; no server is asked."""
    with closed_folder() as closed:
        closed.chmod(0o555)
        target = closed / "new"
        with unprivileged():
            told = wrong(fetch, source(f"{server.url}/rows.mat"), target)
        assert [path.name for path in closed.iterdir()] == ["small"]
    assert told == (
        f"cannot write to data folder {str(target / 'small')!r}: Permission denied; expected a writable folder"
    )
    assert server.asked == []
