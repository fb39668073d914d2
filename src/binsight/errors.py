"""Every error that Binsight raises on purpose.

```
BinsightError
├── BadInput (ValueError)             the user's file or value is at fault
│   ├── BadPhoto                      bytes that are not one usable photo
│   ├── BadRecord                     a stock record that cannot be read
│   ├── BadRecipe                     an unknown field or an impossible value
│   ├── BadDataset                    a dataset folder that is damaged or not one
│   ├── BadBundle                     a bundle that is damaged, tampered with or of another format
│   ├── UnknownType                   a request in a form that the service does not take
│   ├── NotOffered                    a request for an answer in a form that the service does not give
│   ├── TooLarge                      a request with more bytes than the service reads
│   ├── TooSlow                       a request that does not arrive in time
│   └── BadCertificate                a certificate that is damaged, or claims more than its own numbers carry
├── MissingObject (FileNotFoundError) a file, object or bucket that is not there
│   └── MissingStore                  the bucket or folder itself, so that asking it for more is pointless
├── MissingExtra (ImportError)        a library that an optional part needs
├── StorageFailure (OSError)          a disk or an object store that failed
│   ├── AccessRefused                 a store that answers, but does not let this user at the object
│   └── UnreadLink                    a photo that a caller sent a link to, and that cannot be read there
├── NotAllowed                        what the service's settings do not let this request do
│   └── UnknownCaller                 a request without a key that opens the service
├── ServiceBusy                       the service cannot answer now; the request was in order
│   ├── NotReady                      it starts or ends
│   ├── Overloaded                    its queue or its memory is full
│   │   └── TooMany                   more than the caller's key may send in this time
│   ├── TooLate                       the answer would come after the deadline
│   └── Unreachable                   it does not answer at all
├── ServiceFailed                     the service broke, or what answered is not the service
├── ChangedMeanwhile                  somebody else changed what this was decided on
├── EngineFailed                      where a step was to run, it could not, or was killed too often
├── GateFailed                        the work was done, and its result does not pass
└── Stopped                           asked to stop (Ctrl-C, SIGTERM); what was done is kept
```

A message names the thing, states the law and the values, and ends with the mend.
"""


class BinsightError(Exception):
    """Base of the tree: one sentence for a person, no traceback needed.

    `code` and `request_id` are what a service said beside the sentence; both are empty where none was asked.
    """

    code: str = ""
    request_id: str = ""

    @property
    def mend(self) -> str:
        """What to do about it: the sentence's last clause. Empty where it has none."""
        return str(self).rpartition("; ")[2] if "; " in str(self) else ""


class BadInput(BinsightError, ValueError):
    """The user's file or value is at fault."""


class BadPhoto(BadInput):
    """Bytes that are not one usable photo.

    `reason` is a short stable word (`empty`, `truncated`, `format`, `animated`, `too_many_pixels`,
    `too_many_bytes`, `too_small`) for lists of rejects.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadRecord(BadInput):
    """A stock record that cannot be read."""


class BadRecipe(BadInput):
    """A recipe with an unknown field or an impossible value."""


class BadDataset(BadInput):
    """A dataset folder that is damaged, or is not one."""


class BadBundle(BadInput):
    """A bundle that is damaged, tampered with or of another format."""


class UnknownType(BadInput):
    """A request in a form that the service does not take."""


class NotOffered(BadInput):
    """A request for an answer in a form that the service does not give."""


class TooLarge(BadInput):
    """A request with more bytes than the service reads."""


class TooSlow(BadInput):
    """A request that does not arrive in time."""


class BadCertificate(BadInput):
    """A certificate that is damaged, or claims more than its own numbers carry."""


class MissingObject(BinsightError, FileNotFoundError):
    """A file, object or bucket that is not there."""


class MissingStore(MissingObject):
    """The bucket or folder itself is not there."""


class MissingExtra(BinsightError, ImportError):
    """A library that an optional part needs is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} needs libraries that are not installed: pip install 'binsight[{extra}]'")


class StorageFailure(BinsightError, OSError):
    """A disk or an object store that failed."""


class AccessRefused(StorageFailure):
    """The store answers, but does not let this user at the object.

    S3 gives this answer also for an object that is not there, to a user who may not list the bucket.
    """


class UnreadLink(StorageFailure):
    """A photo that a caller sent a link to cannot be read there: not the caller's fault for sure, and not the service's."""


class NotAllowed(BinsightError):
    """What the service's settings do not let this request do."""


class UnknownCaller(NotAllowed):
    """A request without a key that opens the service."""


class ServiceBusy(BinsightError):
    """The service cannot answer now; the same request may be sent again."""


class NotReady(ServiceBusy):
    """The service starts or ends, and takes no photos."""


class Overloaded(ServiceBusy):
    """The queue or the memory is full. `retry_after` is in seconds: until then it has probably been worked off."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooMany(Overloaded):
    """More than the caller's key may send in this time."""


class TooLate(ServiceBusy):
    """The answer would come after the deadline, so no work was done for it."""


class Unreachable(ServiceBusy):
    """The service does not answer at all."""


class ServiceFailed(BinsightError):
    """The service broke, or what answered is not the service."""


class ChangedMeanwhile(BinsightError):
    """Somebody else changed what this was decided on; nothing was done."""


class EngineFailed(BinsightError):
    """Where a step was to run, it could not, or was killed too often. What was done is kept."""


class GateFailed(BinsightError):
    """The work was done, and its result does not pass."""


class Stopped(BinsightError):
    """Asked to stop (Ctrl-C, SIGTERM); what was done is kept, and the same command goes on from there."""
