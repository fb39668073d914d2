"""`binsight serve` as others reach it: keys, TLS, proxies; the real process."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import trustme
from tests.service_support import free_port, serving, until_ready

from binsight.imaging.drawn import drawn_photo
from binsight.settings import Settings

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}


def binsight(*arguments: str, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "binsight", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **env}
    )


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"BINSIGHT_LEDGER": f"sqlite:///{tmp_path}/ledger.db"}


def test_nobody_is_let_in_from_elsewhere_by_accident(env: dict[str, str]) -> None:
    ended = binsight("serve", "--host", "0.0.0.0", "--port", "0", env=env)
    assert ended.returncode == 1
    assert "binsight keys add NAME" in ended.stderr
    assert "--no-keys" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("how", ["option", "setting"])
def test_something_in_front_may_decide_who_asks(env: dict[str, str], how: str) -> None:
    """SageMaker's container: the platform lets in whom it knows, and sends no key."""
    options = ["--host", "0.0.0.0", *(["--no-keys"] if how == "option" else [])]
    setting = {} if how == "option" else {"BINSIGHT_ACCESS": "open"}
    with serving(*options, env=env | setting) as served, served.client as client:
        assert client.post("/invocations", content=PHOTO, headers=JPEG).status_code == 200
        assert client.get("/metrics").status_code == 200


def test_a_key_opens_a_service_that_others_can_reach_until_it_is_revoked(env: dict[str, str]) -> None:
    token = binsight("keys", "add", "robot", env=env).stdout.strip()
    sent = {"X-Api-Key": token}
    with serving("--host", "0.0.0.0", env=env) as served, served.client as client:
        assert client.post("/invocations", content=PHOTO, headers=JPEG).status_code == 401
        assert client.post("/invocations", content=PHOTO, headers=JPEG | sent).status_code == 200
        later = json.loads(binsight("keys", "add", "another", "--json", env=env).stdout)["key"]
        until(client, 200, {"X-Api-Key": later})
        assert binsight("keys", "revoke", token.split("_")[1], env=env).returncode == 0
        begun = time.monotonic()
        until(client, 401, sent)
        assert time.monotonic() - begun < 10
        assert client.post("/invocations", content=PHOTO, headers=JPEG | {"X-Api-Key": later}).status_code == 200
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        assert served.process.stderr is not None
        log = served.process.stderr.read()
    assert token.split("_")[2] not in log
    listed = [json.loads(line) for line in binsight("keys", "list", "--json", env=env).stdout.splitlines()]
    assert all(key["last_used_at"] for key in listed), "noted at the end at the latest"


def until(client: httpx.Client, status: int, sent: dict[str, str]) -> None:
    end = time.monotonic() + 30
    while client.post("/invocations", content=PHOTO, headers=JPEG | sent).status_code != status:
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[trustme.CA, Path, Path]:
    """A throw-away CA, and the certificate that it gave to localhost with its key."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(cert), append=True)
    issued.private_key_pem.write_to_path(str(key))
    return authority, cert, key


def test_it_answers_over_https_and_over_nothing_older(certificate: tuple[trustme.CA, Path, Path]) -> None:
    authority, cert, key = certificate
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    command = [sys.executable, "-m", "binsight", "serve", "--port", str(port)]
    command += ["--tls-cert", str(cert), "--tls-key", str(key)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            with httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=60) as client:
                wait_for(client)
                until_ready(client)
                assert client.post("/v1/count", content=PHOTO, headers=JPEG).status_code == 200
            with pytest.raises(httpx.TransportError):
                httpx.get(f"http://localhost:{port}/ping")
            old = ssl.create_default_context()
            authority.configure_trust(old)
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            with pytest.raises(httpx.TransportError):
                httpx.get(f"https://localhost:{port}/ping", verify=old)
        finally:
            process.terminate()


def wait_for(client: httpx.Client) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            client.get("/ping")
            return
        except httpx.ConnectError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_certificate_that_cannot_be_used_is_named(
    certificate: tuple[trustme.CA, Path, Path], tmp_path: Path, env: dict[str, str]
) -> None:
    _, cert, _ = certificate
    for pair in ((cert, tmp_path / "nowhere"), (cert, cert)):
        ended = binsight("serve", "--port", "0", "--tls-cert", str(pair[0]), "--tls-key", str(pair[1]), env=env)
        assert ended.returncode == 1
        assert "cannot be used for TLS" in ended.stderr
        assert "Traceback" not in ended.stderr
    ended = binsight("serve", "--port", "0", "--tls-cert", str(cert), env=env)
    assert "give both --tls-cert and --tls-key" in ended.stderr


@pytest.mark.parametrize(("proxies", "client_seen"), [("[]", "127.0.0.1"), ('["127.0.0.0/8"]', "198.51.100.7")])
def test_a_proxy_is_believed_where_the_settings_name_it(proxies: str, client_seen: str) -> None:
    """Nobody by default, not even this machine; and no variable of the server's own changes that."""
    env = {"BINSIGHT_TRUSTED_PROXIES": proxies, "FORWARDED_ALLOW_IPS": "*"}
    with serving("--json", env=env) as served, served.client as client:
        client.get("/v2", headers={"X-Forwarded-For": "198.51.100.7"})
        served.process.send_signal(signal.SIGTERM)
        assert served.process.stderr is not None
        lines = [json.loads(line) for line in served.process.stderr]
    (line,) = [line for line in lines if line.get("endpoint") == "/v2"]
    assert line["client"] == client_seen


def test_a_proxy_that_is_no_address_is_refused() -> None:
    for wrong in ("proxy.local", "*", "10.0.0.1/8"):
        with pytest.raises(ValueError, match="trusted_proxies"):
            Settings(trusted_proxies=(wrong,))
    with pytest.raises(ValueError, match="access"):
        Settings.model_validate({"access": "everybody"})
