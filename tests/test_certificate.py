"""A certificate as a file: it comes back as it was, and is refused where it claims more than its numbers carry."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from binsight.decision.certificate import Certificate, read_certificate
from binsight.decision.certify import certify
from binsight.errors import BadCertificate

from .certify_support import poisson_world


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return certify(*poisson_world(800), np.full(21, 1 / 21), dataset_sha256="ab", split="val", note="as a test")


def test_a_certificate_comes_back_as_it_was(certificate: Certificate) -> None:
    assert certificate.certified
    assert read_certificate(certificate.as_text(), name="x") == certificate
    assert json.loads(certificate.as_text()) == certificate.as_json()


def test_it_never_changes(certificate: Certificate) -> None:
    with pytest.raises(ValueError, match="frozen"):
        certificate.bands[0].threshold = 0.1  # type: ignore[misc]


def changed(certificate: Certificate, **fields: Any) -> str:
    """The certificate's text with other fields in its first band, that of empty bins at 5%."""
    spec = certificate.as_json()
    spec["bands"][0] |= fields
    return json.dumps(spec)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_accepted": 9}, "band 0 at 0.05: 9 of .* wrong records accepted do not give the upper bound"),
        ({"num_wrong": 4000}, "of 4000 wrong records accepted do not give the upper bound"),
        ({"upper": 0.001}, "do not give the upper bound 0.001"),
        ({"num_wrong": 30, "num_accepted": 0, "upper": 0.09503385}, "upper bound of at most 0.05, but it is 0.095"),
        ({"alpha": 0.001}, "a threshold needs an upper bound of at most 0.001"),
        ({"num_accepted": 10_000}, "at most all wrong records can be accepted"),
        ({"threshold": None}, "either a threshold or the reason"),
        ({"reason": "none"}, "either a threshold or the reason"),
        ({"threshold": 0}, r"bands\.0\.threshold: input should be greater than 0"),
        ({"threshold": None, "reason": "x"}, "nothing is verified without a threshold"),
        ({"coverage": 1.2}, r"bands\.0\.coverage: input should be less than or equal to 1"),
        ({"coverage": "0.9"}, r"bands\.0\.coverage: input should be a valid number"),
        ({"coverage": float("nan")}, r"bands\.0\.coverage"),
        ({"low": 3, "high": 1}, "`low <= high` must hold"),
        ({"high": 20}, "band 0-20 at 0.05 must end at 19 or before"),
        ({"low": 1, "high": 1}, "band 1 at 0.05 must stand there once"),
        ({"colour": "red"}, r"bands\.0\.colour: extra inputs are not permitted"),
    ],
)
def test_a_band_that_does_not_hold_together_is_refused(
    certificate: Certificate, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadCertificate, match=rf"bundle/certificate\.json: .*{says}.*; verify nothing by it"):
        read_certificate(changed(certificate, **fields), name="bundle/certificate.json")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"format": 2}, "format"),
        ({"error_model": "any"}, "error_model"),
        ({"num_counts": 19}, "must end at 17 or before"),
        ({"delta": 0.5}, "do not give the upper bound"),
        ({"bands": None}, "bands"),
    ],
)
def test_a_certificate_that_does_not_hold_together_is_refused(
    certificate: Certificate, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadCertificate, match=says):
        read_certificate(json.dumps(certificate.as_json() | fields), name="x")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\x00", b'{"format": 1'])
def test_what_is_no_certificate_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(BadCertificate, match=r"x: .*; verify nothing by it, and export the bundle again") as caught:
        read_certificate(data, name="x")
    assert "\n" not in str(caught.value)


def test_reading_one_needs_no_scipy() -> None:
    script = "import sys, binsight.decision.certificate; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
