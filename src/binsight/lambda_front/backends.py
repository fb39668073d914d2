"""Where the function finds the service: a SageMaker endpoint by its name, or any service by its URL.

Which one stands in the function's environment and nowhere else. Both libraries are in Lambda's own Python.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from binsight.errors import BadInput, MissingExtra, NotReady, ServiceFailed
from binsight.lambda_front.events import Answered, Asked

ENDPOINT, URL, KEY, WITHIN = "BINSIGHT_ENDPOINT", "BINSIGHT_URL", "BINSIGHT_KEY", "BINSIGHT_WITHIN_S"

MOST_SECONDS = 900
"""As long as Lambda lets a function run."""
_BUSY = frozenset(
    {"ServiceUnavailable", "ThrottlingException", "ModelNotReadyException", "InternalDependencyException"}
)
"""Errors of SageMaker's own that pass."""
AT_ONCE_S = 1.0
"""Within so many seconds a connection that was kept open turns out to have been closed meanwhile."""
CONNECT_S = 2.0
"""How long a connection to SageMaker may take to be made, of the time that an answer may take."""

T = TypeVar("T")


def ask(asked: Asked, environment: Mapping[str, str] = os.environ) -> Answered:
    """Have the service answer, an error included. Raises `BadInput` where the environment names no one service,
    `NotReady` where it may answer later, `ServiceFailed` where it cannot be asked."""
    endpoint, url = environment.get(ENDPOINT), environment.get(URL)
    if bool(endpoint) == bool(url):
        raise BadInput(f"the function must know either {ENDPOINT} or {URL}; set one of them in its environment")
    within = _seconds(environment.get(WITHIN, "25"))  # API Gateway gives up after 29
    if endpoint:
        return _ask_sagemaker(asked, endpoint, within)
    return _ask_http(asked, str(url), _key(environment.get(KEY, "")), within)


def _key(text: str) -> str:
    """Without the line's end that a file or a secret store left on it."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(f"{KEY} must be letters, digits and signs of ASCII alone; copy the key again")
    return key


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MOST_SECONDS:
        raise BadInput(
            f"{WITHIN} must be a number of seconds above 0 and at most {MOST_SECONDS}, but is {text[:40]!r}; "
            "change it in the function's environment"
        )
    return seconds


def _ask_sagemaker(asked: Asked, endpoint: str, within: float) -> Answered:
    runtime, exceptions = _sagemaker(within)
    arguments = {
        "EndpointName": endpoint,
        "Body": asked.body,
        "ContentType": asked.content_type,
        "Accept": asked.accept,
        "InferenceId": asked.request_id,
    }
    if asked.attributes:
        arguments["CustomAttributes"] = asked.attributes
    try:
        answer = _opened_again(lambda: runtime.invoke_endpoint(**arguments), exceptions.ConnectionClosedError)
        return Answered(status=200, body=answer["Body"].read(), content_type=answer["ContentType"])
    except exceptions.ClientError as error:
        return _model_error(error.response, endpoint)
    except (exceptions.ReadTimeoutError, exceptions.ConnectTimeoutError):
        raise NotReady(f"the endpoint {endpoint} did not answer within {within:g} s; try again later") from None
    except exceptions.BotoCoreError as error:
        raise ServiceFailed(
            f"the endpoint {endpoint} cannot be asked ({error}); check the region, the network and the role"
        ) from None


def _model_error(response: Mapping[str, Any], endpoint: str) -> Answered:
    """What the container answered is the answer; what SageMaker says of its own is an error."""
    code, message = response["Error"]["Code"], response["Error"].get("Message", "")
    if code == "ModelError":
        status, text = int(response.get("OriginalStatusCode", 500)), str(response.get("OriginalMessage", ""))
        if _is_ours(text):
            return Answered(status=status, body=text.encode())
        raise ServiceFailed(f"the endpoint {endpoint} failed with status {status}; its log says why")
    if code in _BUSY:
        raise NotReady(f"the endpoint {endpoint} takes nothing now ({code}); try again later")
    raise ServiceFailed(
        f"the endpoint {endpoint} cannot be asked ({code}: {message[:200]}); check {ENDPOINT}, the region and the role"
    )


def _is_ours(text: str) -> bool:
    try:
        return isinstance(json.loads(text)["error"]["code"], str)
    except (ValueError, KeyError, TypeError):
        return False


def _ask_http(asked: Asked, url: str, key: str, within: float) -> Answered:
    pool, timeout, exceptions = _http()
    headers = {"Content-Type": asked.content_type, "Accept": asked.accept, "X-Request-Id": asked.request_id}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if asked.attributes:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = asked.attributes
    address, end = f"{url.rstrip('/')}/invocations", time.monotonic() + within

    def send() -> Any:
        left = timeout(total=max(end - time.monotonic(), 0.001))
        return pool.request("POST", address, body=asked.body, headers=headers, timeout=left, redirect=False)

    try:
        answer = _opened_again(send, exceptions.ProtocolError)
    except exceptions.HTTPError as error:
        why = getattr(error, "reason", None) or error
        raise NotReady(f"{url} does not answer ({type(why).__name__}); try again later") from None
    if answer.status != 200 and not _is_ours(answer.data.decode("utf-8", "replace")):
        raise ServiceFailed(f"what answers at {url} with status {answer.status} is not Binsight's; check {URL}")
    kind = answer.headers.get("Content-Type", "application/json")
    return Answered(status=answer.status, body=answer.data, content_type=kind)


def _opened_again(send: Callable[[], T], broken: type[Exception]) -> T:
    """What `send` returns, sent once more where the connection broke at once. What was waited for is not asked again: the
    caller's patience, and Lambda's, ends with `within`."""
    begin = time.monotonic()
    try:
        return send()
    except broken:
        if time.monotonic() - begin > AT_ONCE_S:
            raise
    return send()


@cache
def _sagemaker(within: float) -> tuple[Any, Any]:
    """One client for all events that the process sees, and the errors it raises."""
    try:
        import boto3
        from botocore import exceptions
        from botocore.config import Config
    except ImportError:
        raise MissingExtra("asking a SageMaker endpoint", extra="aws") from None
    connect = min(CONNECT_S, within / 5)
    config = Config(connect_timeout=connect, read_timeout=within - connect, retries={"total_max_attempts": 1})
    return boto3.client("sagemaker-runtime", config=config), exceptions


@cache
def _http() -> tuple[Any, Any, Any]:
    """As `_sagemaker`, and how a time is told."""
    try:
        import urllib3
    except ImportError:
        raise MissingExtra("asking a service over HTTP", extra="aws") from None
    return urllib3.PoolManager(retries=False), urllib3.Timeout, urllib3.exceptions
