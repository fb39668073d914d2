"""What a refusal of S3's means for a person: which permission is missing, as IAM calls it, for what, and the mend.

S3 names it itself where who asks and the bucket are of one account; else, and in other stores, what was asked tells it.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html
"""

import re
from dataclasses import dataclass
from html import unescape

from binsight.errors import AccessRefused

GET, PUT, LIST, DELETE = "s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"
"""What IAM calls the permissions that the requests of an object store need."""

_DENIED = ("AccessDenied", "Forbidden", "403")
_ARCHIVED = "InvalidObjectState"
_NAMED = re.compile(r'not authorized to perform:? ([\w-]+:\w+)(?: on resource:? "?(arn:[^\s"]+))?')
_DENY = re.compile(r"with an explicit deny in (?:an? )?[\w -]+")
_KEY = "ciphertext refers to a customer master key"  # KMS's words for one that is gone, or that may not be used
_ON_BUCKET = f"{LIST} on the bucket"
GET_OR_LIST = f"{GET}, or, if there is no such object, {_ON_BUCKET}"
"""What a refused look at one object may lack: who may not list a bucket is not told that an object is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One request that was refused: `what` it was about, the permission it `needs`, and the answer's code and text."""

    what: str
    needs: str
    code: str
    text: str
    anonymous: bool = False

    def explained(self) -> AccessRefused:
        """The error for it."""
        refused = f"access to {self.what} was refused"
        if self.code == _ARCHIVED:
            return AccessRefused(f"{self.what} is archived and cannot be read ({self.code}); restore it first")
        if self.code not in _DENIED:
            return AccessRefused(f"{refused} ({self._said()}); check that it exists and that you may use it")
        if denied := _DENY.search(unescape(self.text)):
            lacking, mend = f"{self._permission()} is taken away {denied[0]}", "have that policy changed"
        elif self.anonymous:
            lacking = f"unsigned requests lack {self._permission()}"
            mend = "use credentials (without --anonymous), or have the bucket give it to everybody"
        else:
            lacking = f"{self._permission()} is missing"
            mend = "have it given to whom the credentials belong to, then try again"
        return AccessRefused(f"{refused} ({self.code}): {lacking}; {mend}")

    def _permission(self) -> str:
        """As S3 names it, else what such a request needs."""
        text = unescape(self.text)
        action, resource = found.groups() if (found := _NAMED.search(text)) else (None, None)
        if action == LIST and self.needs == GET:
            return f"the permission {_ON_BUCKET}, without which S3 does not say that there is no such object,"
        if action and action.startswith("kms:"):
            return f"the permission {action} on {resource or 'the key of the bucket'}"
        if _KEY in text:
            return "the permission kms:Decrypt on the key that it is encrypted with"
        if action is None and self.needs == GET:
            return f"the permission {GET_OR_LIST}"
        needed = action or self.needs
        return f"the permission {_ON_BUCKET if needed == LIST else needed}"

    def _said(self) -> str:
        said = re.search(r"<Message>(.*?)</Message>", self.text, re.DOTALL)
        return f"{self.code}: {unescape(said[1])}" if said else self.code
