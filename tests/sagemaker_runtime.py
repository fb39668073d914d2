"""SageMaker's runtime as far as a container can tell, in front of a real `binsight serve`, for unmodified boto3.

What it does is what the developer guide says of InvokeEndpoint: the path changes to `/invocations`, the headers pass,
an error of the container becomes a ModelError with its status and message, and a name that is no endpoint a
ValidationError. Signatures are not checked.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
from tests.s3_server import CREDENTIALS, S3Server, running_s3_server
from tests.service_support import Process, serving

ENDPOINT, BUCKET = "bins", "photos"
MOST_BYTES = 6 * 1024 * 1024
PASSED = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id")


@dataclass(frozen=True)
class Runtime:
    """A running service, the runtime in front of it, the S3 server that it may read, and the variables that lead boto3
    there."""

    served: Process
    s3: S3Server
    environment: Mapping[str, str]


@contextmanager
def running_runtime(folder: Path) -> Iterator[Runtime]:
    """The service as the endpoint `ENDPOINT`; it may read what lies in `BUCKET` on a real S3 server."""
    with ExitStack() as stack:
        s3 = stack.enter_context(running_s3_server(folder))
        env = {
            "BINSIGHT_ENDPOINT_URL": s3.endpoint_url,
            "BINSIGHT_ALLOWED_LINKS": json.dumps([f"s3://{BUCKET}/"]),
            "BINSIGHT_QUEUE_PHOTOS": "32",
        }
        served = stack.enter_context(serving(env=env | CREDENTIALS))
        server = stack.enter_context(shim(served.url))
        address = f"http://127.0.0.1:{server.server_port}"
        yield Runtime(
            served,
            s3,
            {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": address, "AWS_DEFAULT_REGION": "us-east-1", **CREDENTIALS},
        )


@contextmanager
def shim(service: str) -> Iterator[ThreadingHTTPServer]:
    """The runtime, in front of the service at that URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, prefix, name, action = self.path.split("/")
            assert (prefix, action) == ("endpoints", "invocations")
            if name != ENDPOINT:
                self.fail(400, "ValidationError", Message=f"Endpoint {name} of account 123456789012 not found.")
                return
            if len(body) > MOST_BYTES:
                self.fail(413, "RequestEntityTooLarge", Message="too large")
                return
            headers = {name: self.headers[name] for name in PASSED if name in self.headers}
            answer = httpx.post(f"{service}/invocations", content=body, headers=headers, timeout=60)
            if answer.status_code != 200:
                self.fail(
                    424,
                    "ModelError",
                    Message=f"Received an error ({answer.status_code}) from primary",
                    OriginalStatusCode=answer.status_code,
                    OriginalMessage=answer.text,
                )
                return
            passed = {name: answer.headers[name] for name in PASSED if name in answer.headers}
            self.answer(200, answer.content, passed | {"x-Amzn-Invoked-Production-Variant": "all"})

        def fail(self, status: int, kind: str, **fields: object) -> None:
            headers = {"Content-Type": "application/json", "x-amzn-ErrorType": kind}
            self.answer(status, json.dumps(fields).encode(), headers)

        def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
