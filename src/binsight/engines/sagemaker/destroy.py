"""Remove what a deployment made, found by its names and told by its tag from what is not ours; say what stays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from binsight.engines.sagemaker.apply import Pace, see, wait_until_gone
from binsight.engines.sagemaker.aws import Aws, NotThere, check_account
from binsight.engines.sagemaker.calls import TAG, Call, Piece
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.plan import make_plan

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """Things of which updates leave several: how they are listed, named and removed."""

    title: str
    lister: str
    field: str
    name: str
    arn: str
    remover: str


KINDS = (
    Kind(
        "endpoint configuration",
        "ListEndpointConfigs",
        "EndpointConfigs",
        "EndpointConfigName",
        "EndpointConfigArn",
        "DeleteEndpointConfig",
    ),
    Kind("model", "ListModels", "Models", "ModelName", "ModelArn", "DeleteModel"),
)


def destroy(d: Deployment, aws: Aws, *, tell: Tell = lambda *_: None, pace: Pace | None = None) -> None:
    """Remove all that is ours, the last made first. `tell` gets each thing and what became of it: `removed`, `was not
    there`, or why it stays. Run again, it goes on."""
    pace = pace or Pace()
    check_account(aws, d)
    plan = make_plan(d)
    for piece in reversed(plan.pieces):
        if piece.kind in {kind.title for kind in KINDS}:
            continue
        tell(piece.title, _removed(d, piece, aws, pace))
        if piece.kind == "endpoint":
            for title in _leftovers(d, aws):
                tell(title, "removed")


def _removed(d: Deployment, piece: Piece, aws: Aws, pace: Pace) -> str:
    if not piece.remove:
        return piece.stays
    if see(piece, aws) is None:
        return "was not there"
    if not _is_ours(d, piece, aws):
        return f"stays: it has no tag {TAG} = {d.name}, so somebody else made it"
    for call in piece.remove:
        try:
            aws.ask(call)
        except NotThere:
            continue  # a try before this one removed it
    if piece.kind == "endpoint":
        wait_until_gone(piece, aws, pace)
    return "removed"


def _is_ours(d: Deployment, piece: Piece, aws: Aws) -> bool:
    call = _tags_of(d, piece)
    if call is None:
        return True  # below a name of ours, and of a kind that bears no tag
    answer = aws.ask(call)
    found = answer.get("Tags", [])
    tags = found if isinstance(found, dict) else {tag["Key"]: tag["Value"] for tag in found}
    return tags.get(TAG) == d.name


def _tags_of(d: Deployment, piece: Piece) -> Call | None:
    match piece.kind:
        case "endpoint" | "pipeline":
            arn = d.arn("sagemaker", f"{piece.kind}/{piece.name}")
            return Call(service="sagemaker", operation="ListTags", arguments={"ResourceArn": arn})
        case "role":
            return Call(service="iam", operation="ListRoleTags", arguments={"RoleName": piece.name})
        case "function":
            arn = d.arn("lambda", f"function:{piece.name}")
            return Call(service="lambda", operation="ListTags", arguments={"Resource": arn})
        case "rule":
            arn = d.arn("events", f"rule/{piece.name}")
            return Call(service="events", operation="ListTagsForResource", arguments={"ResourceARN": arn})
        case "alarm":
            arn = d.arn("cloudwatch", f"alarm:{piece.name}")
            return Call(service="cloudwatch", operation="ListTagsForResource", arguments={"ResourceARN": arn})
    return None


def _leftovers(d: Deployment, aws: Aws) -> Iterator[str]:
    """Configurations and models of every update, those of promotions too."""
    for kind in KINDS:
        for name, arn in list(_listed(d, kind, aws)):
            answer = aws.ask(Call(service="sagemaker", operation="ListTags", arguments={"ResourceArn": arn}))
            if {tag["Key"]: tag["Value"] for tag in answer["Tags"]}.get(TAG) == d.name:
                aws.ask(Call(service="sagemaker", operation=kind.remover, arguments={kind.name: name}))
                yield f"{kind.title} {name}"


def _listed(d: Deployment, kind: Kind, aws: Aws) -> Iterator[tuple[str, str]]:
    arguments = {"NameContains": f"{d.name}-", "MaxResults": 100}
    while True:
        answer = aws.ask(Call(service="sagemaker", operation=kind.lister, arguments=arguments))
        for one in answer[kind.field]:
            yield one[kind.name], one[kind.arn]
        if not answer.get("NextToken"):
            return
        arguments = {**arguments, "NextToken": answer["NextToken"]}
