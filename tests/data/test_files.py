"""Where files are found, on real folders and a real local server."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nexus_rl.data.files import Source, cache_folder, find_files
from nexus_rl.errors import UserError

CONTENT = {"first": b"one" * 1000, "second": b"two" * 1000, "third": b"three"}
SHA256 = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
NOWHERE = Source("tiny", "http://127.0.0.1:9/", SHA256)


def fill(folder: Path, *names: str, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or CONTENT:
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(
            gzip.compress(CONTENT[name], mtime=0) if zipped else CONTENT[name]
        )
    return folder


def folder_of(paths: dict[str, Path]) -> Path:
    assert list(paths) == list(CONTENT)
    (folder,) = {path.parent for path in paths.values()}
    return folder


class Server(ThreadingHTTPServer):
    """Serves ``files``; breaks off half-way through those named in ``broken``."""

    def __init__(self) -> None:
        self.files = {
            f"/{n}.gz": gzip.compress(data, mtime=0) for n, data in CONTENT.items()
        }
        self.broken: set[str] = set()
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def source(self) -> Source:
        return replace(NOWHERE, url=f"http://127.0.0.1:{self.server_port}/")


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2 if self.path in self.server.broken else len(content)
        self.wfile.write(content[:half])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_search_order(home, server, tmp_path, monkeypatch):
    explicit = fill(tmp_path / "explicit")
    system = fill(tmp_path / "system", zipped=True)
    source = replace(server.source, system=system)
    variable = fill(tmp_path / "data" / "tiny")
    cache = fill(home / "tiny")
    assert cache == cache_folder("tiny")
    monkeypatch.setenv("NEXUS_RL_DATA", str(tmp_path / "data"))

    assert folder_of(find_files(source, explicit)) == explicit
    assert folder_of(find_files(source)) == variable
    monkeypatch.setenv("NEXUS_RL_DATA", str(tmp_path / "elsewhere"))
    assert folder_of(find_files(source)) == cache
    for path in cache.iterdir():
        path.unlink()
    assert folder_of(find_files(source)) == system
    assert not server.requests
    for path in system.iterdir():
        path.unlink()
    assert folder_of(find_files(source)) == cache
    assert len(server.requests) == len(CONTENT)


def test_data_dir_holds_the_files_or_a_folder_of_the_dataset(home, tmp_path):
    outer = fill(tmp_path / "outer", zipped=True)
    assert folder_of(find_files(NOWHERE, str(outer))) == outer
    inner = fill(outer / "tiny")
    assert folder_of(find_files(NOWHERE, outer)) == inner


def test_data_dir_without_the_files_is_an_error_at_once(home, server, tmp_path):
    fill(home / "tiny")
    with pytest.raises(UserError, match=r"--data-dir .*absent does not hold") as error:
        find_files(server.source, tmp_path / "absent")
    assert "first, second, third" in str(error.value)
    assert not server.requests


def test_places_with_only_some_files_are_named(home, tmp_path, monkeypatch):
    partial = fill(tmp_path / "data" / "tiny", "first")
    message = rf"{partial} holds only some .*missing .*: second, third\. Add them from"
    for folder in (partial, partial.parent):
        with pytest.raises(UserError, match=message):
            find_files(NOWHERE, folder)
    with pytest.raises(UserError, match=message):
        find_files(replace(NOWHERE, system=partial))
    fill(home / "tiny")
    monkeypatch.setenv("NEXUS_RL_DATA", str(partial.parent))
    with pytest.raises(UserError, match=message):
        find_files(NOWHERE)


def test_partial_cache_without_download_is_an_error(home):
    fill(home / "tiny", "second")
    with pytest.raises(UserError, match=r"tiny holds only some .*: first, third"):
        find_files(NOWHERE, download=False)


def test_one_error_lists_everything_tried(home, server, tmp_path, monkeypatch):
    server.files.clear()
    source = replace(server.source, system=tmp_path)
    with pytest.raises(UserError) as caught:
        find_files(source)
    lines = str(caught.value).splitlines()
    assert lines[:5] == [
        "cannot find dataset 'tiny'. Tried:",
        "  $NEXUS_RL_DATA: not set",
        f"  cache {home / 'tiny'}: no folder",
        f"  system {tmp_path}: holds none of the files",
        f"  download {source.url}first.gz: HTTP Error 404: Not Found",
    ]
    assert "Set NEXUS_RL_DATA" in lines[5]
    assert "--data-dir" in lines[5]
    assert lines[6:] == [f"  {source.url}{name}.gz" for name in CONTENT]

    monkeypatch.setenv("NEXUS_RL_DATA", str(tmp_path / "void"))
    with pytest.raises(UserError, match=r"\$NEXUS_RL_DATA .*void/tiny: no folder"):
        find_files(source)


def test_download_switched_off_touches_nothing(home, server):
    with pytest.raises(UserError, match="download: switched off"):
        find_files(server.source, download=False)
    assert not server.requests
    assert not home.exists()


def test_download_keeps_whole_files_and_shows_progress(home, server, capfd):
    paths = find_files(server.source)
    assert folder_of(paths) == home / "tiny"
    for name, path in paths.items():
        assert gzip.decompress(path.read_bytes()) == CONTENT[name]
    assert sorted(path.name for path in (home / "tiny").iterdir()) == sorted(
        f"{name}.gz" for name in CONTENT
    )
    assert "first.gz: 100%" in capfd.readouterr().err
    find_files(server.source)
    assert len(server.requests) == len(CONTENT)  # the second time from the cache


def test_broken_download_leaves_no_half_file_and_goes_on(home, server):
    server.broken = {"/second.gz"}
    with pytest.raises(UserError, match=r"second\.gz: .*broke off after \d+ of \d+"):
        find_files(server.source)
    assert [path.name for path in (home / "tiny").iterdir()] == ["first.gz"]
    server.broken.clear()
    server.requests.clear()
    assert folder_of(find_files(server.source)) == home / "tiny"
    assert server.requests == ["/second.gz", "/third.gz"]


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (gzip.compress(b"other", mtime=0), "not the public file: expected SHA-256"),
        (gzip.compress(CONTENT["first"], mtime=0)[:-9], "truncated or corrupt"),
        (b"<html>please log in</html>", "not the public file: expected SHA-256"),
    ],
)
def test_wrong_download_is_refused(home, server, served, reason):
    server.files["/first.gz"] = served
    with pytest.raises(UserError, match=rf"first\.gz: .*{reason}"):
        find_files(server.source)
    assert list((home / "tiny").iterdir()) == []


def test_no_server_and_no_writable_cache(home):
    with pytest.raises(UserError, match=r"download http://127\.0\.0\.1:9/first\.gz: "):
        find_files(NOWHERE)
    home.mkdir(parents=True, exist_ok=True)
    for folder in home.iterdir():
        folder.rmdir()
    (home / "tiny").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"download .*File exists"):
        find_files(NOWHERE)
