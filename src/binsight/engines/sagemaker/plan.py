"""The whole of a deployment as pieces, in the order in which one needs the other."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from binsight.counting.bundle import Bundle
from binsight.engines.contract import LEARNED, LEARNED_FILE
from binsight.engines.sagemaker.archives import bucket_piece, bundle_tar, model_key, object_piece
from binsight.engines.sagemaker.around import front_pieces, retraining_pieces
from binsight.engines.sagemaker.calls import Call, Piece
from binsight.engines.sagemaker.checking import check
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.endpoint import endpoint_pieces, promotion_plan
from binsight.engines.sagemaker.pipeline import NO_PARENT, pipeline_pieces
from binsight.engines.sagemaker.pipeline_check import check_pipeline
from binsight.engines.sagemaker.policies import role_pieces
from binsight.errors import MissingObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be there. `first` is the address of the bundle that deploy.toml names; `model_data` is what the endpoint
    shall answer with, which is another where a promotion put one there since."""

    deployment: Deployment
    pieces: tuple[Piece, ...]
    first: str
    model_data: str
    calls: tuple[Call, ...] = field(init=False)

    def __post_init__(self) -> None:
        calls = [call for piece in self.pieces for call in piece.wanted]
        object.__setattr__(self, "calls", tuple(calls))


def make_plan(d: Deployment, *, model_data: str | None = None) -> Plan:
    """The plan of a deployment; every call of it, also of those that change and remove, is of the form that AWS takes.

    Raises `MissingObject` or `BadBundle` for a bundle that is none, `BadInput` for what AWS would refuse.
    """
    bundle = Bundle.open(d.bundle)
    key = model_key(d, bundle)
    first = f"s3://{d.bucket}/{key}"
    pieces = [bucket_piece(d), *role_pieces(d), object_piece(d, key, bundle_tar(bundle))]
    shadow_data = None
    if d.shadow is not None:
        shadow = Bundle.open(d.shadow.bundle)
        shadow_key = model_key(d, shadow)
        shadow_data = f"s3://{d.bucket}/{shadow_key}"
        if shadow_key != key:
            pieces.append(object_piece(d, shadow_key, bundle_tar(shadow)))
    pieces += endpoint_pieces(d, first, model_data or first, shadow_data)
    pieces += front_pieces(d)
    if d.training is not None:
        recipe, piece = recipe_piece(d, d.training.recipe)
        pieces += [piece, no_parent_piece(d)]
        pieces += retraining_pieces(d, promotion_plan(d, shadow_data))
        pieces += pipeline_pieces(d, recipe=recipe, champion=first)
    plan = Plan(deployment=d, pieces=tuple(pieces), first=first, model_data=model_data or first)
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    for piece in plan.pieces:
        check(call for call in (piece.see, *piece.make, *piece.change, *piece.remove) if call is not None)
        for call in piece.make:
            if call.operation == "CreatePipeline":
                check_pipeline(call.arguments["PipelineDefinition"])
            for policy in ("PolicyDocument", "AssumeRolePolicyDocument"):
                if policy in call.arguments:
                    json.loads(call.arguments[policy])


def no_parent_piece(d: Deployment) -> Piece:
    """What the channel `parent` holds where training begins as the recipe says."""
    data = json.dumps({"datasets": []}).encode()
    return object_piece(d, d.key(*NO_PARENT, LEARNED, LEARNED_FILE), data)


def recipe_piece(d: Deployment, path: Path) -> tuple[str, Piece]:
    """The folder in the bucket that holds a recipe alone, and the piece that puts it there; its name says its content."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingObject(f"{path} cannot be read ({error.strerror}); name a recipe that is there") from None
    name = sha256(data).hexdigest()[:12]
    return d.s3("recipes", name), object_piece(d, d.key("recipes", name, "recipe.toml"), data)
