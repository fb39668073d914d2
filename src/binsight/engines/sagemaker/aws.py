"""The only door to AWS: boto3 behind one function, and its errors as sentences.

Credentials are boto3's own: the environment, a profile, the machine's role. `AWS_ENDPOINT_URL` and its like are too.
"""

import re
from collections.abc import Mapping
from typing import Any

from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment
from binsight.errors import AccessRefused, BadInput, BinsightError, MissingExtra, MissingStore, StorageFailure
from binsight.storage.refusals import GET_OR_LIST

_MISSING_CODES = frozenset(
    {
        *("404", "NoSuchKey", "NoSuchEntity", "NotFound"),
        *("ResourceNotFound", "ResourceNotFoundException", "ObjectNotFoundException"),
    }
)
_MISSING_WORDS = re.compile(r"could not find|does not exist|not found|cannot find", re.IGNORECASE)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"})
_CREDENTIALS = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidAccessKeyId"),
        *("SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidSignatureException"),
    }
)
_PASSING = frozenset(
    {"503", "500", "SlowDown", "ServiceUnavailable", "InternalError", "InternalFailure", "Throttling"}
)
_PERMISSIONS: Mapping[str, str] = {
    "s3 HeadBucket": "s3:ListBucket",
    "s3 HeadObject": GET_OR_LIST,
    "s3 GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3 PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "lambda Invoke": "lambda:InvokeFunction",
}
"""Permissions that are not called as what they allow. Answers to HEAD have no text that would name them."""
_ACTION = re.compile(r"not authorized to perform:? (\S+)")
_THERE_CODES = frozenset(
    {"ResourceInUse", "ResourceConflictException", "EntityAlreadyExists", "ResourceAlreadyExistsException"}
)
_THERE_WORDS = re.compile(r"already exist", re.IGNORECASE)
_NEW_ROLE = re.compile(r"could not assume role|cannot be assumed", re.IGNORECASE)


class Aws:
    """Calls by their names. `ask` is the whole of its surface."""

    def __init__(self, region: str) -> None:
        try:
            import boto3
            from botocore import exceptions
            from botocore.config import Config
        except ImportError:
            raise MissingExtra("asking AWS", extra="aws") from None
        self._session = boto3.Session(region_name=region)
        self._config = Config(retries={"mode": "standard", "total_max_attempts": 6}, user_agent_extra="binsight")
        self._exceptions = exceptions
        self._clients: dict[str, Any] = {}

    def ask(self, call: Call) -> Mapping[str, Any]:
        """What AWS answers. Raises `NotThere`, or the error of ours that says what to do."""
        from botocore import xform_name

        try:
            if call.service not in self._clients:
                self._clients[call.service] = self._session.client(call.service, config=self._config)
            answer: dict[str, Any] = getattr(self._clients[call.service], xform_name(call.operation))(
                **call.arguments
            )
        except self._exceptions.ClientError as error:
            raise explained(error.response, call) from None
        except self._exceptions.NoCredentialsError:
            raise StorageFailure(
                "AWS needs credentials and there are none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from None
        except self._exceptions.BotoCoreError as error:
            raise StorageFailure(
                f"{call.service} {call.operation} cannot be asked ({error}); check the region and the network"
            ) from None
        answer.pop("ResponseMetadata", None)
        return answer


class NotThere(BinsightError):
    """What was asked about does not exist, which is an answer like another."""


class ThereAlready(BinsightError):
    """Something of that name was made before."""


class RoleTooNew(BinsightError):
    """A role was made a moment ago, and not every part of AWS knows it yet."""


def explained(response: Mapping[str, Any], call: Call) -> BinsightError:
    """The error of ours for an error of AWS's."""
    fault = response.get("Error", {})
    code, said = str(fault.get("Code", "")), str(fault.get("Message", ""))
    what = f"{call.service} {call.operation}"
    if code == "NoSuchBucket" or (call.operation == "HeadBucket" and code == "404"):
        bucket = call.arguments["Bucket"]
        return MissingStore(f"the bucket {bucket} is not there; check bucket and region in deploy.toml, or make it")
    if code in _DENIED:
        found = _ACTION.search(said)
        needed = found[1] if found else _PERMISSIONS.get(what, f"{call.service}:{call.operation}")
        return AccessRefused(
            f"AWS refused {what}: you lack the permission {needed}; have it given to whom you are signed in as, then run "
            "the same command again"
        )
    if code in _CREDENTIALS:
        return StorageFailure(
            f"AWS refused the credentials ({code}); sign in again, then run the same command again"
        )
    if _NEW_ROLE.search(said):
        return RoleTooNew(f"AWS refused {what} ({said}); see that the role trusts the service, and run it again")
    if code in _THERE_CODES or (code == "ValidationException" and _THERE_WORDS.search(said)):
        return ThereAlready(f"AWS refused {what} ({said}); choose another name in deploy.toml")
    if code in _MISSING_CODES or (code == "ValidationException" and _MISSING_WORDS.search(said)):
        return NotThere(f"AWS refused {what} ({code}: {said}); check the names in deploy.toml")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _PASSING or status >= 500:
        return StorageFailure(
            f"{what} answered {code or status}, also when asked again; try again later: what is done stays done"
        )
    return BadInput(f"AWS refused {what} ({code}: {said[:300]}); change deploy.toml or the account's limits")


def check_account(aws: Aws, d: Deployment) -> None:
    """Raises `BadInput` where those signed in are of another account than deploy.toml is about: nothing is made there."""
    found = str(aws.ask(Call(service="sts", operation="GetCallerIdentity", arguments={}))["Account"])
    if found != d.account_id:
        raise BadInput(
            f"deploy.toml is about the account {d.account_id}, but you are signed in to {found}; set account in it, or "
            "sign in to the other"
        )
