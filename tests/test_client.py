"""The typed client against the real service: the same answers, the tree's errors, patience that ends in time."""

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from tests.service_support import Process, serving

from binsight.cli import cli
from binsight.client import Answer, AsyncClient, Client, Patience
from binsight.client.answers import BAD_PHOTO, error_of
from binsight.client.asking import Ask
from binsight.client.exchange import Pause, Send, exchange
from binsight.counting import Counter, default_bundle
from binsight.errors import (
    BadInput,
    BadPhoto,
    BinsightError,
    MissingObject,
    NotAllowed,
    NotReady,
    Overloaded,
    ServiceBusy,
    ServiceFailed,
    TooMany,
    UnknownCaller,
    Unreachable,
)
from binsight.imaging.drawn import drawn_photo
from binsight.service.answers import STATUS

PHOTO = drawn_photo(3, seed=3)


@pytest.fixture(scope="module")
def served() -> Iterator[Process]:
    with serving() as process:
        yield process


@pytest.fixture(scope="module")
def client(served: Process) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client


@pytest.fixture(scope="module")
def photos(abid: Path) -> list[Path]:
    return sorted((abid / "bin-images").glob("*.jpg"))[:12]


def test_answers_are_those_of_counting_here(client: Client, served: Process, photos: list[Path]) -> None:
    """On real photos, in order, from both clients."""

    async def all_of_them() -> list[tuple[str, Answer | BinsightError]]:
        async with AsyncClient(served.url) as other:
            assert await other.ready()
            return [result async for result in other.count_many(photos)]

    here = list(Counter.load(default_bundle()).count([(str(path), path.read_bytes()) for path in photos]))
    for found in (list(client.count_many(photos)), asyncio.run(all_of_them())):
        assert [name for name, _ in found] == [estimate.photo for estimate in here]
        for (_, answer), estimate in zip(found, here, strict=True):
            assert isinstance(answer, Answer) and not hasattr(estimate, "error")
            assert (answer.count, answer.interval) == (estimate.count, estimate.interval)  # type: ignore[union-attr]
            np.testing.assert_allclose(answer.estimate.probs, estimate.probs, atol=1e-5)  # type: ignore[union-attr]
            assert answer.estimate.flags == estimate.flags  # type: ignore[union-attr]
            assert answer.model.startswith("default:") and answer.timing.inference > 0 and answer.verdict is None


def test_a_photo_may_be_bytes_a_path_or_what_reads_it(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "bin.jpg"
    path.write_bytes(PHOTO)
    answers = [client.count(photo) for photo in (PHOTO, path, str(path), path.read_bytes)]
    assert len({answer.estimate.probs for answer in answers}) == 1
    assert [answer.estimate.photo for answer in answers] == ["photo 1", str(path), str(path), "photo 1"]
    assert client.count(PHOTO, request_id="mine-1").request_id == "mine-1"


def test_a_record_gets_a_verdict(client: Client) -> None:
    counted, verified = client.count(PHOTO, expected=9), client.verify(PHOTO, 9)
    assert counted.verdict is not None
    assert (counted.verdict.expected, counted.verdict.word) == (9, "suspect")
    assert verified.verdict == counted.verdict
    with pytest.raises(BadInput, match="0 or more"):
        client.verify(PHOTO, -1)


def test_a_key_loses_its_lines_end_and_one_that_is_none_is_refused_unseen(served: Process) -> None:
    with Client(served.url, key="bsk_secret\n") as one:
        assert one.count(PHOTO).count >= 0
    for make in (Client, AsyncClient):
        for wrong in ("bsk_secret\nX-Other: 1", "bsk_s\u00e9cret", "bsk secret"):
            with pytest.raises(BadInput, match="the key must be") as told:
                make(served.url, key=wrong)
            assert "bsk" not in str(told.value)


def test_what_cannot_be_sent_is_told_at_once_and_without_its_headers(served: Process) -> None:
    begin = time.monotonic()
    with Client(served.url) as one, pytest.raises(BadInput, match="cannot be sent") as told:
        one.count(PHOTO, request_id="mine\n1")
    assert time.monotonic() - begin < 5 and "mine" not in str(told.value)


def test_the_model_in_service_is_told(client: Client) -> None:
    (model,) = client.models()
    assert client.count(PHOTO).model == f"{model.name}:{model.version}"
    assert model.num_counts == len(client.count(PHOTO).estimate.probs)
    assert model.certificate is not None and "photos" in json.dumps(model.figures)


def test_errors_are_those_of_the_tree_with_code_mend_and_request_id(client: Client) -> None:
    with pytest.raises(BadPhoto) as bad:
        client.count(b"GIF89a" + bytes(100), request_id="bad-1")
    assert (bad.value.reason, bad.value.code, bad.value.request_id) == ("format", "bad_photo_format", "bad-1")
    assert bad.value.mend and str(bad.value).endswith(f"; {bad.value.mend}")
    with pytest.raises(NotAllowed) as refused:
        client.count("s3://bucket/photo.jpg")
    with pytest.raises(BadInput, match="no link that this service follows") as off:
        client.count("https://host.example.com/photo.jpg")
    assert off.value.code == "bad_input", "the service says so, where https links are off"
    assert (refused.value.code, refused.value.mend) == ("not_allowed", "ask who runs it")
    with pytest.raises(BadInput, match="no link that the service follows"):
        client.count("http://host/photo.jpg")
    with pytest.raises(MissingObject, match="cannot be read"):
        client.count(Path("not-there.jpg"))


@pytest.mark.parametrize(("kind", "status", "code"), STATUS, ids=[code for _, _, code in STATUS])
def test_every_error_of_the_service_is_the_same_error_here(
    kind: type[BinsightError], status: int, code: str
) -> None:
    fields = {"error": {"code": code, "message": "it is so", "mend": "do this", "request_id": "r"}}
    error = error_of(status, fields, request_id="other", retry_after=7)
    assert type(error) is (NotReady if kind is ServiceBusy else kind)
    assert (str(error), error.mend, error.code, error.request_id) == ("it is so; do this", "do this", code, "r")
    if isinstance(error, Overloaded):
        assert error.retry_after == 7


@pytest.mark.parametrize(
    ("status", "kind"), [(401, UnknownCaller), (429, TooMany), (409, BadInput), (500, ServiceFailed)]
)
def test_what_another_version_or_a_proxy_answers_is_known_by_its_status(
    status: int, kind: type[BinsightError]
) -> None:
    for fields in (None, {"detail": "no"}, {"error": {"code": "of tomorrow", "message": "a", "mend": "b"}}):
        error = error_of(status, fields, request_id="r", retry_after=None)
        assert (type(error), error.request_id) == (kind, "r")
    reason = error_of(400, {"error": {"code": BAD_PHOTO + "new"}}, request_id="r", retry_after=None)
    assert isinstance(reason, BadPhoto) and reason.reason == "new"


def test_many_are_bounded_and_one_that_fails_keeps_its_place(client: Client) -> None:
    taken = 0

    def some() -> Iterator[tuple[str, bytes]]:
        nonlocal taken
        for name, photo in (("a", PHOTO), ("bad", b"no photo"), *((str(n), PHOTO) for n in range(10))):
            taken += 1
            yield name, photo

    results = client.count_many(some(), at_once=3)
    first = next(results)
    assert taken == 3, "no more are read than may be under way"
    rest = list(results)
    assert [name for name, _ in (first, *rest)] == ["a", "bad", *map(str, range(10))]
    assert [name for name, result in rest if isinstance(result, BinsightError)] == ["bad"]
    with pytest.raises(BadInput, match="at_once must be 1 or more"):
        next(client.count_many([PHOTO], at_once=0))


def test_a_service_that_is_full_is_asked_again_until_it_answers() -> None:
    """With room for one photo beside the one in work, four at once are all counted in the end."""
    with (
        serving("--lanes", "1", env={"BINSIGHT_QUEUE_PHOTOS": "1"}) as served,
        Client(served.url, patience=Patience(within_s=120)) as client,
    ):
        results = [result for _, result in client.count_many([PHOTO] * 6, at_once=4)]
        metrics = httpx.get(f"{served.url}/metrics").text
    assert all(isinstance(result, Answer) for result in results), results
    assert 'status="503"' in metrics, "it was full"


def test_the_key_goes_along_and_a_certificate_is_checked(tmp_path: Path) -> None:
    keys: list[str | None] = []
    with tls_server(tmp_path, keys) as url:
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        with Client(url, key="a-key", verify=context) as client:
            assert client.ready()
        with Client(url, verify=context) as client:
            assert client.ready()
        with Client(url, key="a-key", patience=Patience(within_s=2)) as client:
            assert not client.ready()
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                client.count(PHOTO)
    assert keys == ["Bearer a-key", None], "and none was shown to a server that proved nothing"


@contextmanager
def tls_server(folder: Path, keys: list[str | None]) -> Iterator[str]:
    """A server with a certificate of its own, which notes the keys that it is shown."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    made = ("-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    subprocess.run(["openssl", "req", "-x509", "-days", "2", *made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # it is told of refused certificates
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_nobody_there_is_said_in_time() -> None:
    with Client("http://127.0.0.1:9", patience=Patience(within_s=0.5)) as client:
        assert not client.ready()
        with pytest.raises(Unreachable, match=r"no connection to http://127.0.0.1:9 can be made") as gone:
            client.count(PHOTO, request_id="gone-1")
    assert gone.value.request_id == "gone-1"
    for url in ("ftp://host", "host:80", "", "http://a\nb", "http://"):
        with pytest.raises(BadInput, match="give https://HOST"):
            Client(url)


def test_an_address_where_nobody_ever_listened_is_given_up_soon() -> None:
    """By a refusal or by silence, though the call itself may take a minute; one that has answered may be starting again."""
    refused, silent = httpx.ConnectError("refused"), httpx.ConnectTimeout("timed out")
    for cause in (refused, silent):
        steps, error = steps_of([cause] * 99, Patience(first_wait_s=1))
        assert isinstance(error, Unreachable) and "no connection to the service can be made" in str(error)
        assert sum(step.seconds for step in steps if isinstance(step, Pause)) <= 5
        assert {step.connect_s for step in steps if isinstance(step, Send)} == {5}
    steps, error = steps_of([busy(), *[refused] * 99], Patience(first_wait_s=1))
    assert isinstance(error, Unreachable)
    assert 50 < sum(step.seconds for step in steps if isinstance(step, Pause)) <= 60, "it was there a moment ago"
    steps, value = steps_of([httpx.ReadTimeout("slow")] * 9 + [httpx.Response(200, json={})], Patience())
    assert value == {}, "one that is slow is waited for"


def test_counting_where_nobody_listens_ends_soon_with_one_sentence(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.jpg").write_bytes(PHOTO)
    begun = time.monotonic()
    done = CliRunner().invoke(cli, ["count", str(tmp_path), "--at", "http://127.0.0.1:9"])
    assert isinstance(done.exception, Unreachable)
    assert "no connection to http://127.0.0.1:9 can be made" in str(done.exception)
    assert "check its address, and whether it runs" in str(done.exception)
    assert time.monotonic() - begun < 20


def test_a_service_that_has_answered_is_waited_for_while_it_starts_again() -> None:
    """For longer than an address at which nobody has listened yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"models": []}')

        def log_message(self, *_: object) -> None: ...

    @contextmanager
    def there(port: int) -> Iterator[int]:
        with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_port
            server.shutdown()

    def come_back(port: int) -> None:
        time.sleep(1)
        with there(port):
            came_back.wait(30)

    came_back, patience = Event(), Patience(connect_within_s=0.2, longest_wait_s=0.2, within_s=30)
    with there(0) as port:
        client = Client(f"http://127.0.0.1:{port}", patience=patience)
        assert client.models() == [] and client.was_heard
    with Client(f"http://127.0.0.1:{port}", patience=patience) as stranger, pytest.raises(Unreachable):
        stranger.models()
    again = Thread(target=come_back, args=(port,))
    again.start()
    with client:
        assert client.models() == []
    came_back.set()
    again.join()


def steps_of(replies: list[httpx.Response | httpx.RequestError], patience: Patience) -> tuple[list[Any], Any]:
    """Every step of a call that gets these replies, and what it came to; pauses pass at once on its clock."""
    now, steps = 0.0, []
    running = exchange(Ask(path="/"), patience, clock=lambda: now, chance=lambda: 0.5)
    try:
        step = next(running)
        while True:
            steps.append(step)
            if isinstance(step, Pause):
                now += step.seconds
                step = running.send(None)
            else:
                step = running.send(replies.pop(0))
    except StopIteration as end:
        return steps, end.value
    except BinsightError as error:
        return steps, error


def busy(status: int = 503, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_waits_grow_are_drawn_and_come_after_what_the_service_asks_for() -> None:
    patience = Patience(within_s=100, first_wait_s=1, longest_wait_s=3)
    replies = [busy(), busy(502), busy(429, retry_after="4"), httpx.ConnectError("refused"), busy(504)]
    steps, value = steps_of([*replies, httpx.Response(200, json={"fine": 1})], patience)
    assert value == {"fine": 1}
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.5, 1.0, 5.5, 1.5, 1.5]
    sent = [step for step in steps if isinstance(step, Send)]
    assert len({step.ask.headers["X-Request-Id"] for step in sent}) == 1, "one id over all tries"
    assert [step.timeout_s for step in sent] == [100, 99.5, 98.5, 93, 91.5, 90]


def test_no_wait_goes_beyond_the_deadline() -> None:
    steps, error = steps_of([busy(), busy(retry_after="9")], Patience(within_s=9, first_wait_s=1))
    assert isinstance(error, Overloaded) and error.retry_after == 9
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.5]
    dated = busy(retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert steps_of([dated, httpx.Response(200, json={})], Patience(first_wait_s=2))[0][1] == Pause(1.0)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415, 500])
def test_what_would_be_answered_the_same_again_is_not_asked_again(status: int) -> None:
    steps, error = steps_of([busy(status)], Patience())
    assert len(steps) == 1 and isinstance(error, BinsightError)


def test_what_is_not_the_service_is_said(client: Client) -> None:
    for strange in (httpx.Response(200, json=[1]), httpx.Response(200, text="<html>"), httpx.Response(302)):
        _, error = steps_of([strange], Patience())
        assert isinstance(error, ServiceFailed) and "is not Binsight's service" in str(error)


def test_counting_at_a_service_prints_the_lines_of_counting_here(served: Process, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    here = CliRunner().invoke(cli, ["count", str(tmp_path), "--json"])
    there = CliRunner().invoke(cli, ["count", str(tmp_path), "--json", "--at", served.url])
    assert here.exit_code == there.exit_code == 1
    (one, bad), (other, other_bad) = ([json.loads(line) for line in r.stdout.splitlines()] for r in (here, there))
    np.testing.assert_allclose(one.pop("probs"), other.pop("probs"), atol=1e-5)
    assert one == other
    assert list(bad) == list(other_bad) == ["photo", "error"] and bad["photo"] == other_bad["photo"]
    refused = CliRunner().invoke(cli, ["count", str(tmp_path), "--at", served.url, "--model", "m"])
    assert isinstance(refused.exception, BadInput)
