"""Archives arrive verified or not at all: from folders, from a real server that misbehaves, or drawn."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tasks import archives, fetch
from tasks.archives import IMAGES, LABELS, MANIFEST, Archive
from tasks.download import BLOCK_BYTES, QUARANTINE, STORE, Downloader, back_off, https_client
from tasks.errors import IntegrityError, MissingResourceError, TryAgainError
from tasks.fetch import gather_archives, run_fetch, usable_folders
from tasks.files import read_json, sha256_bytes
from tasks.idx import read_images, read_labels
from tasks.params import Data, DrawnCounts
from tasks.paths import RAW, metrics_file

CONTENT = np.random.default_rng(0).bytes(5 * BLOCK_BYTES // 2)
ARCHIVE = Archive("some-images.gz", 1, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
CUT = BLOCK_BYTES + 1000
Answer = Callable[[BaseHTTPRequestHandler], None]


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def ranged(content: bytes, cut: int | None = None) -> Answer:
    """Serve with support for Range; close the connection after ``cut`` bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        rest = content[start:]
        extra = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if asked else {}
        send(handler, 206 if asked else 200, rest[:cut], len(rest), **extra)

    return answer


def plain(content: bytes) -> Answer:
    """Serve the whole, whatever range is asked for."""
    return lambda handler: send(handler, 200, content)


def status(code: int) -> Answer:
    return lambda handler: send(handler, code, b"no")


def redirect(address: str) -> Answer:
    return lambda handler: send(handler, 302, b"", Location=address)


class Server(ThreadingHTTPServer):
    """Gives the scripted answers in turn, and the last one ever after; notes what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"], self.path, self.headers.get("Range")))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *arguments: Any) -> None:
        """Keep the tests quiet."""


class ToServer(httpx.HTTPTransport):
    """Carries a request for any https address to the local server in plain http."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return super().handle_request(request)


@pytest.fixture(autouse=True)
def _empty_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("FASHION_MNIST_DIR", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[int]:
    return []


@pytest.fixture
def downloader(server: Server, pauses: list[int]) -> Iterator[Downloader]:
    with https_client(5.0, ToServer(server.server_port)) as client:
        mirrors = ("https://one.test/data", "https://two.test/")
        yield Downloader(client, mirrors, attempts=3, pause=pauses.append)


def data(source: Any = "archives", folders: tuple[str, ...] = ()) -> Data:
    counts = DrawnCounts(train=24, test=20)
    return Data(source=source, folders=folders, mirrors=(), timeout_s=1.0, attempts=1, drawn_per_class=counts)


def hosts(server: Server) -> list[str]:
    return [host for host, _, _ in server.asked]


def test_a_download_is_verified_and_kept_for_the_next_run(server: Server, downloader: Downloader) -> None:
    server.answers = [ranged(CONTENT)]
    path = downloader.fetch(ARCHIVE)
    assert path == STORE / ARCHIVE.name
    assert path.read_bytes() == CONTENT
    assert server.asked == [("one.test", "/data/some-images.gz", None)]
    assert downloader.fetch(ARCHIVE) == path
    assert len(server.asked) == 1
    assert [file.name for file in STORE.iterdir()] == [ARCHIVE.name]


def test_a_broken_connection_resumes_at_the_right_byte(
    server: Server, downloader: Downloader, pauses: list[int]
) -> None:
    server.answers = [ranged(CONTENT, CUT), ranged(CONTENT, 500), ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert [asked for _, _, asked in server.asked] == [None, f"bytes={CUT}-", f"bytes={CUT + 500}-"]
    assert pauses == [1, 2]


def test_a_broken_connection_resumes_in_the_next_run(server: Server, downloader: Downloader) -> None:
    server.answers = [ranged(CONTENT, CUT), status(503)]
    with pytest.raises(TryAgainError, match=rf"{CUT} of {len(CONTENT)} bytes are kept") as caught:
        downloader.fetch(ARCHIVE)
    assert caught.value.exit_code == 75
    server.answers = [ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert server.asked[-1] == ("one.test", "/data/some-images.gz", f"bytes={CUT}-")


def test_an_end_without_an_announced_length_is_resumed(server: Server, downloader: Downloader) -> None:
    def close_early(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT[:CUT])

    server.answers = [close_early, ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert server.asked[-1][2] == f"bytes={CUT}-"


def test_a_run_killed_before_the_rename_downloads_nothing_again(server: Server, downloader: Downloader) -> None:
    STORE.mkdir(parents=True)
    (STORE / f"{ARCHIVE.name}.part").write_bytes(CONTENT)
    server.answers = [status(500)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert server.asked == []


def test_a_server_that_ignores_ranges_starts_over(server: Server, downloader: Downloader) -> None:
    server.answers = [ranged(CONTENT, CUT), plain(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize("given", ["bytes 7-163839/163840", "bytes */163840", ""])
def test_a_wrong_range_starts_over(server: Server, downloader: Downloader, given: str) -> None:
    wrong: Answer = lambda handler: send(handler, 206, CONTENT[7:], Content_Range=given)  # noqa: E731
    server.answers = [ranged(CONTENT, CUT), wrong, ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert server.asked[-1][2] is None
    assert not QUARANTINE.exists()  # the answer was not even read


def test_an_unsatisfiable_range_starts_over(server: Server, downloader: Downloader) -> None:
    server.answers = [ranged(CONTENT, CUT), status(416), ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert server.asked[-1][2] is None


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_tried_again(server: Server, downloader: Downloader, pauses: list[int], code: int) -> None:
    server.answers = [status(code), status(code), ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert pauses == [1, 2]
    assert set(hosts(server)) == {"one.test"}


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_mirror_without_the_archive_is_asked_once(server: Server, downloader: Downloader, code: int) -> None:
    server.answers = [status(code), ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert server.asked == [("one.test", "/data/some-images.gz", None), ("two.test", "/some-images.gz", None)]


@pytest.mark.parametrize("wrong", [CONTENT[:-1] + b"?", CONTENT + b"?" * 3 * BLOCK_BYTES, b"?" * len(CONTENT)])
def test_wrong_bytes_are_set_aside_and_the_next_mirror_asked(
    server: Server, downloader: Downloader, wrong: bytes
) -> None:
    server.answers = [plain(wrong), plain(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert hosts(server) == ["one.test", "two.test"]
    aside = (QUARANTINE / ARCHIVE.name).read_bytes()
    assert wrong.startswith(aside)
    assert len(aside) <= len(CONTENT) + BLOCK_BYTES  # an endless answer is cut off


def test_poisoned_old_bytes_cost_one_more_download(server: Server, downloader: Downloader) -> None:
    STORE.mkdir(parents=True)
    (STORE / f"{ARCHIVE.name}.part").write_bytes(b"?" * CUT)
    server.answers = [ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert [(host, asked) for host, _, asked in server.asked] == [("one.test", f"bytes={CUT}-"), ("one.test", None)]


def test_an_altered_kept_download_is_set_aside(server: Server, downloader: Downloader) -> None:
    STORE.mkdir(parents=True)
    (STORE / ARCHIVE.name).write_bytes(b"?" * len(CONTENT))
    server.answers = [ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert (QUARANTINE / ARCHIVE.name).is_file()


@pytest.mark.parametrize("answer", [status(404), plain(b"?"), plain(b"?" * len(CONTENT)), status(500)])
def test_exhausted_mirrors_say_what_to_do(server: Server, downloader: Downloader, answer: Answer) -> None:
    server.answers = [answer]
    with pytest.raises((MissingResourceError, TryAgainError), match=r"one\.test.*two\.test") as caught:
        downloader.fetch(ARCHIVE)
    assert isinstance(caught.value, MissingResourceError)
    assert caught.value.exit_code == 4
    assert "data/incoming" in str(caught.value)
    assert "FASHION_MNIST_DIR" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_a_missing_resource(server: Server, pauses: list[int]) -> None:
    with https_client(0.5, ToServer(1)) as client:  # nothing listens on port 1
        absent = Downloader(client, ("https://one.test",), attempts=2, pause=pauses.append)
        with pytest.raises(MissingResourceError, match="ConnectError"):
            absent.fetch(ARCHIVE)
    assert pauses == [1]


def test_redirects_are_followed_to_https_only(server: Server, downloader: Downloader) -> None:
    server.answers = [redirect("https://three.test/x.gz"), ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert hosts(server) == ["one.test", "three.test"]


@pytest.mark.parametrize("target", ["http://three.test/x.gz", "ftp://three.test/x.gz", "file:///etc/passwd"])
def test_redirects_to_anything_else_are_refused(server: Server, downloader: Downloader, target: str) -> None:
    server.answers = [redirect(target), ranged(CONTENT)]
    assert downloader.fetch(ARCHIVE).read_bytes() == CONTENT
    assert hosts(server) == ["one.test", "two.test"]


def test_redirects_in_a_circle_end(server: Server, downloader: Downloader) -> None:
    server.answers = [redirect("https://one.test/again")]
    with pytest.raises(MissingResourceError, match="redirects"):
        downloader.fetch(ARCHIVE)
    assert len(server.asked) == 12  # five redirects a mirror


def test_a_full_disk_is_worth_another_try(
    server: Server, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **settings: Any) -> Any:
        raise OSError(28, "No space left on device")

    server.answers = [ranged(CONTENT)]
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(TryAgainError, match="No space left"):
        downloader.fetch(ARCHIVE)


def test_waiting_doubles_up_to_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    for failures in range(1, 11):
        back_off(failures)
    for seconds, middle in zip(waited, [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert 0.5 * middle <= seconds <= 1.5 * middle


@pytest.fixture
def small_archives(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small files in the place of the official ones."""
    contents = {a.name: a.name.encode() * 9 for a in archives.ARCHIVES}
    pins = tuple(Archive(name, 1, len(c), sha256_bytes(c)) for name, c in contents.items())
    monkeypatch.setattr(fetch, "ARCHIVES", pins)
    return contents


def fill(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def test_folders_come_first_in_their_order(
    server: Server, downloader: Downloader, small_archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(small_archives)
    fill(Path("first"), {name: small_archives[name] for name in names[:1]})
    fill(Path("second"), {name: small_archives[name] for name in names[:3]})
    monkeypatch.setenv("FASHION_MNIST_DIR", "first")
    server.answers = [ranged(small_archives[names[3]])]
    settings = data(folders=("$UNSET_FOLDER/x", "$FASHION_MNIST_DIR", "absent", "second"))
    manifest = gather_archives(settings, downloader)
    assert [path for _, path, _ in server.asked] == [f"/data/{names[3]}"]  # only what no folder has
    assert {name: (RAW / name).read_bytes() for name in names} == small_archives
    assert manifest == read_json(MANIFEST) == read_json(metrics_file("fetch"))
    assert manifest["drawn"] is False
    assert manifest["files"][names[0]] == {
        "bytes": len(small_archives[names[0]]),
        "sha256": sha256_bytes(small_archives[names[0]]),
    }


def test_gathering_twice_changes_nothing(downloader: Downloader, small_archives: dict[str, bytes]) -> None:
    fill(Path("incoming"), small_archives)
    first = gather_archives(data(folders=("incoming",)), downloader)
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in RAW.glob("*.gz")}
    (RAW / IMAGES["test"]).write_bytes(b"altered")
    assert gather_archives(data(folders=("incoming",)), downloader) == first
    after = {path: (path.read_bytes(), path.stat().st_ino) for path in RAW.glob("*.gz")}
    assert {path: content for path, (content, _) in after.items()} == {p: c for p, (c, _) in before.items()}
    kept = [path for path in before if path.name != IMAGES["test"]]
    assert all(after[path] == before[path] for path in kept)  # what was right was not written again


@pytest.mark.parametrize("altered", [b"short", None])
def test_an_altered_file_in_a_folder_stops_everything(
    server: Server, downloader: Downloader, small_archives: dict[str, bytes], altered: bytes | None
) -> None:
    folder = fill(Path("incoming"), small_archives)
    name = IMAGES["train"]
    flipped = bytes([small_archives[name][0] ^ 1]) + small_archives[name][1:]
    (folder / name).write_bytes(altered or flipped)
    server.answers = [ranged(small_archives[name])]
    with pytest.raises(IntegrityError) as caught:
        gather_archives(data(folders=("incoming",)), downloader)
    assert caught.value.exit_code == 3
    assert f"incoming/{name}" in str(caught.value)
    assert sha256_bytes(small_archives[name]) in str(caught.value)
    assert ("has 5 bytes" if altered else sha256_bytes(flipped)) in str(caught.value)
    assert server.asked == []
    assert not MANIFEST.exists()


def test_a_dangling_link_in_a_folder_is_named(downloader: Downloader, small_archives: dict[str, bytes]) -> None:
    Path("incoming").mkdir()
    Path("incoming", IMAGES["train"]).symlink_to("nowhere")
    with pytest.raises(MissingResourceError, match=r"cannot be read \(No such file"):
        gather_archives(data(folders=("incoming",)), downloader)


def test_nothing_anywhere_is_a_missing_resource() -> None:
    with pytest.raises(MissingResourceError, match="in none of the folders") as caught:
        run_fetch(data(), seed=1)
    assert caught.value.exit_code == 4


def test_folders_are_expanded_and_relative_to_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, home = tmp_path / "inside", tmp_path / "home"
    inside.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("SET", str(inside))
    assert usable_folders(("$EMPTY", "$UNSET_FOLDER", "absent", "inside", "~", "${SET}")) == [
        tmp_path / "inside",
        home,
        inside,
    ]


def test_a_variable_that_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_MNIST_DIR", "/nowhere")
    with pytest.raises(MissingResourceError, match=r"^\$FASHION_MNIST_DIR: /nowhere is no folder") as caught:
        usable_folders(("$FASHION_MNIST_DIR", "absent"))
    assert caught.value.exit_code == 4


def test_drawn_garments_are_archives_like_any_other() -> None:
    manifest = run_fetch(data("drawn"), seed=1)
    assert manifest["drawn"] is True
    for split, per_class in (("train", 24), ("test", 20)):
        assert read_images(RAW / IMAGES[split], 10 * per_class).shape == (10 * per_class, 28, 28)
        assert np.bincount(read_labels(RAW / LABELS[split], 10 * per_class)).tolist() == [per_class] * 10
    before = {path.name: path.read_bytes() for path in RAW.iterdir()}
    run_fetch(data("drawn"), seed=1)
    assert {path.name: path.read_bytes() for path in RAW.iterdir()} == before
    assert run_fetch(data("drawn"), seed=2)["files"] != manifest["files"]
