"""Shares of the requests: which ones the canary answers, the shadow counts too, and capture keeps."""

from hashlib import sha256


def is_within(share: float, whom: str, request_id: str) -> bool:
    """Whether a request is in somebody's share, by its id alone: asked again, at any replica, it is so again.

    Each draws for itself, so that a shadow of 5% is not of the very 5% that the canary answers.
    """
    digest = sha256(f"{whom} {request_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
