"""A bucket behind IAM: moto's server evaluates the policy of one user for every request, and refuses as S3 does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import pytest
import urllib3
from tests.aws_support import BUCKET, REGION, Cloud, running_bucket

ALL = frozenset({"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"})


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """The bucket, and `ann`, who may do nothing to it but what she is given. The environment holds her credentials."""

    cloud: Cloud
    user: str = "ann"

    def give(self, *actions: str, but_on: str = "") -> None:
        """Let her do this, and nothing else; and nothing at all to the objects `but_on`."""
        allowed = {"Effect": "Allow", "Action": sorted(actions) or ["s3:GetBucketTagging"], "Resource": "*"}
        denied = {"Effect": "Deny", "Action": ["s3:*"], "Resource": f"arn:aws:s3:::{BUCKET}/{but_on}"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed, denied] if but_on else [allowed]})
        with self._unguarded():
            self._iam.put_user_policy(UserName=self.user, PolicyName="given", PolicyDocument=policy)

    def give_all_but(self, *actions: str) -> None:
        self.give(*ALL.difference(actions))

    def put(self, objects: dict[str, bytes]) -> None:
        """Objects that are there before she comes."""
        with self._unguarded():
            for name, data in objects.items():
                self._s3.put_object(Bucket=BUCKET, Key=name, Body=data)

    def names(self) -> list[str]:
        with self._unguarded():
            found = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(one["Key"] for one in found)

    @contextmanager
    def _unguarded(self) -> Iterator[None]:
        self._evaluate_after("inf")
        try:
            yield
        finally:
            self._evaluate_after("0")

    def _evaluate_after(self, requests: str) -> None:
        urllib3.request("POST", f"{self.cloud.url}/moto-api/reset-auth", body=requests)

    @cached_property
    def _iam(self) -> Any:
        return self._client("iam")

    @cached_property
    def _s3(self) -> Any:
        return self._client("s3")

    def _client(self, service: str) -> Any:
        """Of the owner's, whatever the environment holds."""
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name=REGION, endpoint_url=self.cloud.url, **keys)


@contextmanager
def guarded_bucket(patch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    with running_bucket(patch) as cloud:
        iam = cloud.client("iam")
        iam.create_user(UserName=Guarded.user)
        key = iam.create_access_key(UserName=Guarded.user)["AccessKey"]
        guarded = Guarded(cloud=cloud)
        guarded.give()
        patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        try:
            yield guarded
        finally:
            guarded._evaluate_after("inf")
