"""Who may do what: for each role the least that its work needs.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

import json
from typing import Any, Literal

from binsight.engines.sagemaker.calls import Call, Piece, tags
from binsight.engines.sagemaker.deployment import Deployment

Word = Literal["endpoint", "training", "functions", "front"]
Statement = dict[str, Any]

SERVICE = {
    "endpoint": "sagemaker",
    "training": "sagemaker",
    "functions": "lambda",
    "front": "lambda",
}
"""Which of AWS's services takes the role on."""


def words(deployment: Deployment) -> tuple[Word, ...]:
    """The roles that the deployment needs."""
    found: list[Word] = ["endpoint"]
    if deployment.training:
        found += ["training", "functions"]
    if deployment.front:
        found.append("front")
    return tuple(found)


def trust(word: Word) -> dict[str, Any]:
    """Who may take the role on."""
    who = {"Service": f"{SERVICE[word]}.amazonaws.com"}
    return {"Version": "2012-10-17", "Statement": [_allow(["sts:AssumeRole"], None) | {"Principal": who}]}


def policy(deployment: Deployment, word: Word) -> dict[str, Any]:
    """What it may do."""
    statements = {"endpoint": _endpoint, "training": _training, "functions": _functions, "front": _front}[word]
    return {"Version": "2012-10-17", "Statement": statements(deployment)}


def role_pieces(deployment: Deployment) -> list[Piece]:
    """Those that are given are looked at and left alone; those that are not are made."""
    return [_given(deployment, word) or _made(deployment, word) for word in words(deployment)]


def _given(deployment: Deployment, word: Word) -> Piece | None:
    arn = getattr(deployment.roles, word)
    if arn is None:
        return None
    name = arn.rpartition("/")[2]
    return Piece(
        kind="role",
        name=name,
        see=Call(service="iam", operation="GetRole", arguments={"RoleName": name}),
        stays="stays: it was there before",
    )


def _made(deployment: Deployment, word: Word) -> Piece:
    name, document = deployment.role_name(word), json.dumps(policy(deployment, word))
    named = {"RoleName": name}
    inline = named | {"PolicyName": "binsight"}
    put = Call(service="iam", operation="PutRolePolicy", arguments=inline | {"PolicyDocument": document})
    create = Call(
        service="iam",
        operation="CreateRole",
        arguments=named
        | {
            "AssumeRolePolicyDocument": json.dumps(trust(word)),
            "Description": f"Binsight {deployment.name}: {word}",
            "Tags": tags(deployment.name, deployment.tags),
        },
    )
    return Piece(
        kind="role",
        name=name,
        see=Call(service="iam", operation="GetRole", arguments=named),
        make=(create, put),
        change=(put,),
        remove=(
            Call(service="iam", operation="DeleteRolePolicy", arguments=inline),
            Call(service="iam", operation="DeleteRole", arguments=named),
        ),
        resource=(
            "AWS::IAM::Role",
            {
                "RoleName": name,
                "AssumeRolePolicyDocument": trust(word),
                "Policies": [{"PolicyName": "binsight", "PolicyDocument": policy(deployment, word)}],
                "Tags": tags(deployment.name, deployment.tags),
            },
        ),
    )


def _endpoint(d: Deployment) -> list[Statement]:
    read = [_objects(d, "models/*"), _objects(d, "runs/*/model.tar.gz")]
    read += [
        d.arn("s3", f"{link.removeprefix('s3://').rstrip('/')}/*", account=False, region=False)
        for link in d.endpoint.links
    ]
    statements = [*_image(d, d.image), _logs(d, f"/aws/sagemaker/Endpoints/{d.name}*"), _figures()]
    if d.endpoint.kind == "asynchronous":
        read.append(_objects(d, "asynchronous/input/*"))
        statements.append(_allow(["s3:PutObject"], [_objects(d, "asynchronous/output/*")]))
        statements.append(_allow(["s3:PutObject"], [_objects(d, "asynchronous/failed/*")]))
    if d.capture.percent:
        statements.append(_allow(["s3:PutObject"], [_objects(d, "captures/*")]))
    return [_allow(["s3:GetObject"], read), *statements]


def _training(d: Deployment) -> list[Statement]:
    assert d.training is not None
    role, jobs = (
        d.role("training"),
        [d.arn("sagemaker", f"{kind}/pipelines-*") for kind in ("training-job", "processing-job")],
    )
    jobs += [d.arn("sagemaker", f"{kind}/{d.name}-*") for kind in ("training-job", "hyper-parameter-tuning-job")]
    reads = [
        _objects(d, f"{part}/*")
        for part in ("datasets", "prepared", "promotion", "recipes", "parents", "models", "runs", "looks")
    ]
    listed = _allow(["s3:ListBucket"], [d.arn("s3", d.bucket, account=False, region=False)])
    listed["Condition"] = {"StringLike": {"s3:prefix": [f"{d.prefix}/*"]}}
    package = d.arn("sagemaker", f"model-package/{d.name}/*")
    group = d.arn("sagemaker", f"model-package-group/{d.name}")
    return [
        _allow(["s3:GetObject"], reads),
        listed,
        _allow(["s3:PutObject"], [_objects(d, "runs/*"), _objects(d, "looks/*")]),
        *_image(d, d.training.image),
        _logs(d, "/aws/sagemaker/TrainingJobs*"),
        _logs(d, "/aws/sagemaker/ProcessingJobs*"),
        _figures(),
        _allow(
            [
                *(
                    f"sagemaker:{verb}{kind}Job"
                    for kind in ("Training", "Processing")
                    for verb in ("Create", "Describe", "Stop")
                ),
                "sagemaker:AddTags",
            ],
            jobs,
        ),
        _allow(
            ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage", "sagemaker:AddTags"],
            [package, group],
        ),
        _passing(role, "sagemaker"),
        _allow(["lambda:InvokeFunction"], [d.arn("lambda", f"function:{d.name}-promote")]),
    ]


def _functions(d: Deployment) -> list[Statement]:
    named = [d.arn("sagemaker", f"{kind}/{d.name}*") for kind in ("model", "endpoint-config", "endpoint")]
    return [
        _allow(
            [
                *("sagemaker:CreateModel", "sagemaker:CreateEndpointConfig", "sagemaker:UpdateEndpoint"),
                *("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel"),
                "sagemaker:AddTags",
            ],
            named,
        ),
        _allow(["sagemaker:UpdateModelPackage"], [d.arn("sagemaker", f"model-package/{d.name}/*")]),
        _allow(["sagemaker:StartPipelineExecution"], [d.arn("sagemaker", f"pipeline/{d.name}")]),
        _passing(d.role("endpoint"), "sagemaker"),
        _logs(d, f"/aws/lambda/{d.name}-*"),
    ]


def _front(d: Deployment) -> list[Statement]:
    return [
        _allow(["sagemaker:InvokeEndpoint"], [d.arn("sagemaker", f"endpoint/{d.name}")]),
        _logs(d, f"/aws/lambda/{d.name}-front*"),
    ]


def _allow(actions: list[str], resources: list[str] | None) -> Statement:
    statement: Statement = {"Effect": "Allow", "Action": actions}
    return statement if resources is None else statement | {"Resource": resources}


def _objects(d: Deployment, pattern: str) -> str:
    return d.arn("s3", f"{d.bucket}/{d.prefix}/{pattern}", account=False, region=False)


def _image(d: Deployment, image: str) -> list[Statement]:
    account, repository = image[:12], image.partition("/")[2].partition("@")[0].partition(":")[0]
    region = image.split(".")[3]
    arn = f"arn:{d.partition}:ecr:{region}:{account}:repository/{repository}"
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [_allow(pull, [arn]), _allow(["ecr:GetAuthorizationToken"], ["*"])]  # the token is not of a repository


def _logs(d: Deployment, group: str) -> Statement:
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    return _allow(actions, [d.arn("logs", f"log-group:{group}")])


def _figures() -> Statement:
    """CloudWatch's figures belong to no resource; their namespace can be held."""
    statement = _allow(["cloudwatch:PutMetricData"], ["*"])
    spaces = ["/aws/sagemaker/*", "AWS/SageMaker"]
    return statement | {"Condition": {"StringLike": {"cloudwatch:namespace": spaces}}}


def _passing(role: str, service: str) -> Statement:
    """To hand a role on is to have it: to one service alone."""
    condition = {"StringEquals": {"iam:PassedToService": f"{service}.amazonaws.com"}}
    return _allow(["iam:PassRole"], [role]) | {"Condition": condition}
