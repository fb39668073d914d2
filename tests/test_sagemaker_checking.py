"""The strict check of calls: it takes what AWS takes, and finds each mistake that was put in."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from botocore.session import get_session

from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import Wild, _expression, check, faults, shape_faults
from binsight.errors import BadInput

SERVICES = ("application-autoscaling", "cloudwatch", "events", "iam", "lambda", "s3", "sagemaker", "sts")

GOOD: dict[str, Any] = {
    "EndpointConfigName": "bins-0123456789ab",
    "ProductionVariants": [
        {
            "VariantName": "AllTraffic",
            "ModelName": "bins-0123456789ab",
            "InstanceType": "ml.c7i.xlarge",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1,
        }
    ],
    "DataCaptureConfig": {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://bucket/captures",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    },
    "Tags": [{"Key": "binsight:deployment", "Value": "bins"}],
}


def create(arguments: Any) -> Call:
    return Call(service="sagemaker", operation="CreateEndpointConfig", arguments=arguments)


def test_what_aws_takes_is_taken() -> None:
    assert faults(create(GOOD)) == []
    check([create(GOOD)])


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Sets the value at a dotted path; numbers are places in lists."""
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]

    def change(arguments: Any) -> None:
        for part in parents:
            arguments = arguments[part]
        arguments[last] = value

    return change


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (put("EndpointConfigName", "b" * 64), "at most 63 characters, but has 64"),
        (put("EndpointConfigName", "bins_1"), "does not match"),
        (put("EndpointConfigName", 7), "of type string"),
        (put("ProductionVariants.0.InstanceType", "ml.bogus"), "is none of its"),
        (put("ProductionVariants.0.InitialInstanceCount", 0), "at least 1"),
        (put("ProductionVariants.0.InitialInstanceCount", True), "of type integer"),
        (put("ProductionVariants.0.InitialInstanceCount", 1.5), "of type integer"),
        (put("ProductionVariants.0.Instancetype", "ml.c7i.xlarge"), "no member Instancetype"),
        (put("ProductionVariants.0.VariantName", ""), "does not match"),
        (put("ProductionVariants", []), "at least 1 entries"),
        (put("ProductionVariants", "AllTraffic"), "must be a list"),
        (put("DataCaptureConfig.InitialSamplingPercentage", 101), "at most 100"),
        (put("DataCaptureConfig.CaptureOptions.0.CaptureMode", "input"), "is none of its"),
        (put("DataCaptureConfig.DestinationS3Uri", "bucket/captures"), "does not match"),
        (put("DataCaptureConfig.EnableCapture", "true"), "of type boolean"),
        (put("DataCaptureConfig", {"EnableCapture": True}), "lacks InitialSamplingPercentage"),
        (put("Tags.0.Key", "k" * 129), "at most 128"),
        (put("Tags.0", {"Key": "k"}), "lacks Value"),
        (put("Nothing", 1), "has no member Nothing"),
    ],
)
def test_each_mistake_is_found(mistake: Callable[[Any], None], said: str) -> None:
    arguments = copy.deepcopy(GOOD)
    mistake(arguments)
    found = faults(create(arguments))
    assert found and said in found[0], found
    with pytest.raises(BadInput, match="AWS would refuse this: sagemaker CreateEndpointConfig"):
        check([create(arguments)])


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "said"),
    [
        ("sagemaker", "CreateEndpoints", {}, "no operation"),
        ("sagemaker", "DescribeEndpoint", {}, "lacks EndpointName"),
        ("lambda", "CreateFunction", {"FunctionName": "f", "Role": "nobody", "Code": {}}, "Role is 'nobody'"),
        ("cloudwatch", "DeleteAlarms", {"AlarmNames": ["a" * 256]}, "at most 255"),
        ("s3", "PutObject", {"Bucket": "b", "Key": "k", "Body": 7}, "of type blob"),
        ("events", "PutRule", {"Name": "a rule"}, "does not match"),
    ],
)
def test_other_services_are_checked_alike(service: str, operation: str, arguments: Any, said: str) -> None:
    assert said in "; ".join(faults(Call(service=service, operation=operation, arguments=arguments)))


def test_of_a_union_there_is_exactly_one() -> None:
    """Somewhere in SageMaker's description there are unions; both none and two of their members are refused."""
    model = get_session().get_service_model("sagemaker")
    unions = [name for name in model.shape_names if getattr(model.shape_for(name), "is_tagged_union", False)]
    assert unions
    for name in unions:
        members = list(model.shape_for(name).members)
        assert any("exactly one" in fault for fault in shape_faults("sagemaker", name, {}))
        one = shape_faults("sagemaker", name, {members[0]: Wild()})
        assert one == []
        if len(members) > 1:
            two = shape_faults("sagemaker", name, dict.fromkeys(members[:2], Wild()))
            assert any("exactly one" in fault for fault in two)


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_the_services_in_use_can_be_read(service: str) -> None:
    model = get_session().get_service_model(service)
    for name in model.shape_names:
        pattern = model.shape_for(name).metadata.get("pattern")
        if pattern:
            _expression(pattern)


def test_letters_of_any_alphabet_are_letters() -> None:
    tags = [{"Key": "Lager", "Value": "Köln 2 – Größe"[:7]}]
    assert faults(create(GOOD | {"Tags": tags})) == []
    assert faults(create(GOOD | {"Tags": [{"Key": "Lager#", "Value": ""}]}))
