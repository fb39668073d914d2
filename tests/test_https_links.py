"""Photos by https link: every trick that services of this kind were broken into by, against a real TLS server."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import httpcore
import pytest
from tests.service_support import client_of, some_settings
from tests.tls_server import HOST, TlsServer, running_tls_server

from binsight.errors import BadInput, BadPhoto, NotAllowed, StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.service import https_links
from binsight.service.addresses import is_public
from binsight.service.app import make_app
from binsight.service.https_links import HttpsLinks, resolved
from binsight.service.links import Links

PHOTO = drawn_photo(3, seed=3)
PUBLIC, OTHER_PUBLIC = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
ALLOWED = (f"https://{HOST}/photos/",)
UNREADABLE = "the linked photo cannot be read; check the link, or send the photo itself"


class OneHouse(httpcore.AsyncNetworkBackend):
    """A network in which `up` addresses lead to the server on loopback, and no others anywhere."""

    def __init__(self, port: int, up: tuple[str, ...] = (PUBLIC,)) -> None:
        self._port, self._up, self._real = port, up, httpcore.AnyIOBackend()
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *rest: Any) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        if host not in self._up:
            raise httpcore.ConnectError("nobody is there")
        return await self._real.connect_tcp("127.0.0.1", self._port, *rest)


class Names:
    """A resolver that answers each question with the next of its answers, and the last again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers, self.asked = list(answers), 0

    async def __call__(self, host: str) -> list[str]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    with running_tls_server(PHOTO) as server:
        yield server


def read(server: TlsServer, link: str, *, names: Names | None = None, network: OneHouse | None = None) -> bytes:
    links = HttpsLinks(
        ALLOWED,
        max_bytes=100_000,
        resolver=names or Names([PUBLIC]),
        tls=server.trusting(),
        network=network or OneHouse(server.port),
    )
    return asyncio.run(links.read(link))


def test_an_allowed_photo_is_read_from_the_address_that_was_looked_at(server: TlsServer) -> None:
    network = OneHouse(server.port)
    link = f"https://{HOST}/photos/aisle-1/1.jpg?signature=a%2Fb"
    assert read(server, link, network=network) == PHOTO
    assert network.asked == [(PUBLIC, 443)]
    path, headers, name = server.seen[-1]
    assert (path, headers["Host"], name) == ("/photos/aisle-1/1.jpg?signature=a%2Fb", HOST, HOST)
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


NO_LINKS = [
    "http://photos.example.com/photos/1.jpg",
    "HTTPS://photos.example.com/photos/1.jpg",
    "https:/photos.example.com/photos/1.jpg",
    "https:///photos/1.jpg",
    "https://photos.example.com",
    "https://photos.example.com:443/photos/1.jpg",
    "https://photos.example.com:6666/photos/1.jpg",
    "https://photos.example.com./photos/1.jpg",
    "https://PHOTOS.example.com/photos/1.jpg",
    "https://user@photos.example.com/photos/1.jpg",
    "https://photos.example.com@127.0.0.1/photos/1.jpg",
    "https://127.0.0.1:6666\\@photos.example.com/photos/1.jpg",
    "https://127.0.0.1\\@photos.example.com/photos/1.jpg",
    "https://photos.example.com\\photos/1.jpg",
    "https://photos.example.com/photos\\..\\1.jpg",
    "https://photos.example.com#@127.0.0.1/photos/1.jpg",
    "https://photos.example.com/photos/1.jpg#x",
    "https://photos.example.com/photos/../closed/1.jpg",
    "https://photos.example.com/photos/./1.jpg",
    "https://photos.example.com/photos//1.jpg",
    "https://photos.example.com/photos/%2e%2e/closed/1.jpg",
    "https://photos.example.com/photos/1.jpg\r\nHost: closed",
    "https://photos.example.com/photos/1.jpg?a b",
    "https://photos.example.com/photos/1.jpg?a\tb",
    "https://photos.example.com/phötos/1.jpg",
    "https://phоtos.example.com/photos/1.jpg",
    "https://photos。example.com/photos/1.jpg",
    "https://127.0.0.1/photos/1.jpg",
    "https://127.1/photos/1.jpg",
    "https://0x7f.1/photos/1.jpg",
    "https://0x7f.0x1/photos/1.jpg",
    "https://0177.0.0.1/photos/1.jpg",
    "https://2130706433/photos/1.jpg",
    "https://[::1]/photos/1.jpg",
    "https://[::ffff:169.254.169.254]/photos/1.jpg",
    "https://localhost/photos/1.jpg",
    "https://-photos.example.com/photos/1.jpg",
    "https://" + "a" * 64 + ".example.com/photos/1.jpg",
    "https://" + "a." * 130 + "com/photos/1.jpg",
    f"https://{HOST}/photos/" + "a" * 2000,
    "",
]
NOT_ALLOWED = [
    "https://example.com/photos/1.jpg",
    "https://photos.example.com.evil.net/photos/1.jpg",
    "https://evil-photos.example.com/photos/1.jpg",
    "https://photos.example.com/closed/1.jpg",
    "https://photos.example.com/photos",
    "https://photos.example.com/photosynthesis/1.jpg",
    "https://photos.example.com/?/photos/1.jpg",
]


@pytest.mark.parametrize(
    ("link", "error"), [*((link, BadInput) for link in NO_LINKS), *((link, NotAllowed) for link in NOT_ALLOWED)]
)
def test_no_link_leads_elsewhere(server: TlsServer, link: str, error: type[Exception]) -> None:
    """Refused before any name is asked for, in a sentence that repeats nothing of the link."""
    names, network = Names([PUBLIC]), OneHouse(server.port)
    with pytest.raises(error) as refusal:
        read(server, link, names=names, network=network)
    assert (names.asked, network.asked) == (0, [])
    assert "example" not in str(refusal.value)


INSIDE = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:169.254.169.254", "::127.0.0.1", "::a9fe:a9fe"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1::808:808"),
    *("2002:a9fe:a9fe::1", "2002:7f00:1::", "2002:808:808::1"),
    *("2001::1", "2001:0:7f00:1::5601:5601", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1"),
    *("2001:db8::1", "2620:4f:8000::1", "3fff::1", "100::1", "5f00::1", "4000::1", "2606:4700::5efe:a00:1"),
    *("2606:4700::200:5efe:a00:1", "not an address", ""),
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_within_is_never_connected_to(server: TlsServer, address: str) -> None:
    """Alone or beside a public one, by the one constant sentence."""
    assert not is_public(address)
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        network = OneHouse(server.port, up=(PUBLIC, address))
        with pytest.raises(StorageFailure) as refusal:
            read(server, f"{ALLOWED[0]}1.jpg", names=Names(answer), network=network)
        assert (str(refusal.value), network.asked) == (UNREADABLE, [])


@pytest.mark.parametrize(
    "address", ["1.1.1.1", PUBLIC, OTHER_PUBLIC, "::ffff:8.8.8.8", "64:ff9b::808:808", "2a00:1450:4001:831::200e"]
)
def test_an_address_that_everybody_reaches_is_public(address: str) -> None:
    assert is_public(address)


def test_a_name_that_is_bound_to_another_address_meanwhile_is_not_asked_for_again(server: TlsServer) -> None:
    """DNS rebinding: public when it is looked at, within when it is connected to."""
    names, network = Names([PUBLIC], ["127.0.0.1"]), OneHouse(server.port, up=(PUBLIC, "127.0.0.1"))
    assert read(server, f"{ALLOWED[0]}1.jpg", names=names, network=network) == PHOTO
    assert (names.asked, network.asked) == (1, [(PUBLIC, 443)])


def test_the_next_address_is_tried_where_one_does_not_answer(server: TlsServer) -> None:
    network = OneHouse(server.port)
    assert read(server, f"{ALLOWED[0]}1.jpg", names=Names([OTHER_PUBLIC, PUBLIC]), network=network) == PHOTO
    assert network.asked == [(OTHER_PUBLIC, 443), (PUBLIC, 443)]


def test_a_name_that_means_this_machine_to_the_system_is_refused(server: TlsServer) -> None:
    """The real resolver, and a name of this machine that looks like one of the internet."""
    assert {"127.0.0.1", "::1"} & set(asyncio.run(resolved("localhost")))
    assert not any(map(is_public, asyncio.run(resolved("localhost"))))
    with pytest.raises(StorageFailure) as refusal:
        links = HttpsLinks(ALLOWED, max_bytes=1000, network=OneHouse(server.port))
        asyncio.run(links.read(f"{ALLOWED[0]}1.jpg"))
    assert str(refusal.value) == UNREADABLE


@pytest.mark.parametrize("photo", ["redirected", "missing", "compressed"])
def test_what_is_not_simply_there_has_one_sentence(
    server: TlsServer, photo: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Another place that the answer names is not looked at; the log knows why, the sender does not."""
    before = len(server.seen)
    with pytest.raises(StorageFailure) as refusal, caplog.at_level(logging.INFO):
        read(server, f"{ALLOWED[0]}{photo}.jpg")
    assert str(refusal.value) == UNREADABLE
    assert len(server.seen) == before + 1
    assert {"redirected": "302", "missing": "404", "compressed": "compressed"}[photo] in caplog.text


def test_a_host_that_cannot_prove_its_name_gets_the_same_sentence(server: TlsServer) -> None:
    with running_tls_server(PHOTO, name="other.example.com") as other:
        before = len(other.seen)
        with pytest.raises(StorageFailure) as refusal:
            read(other, f"{ALLOWED[0]}1.jpg")
        assert (str(refusal.value), len(other.seen)) == (UNREADABLE, before)
    links = HttpsLinks(
        ALLOWED, max_bytes=1000, resolver=Names([PUBLIC]), network=OneHouse(server.port)
    )  # trusts the system's CAs
    with pytest.raises(StorageFailure) as refusal:
        asyncio.run(links.read(f"{ALLOWED[0]}1.jpg"))
    assert str(refusal.value) == UNREADABLE


@pytest.mark.parametrize(
    ("photo", "reason"), [("large", "too_many_bytes"), ("endless", "too_many_bytes"), ("page", "format")]
)
def test_what_is_too_large_or_no_image_is_refused(server: TlsServer, photo: str, reason: str) -> None:
    with pytest.raises(BadPhoto) as refusal:
        read(server, f"{ALLOWED[0]}{photo}.jpg")
    assert refusal.value.reason == reason


def test_a_host_that_drips_is_given_up(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; all of them do not."""
    monkeypatch.setattr(https_links, "WITHIN_S", 1)
    with pytest.raises(StorageFailure) as refusal:
        read(server, f"{ALLOWED[0]}slow.jpg")
    assert str(refusal.value) == UNREADABLE


def test_no_proxy_of_the_environment_is_asked(server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(server, f"{ALLOWED[0]}1.jpg") == PHOTO


@pytest.mark.parametrize(
    "prefix",
    [f"https://{HOST}", f"https://{HOST}/photos", "https://127.0.0.1/", f"https://{HOST}:8443/", "https://*/"],
)
def test_a_prefix_that_would_allow_more_than_it_seems_to_is_refused(prefix: str) -> None:
    with pytest.raises(BadInput):
        Links((prefix,), max_bytes=1000)


def test_https_is_off_until_the_settings_name_a_host() -> None:
    with pytest.raises(BadInput, match="begins with s3://"):
        asyncio.run(Links(("s3://bucket/",), max_bytes=1000).read(f"{ALLOWED[0]}1.jpg"))


def test_linked_photos_are_bounded_in_memory_as_bodies_are(server: TlsServer) -> None:
    """Two of them have room together, and give it back; three do not."""
    https = HttpsLinks(
        ALLOWED,
        max_bytes=100_000,
        resolver=Names([PUBLIC]),
        tls=server.trusting(),
        network=OneHouse(server.port),
    )
    room = len(PHOTO) * 2 + 1000
    chosen = some_settings(allowed_links=ALLOWED, max_request_bytes=room, max_bytes_together=room)
    app = make_app(chosen=chosen)
    with client_of(app) as client:
        app.state.answering.links._https = https
        for num_links, num_refused in ((2, 0), (3, 1), (2, 0)):
            photos = [{"uri": f"{ALLOWED[0]}1.jpg"}] * num_links
            results = client.post("/v1/count", json={"photos": photos}).json()["results"]
            refused = [result["error"]["code"] for result in results if "error" in result]
            assert refused == ["overloaded"] * num_refused


def test_the_service_counts_a_photo_by_https_link(server: TlsServer) -> None:
    """The whole way, and what the sender of a bad link gets to see."""
    network = OneHouse(server.port)
    https = HttpsLinks(ALLOWED, max_bytes=100_000, resolver=Names([PUBLIC]), tls=server.trusting(), network=network)
    app = make_app(chosen=some_settings(allowed_links=ALLOWED))
    with client_of(app) as client:
        app.state.answering.links._https = https

        def ask(link: str) -> Any:
            return client.post("/v1/count", content=link, headers={"content-type": "string/url"})

        sent = client.post("/v1/count", content=PHOTO, headers={"content-type": "image/jpeg"}).json()
        assert ask(f"{ALLOWED[0]}1.jpg\n").json()["probs"] == sent["probs"]
        missing = ask(f"{ALLOWED[0]}missing.jpg")
        assert (missing.status_code, missing.json()["error"]["code"]) == (424, "link_unread")
        assert "404" not in missing.text
        assert app.state.metrics.num_requests()[1] == 0, "who sends dead links makes no failures of the service's"
        assert ask(f"{ALLOWED[0]}large.jpg").status_code == 413
        assert ask("https://example.com/1.jpg").status_code == 403
