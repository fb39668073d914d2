"""Make what a plan wants, as far as it is not there yet: run again, it goes on where it was cut off."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from binsight.engines.sagemaker.aws import Aws, NotThere, RoleTooNew, check_account
from binsight.engines.sagemaker.calls import Call, Piece, at
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.endpoint import BUNDLE_TAG, ENDPOINT_READY
from binsight.engines.sagemaker.functions import in_use
from binsight.engines.sagemaker.plan import Plan, make_plan
from binsight.errors import BadInput, GateFailed, MissingObject

Word = Literal["made", "changed", "set", "as it was", "made again"]
"""What became of a piece; `set` is said of what is asked for again without a look at how it was."""
Tell = Callable[[Piece, Word], None]

MOST_S, STEP_S, ROLE_TRIES, ROLE_PAUSE_S = 3 * 3600, 10, 12, 5


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited between two looks, and for a role to be known everywhere."""

    step_s: float = STEP_S
    role_pause_s: float = ROLE_PAUSE_S


def deploy(d: Deployment, aws: Aws, *, tell: Tell = lambda *_: None, pace: Pace | None = None) -> Plan:
    """Bring the account to what deploy.toml says, and return the plan that was followed.

    Raises what `Aws.ask` raises, `BadInput` where something there stands in the way, `GateFailed` where AWS took an update
    back or could not do it. Whatever was done stays done; the same command goes on.
    """
    pace = pace or Pace()
    check_account(aws, d)
    plan = make_plan(d)
    kept = kept_model(plan, aws)
    if kept not in (None, plan.model_data):
        plan = make_plan(d, model_data=kept)
    for piece in plan.pieces:
        tell(piece, bring(piece, aws, pace))
    return plan


def kept_model(plan: Plan, aws: Aws) -> str | None:
    """The model that a promotion put there since deploy.toml last named one, which a new deployment must not undo.

    Raises `BadInput` where the endpoint has another variant: its scaling would be lost by the update.
    """
    d = plan.deployment
    try:
        endpoint = aws.ask(_see_endpoint(d))
    except NotThere:
        return None
    variants = [one["VariantName"] for one in endpoint.get("ProductionVariants", ())]
    if variants and d.endpoint.variant not in variants:
        raise BadInput(
            f"the endpoint {d.name} has the variant {variants[0]}, and its scaling hangs on that name; set "
            f'variant = "{variants[0]}" under [endpoint] in deploy.toml'
        )
    arn = d.arn("sagemaker", f"endpoint/{d.name}")
    answer = aws.ask(Call(service="sagemaker", operation="ListTags", arguments={"ResourceArn": arn}))
    named = {tag["Key"]: tag["Value"] for tag in answer["Tags"]}.get(BUNDLE_TAG)
    if named != plan.first or endpoint["EndpointStatus"] in ENDPOINT_READY.broken:
        return None
    try:
        return in_use(_Client(aws), dict(endpoint))
    except NotThere:
        return None


def model_in_use(d: Deployment, aws: Aws) -> str:
    """The address of the model that the endpoint answers with. Raises `MissingObject` where there is no endpoint."""
    check_account(aws, d)
    try:
        return in_use(_Client(aws), dict(aws.ask(_see_endpoint(d))))
    except NotThere:
        raise MissingObject(f"there is no endpoint {d.name}; make it first: binsight deploy sagemaker") from None


def settled_model(d: Deployment, aws: Aws, pace: Pace) -> str | None:
    """As `model_in_use`, once no update is under way any more; None where there is no endpoint."""
    end = time.monotonic() + MOST_S
    try:
        endpoint = aws.ask(_see_endpoint(d))
        while endpoint["EndpointStatus"] in ENDPOINT_READY.busy:
            if time.monotonic() > end:
                raise GateFailed(
                    f"the endpoint {d.name} is {endpoint['EndpointStatus']} for {MOST_S // 3600} hours; look at it in "
                    "AWS's console, then run the same command again"
                )
            time.sleep(pace.step_s)
            endpoint = aws.ask(_see_endpoint(d))
        return in_use(_Client(aws), dict(endpoint))
    except NotThere:
        return None


class _Client:
    """What `functions.in_use` asks of a client of boto3's."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def describe_endpoint_config(self, **arguments: Any) -> Mapping[str, Any]:
        return self._aws.ask(Call(service="sagemaker", operation="DescribeEndpointConfig", arguments=arguments))

    def describe_model(self, **arguments: Any) -> Mapping[str, Any]:
        return self._aws.ask(Call(service="sagemaker", operation="DescribeModel", arguments=arguments))


def _see_endpoint(d: Deployment) -> Call:
    return Call(service="sagemaker", operation="DescribeEndpoint", arguments={"EndpointName": d.name})


def bring(piece: Piece, aws: Aws, pace: Pace | None = None) -> Word:
    """Make a piece, or change it to what is wanted, or see that it is."""
    pace = pace or Pace()
    seen = see(piece, aws)
    if seen is None:
        return _made(piece, aws, pace)
    seen = _settled(piece, aws, pace, seen)
    if piece.ready and _status(piece, seen, piece.ready.broken):
        for call in piece.remove:
            aws.ask(call)
        wait_until_gone(piece, aws, pace)
        _made(piece, aws, pace)
        return "made again"
    if not piece.change or (piece.same and _is_same(piece, seen)):
        return "as it was"
    for call in piece.change:
        _ask(aws, _beside(piece, call, seen), pace)
        _settle(piece, aws, pace)
    _check_kept(piece, aws)
    return "changed" if piece.same else "set"


def _made(piece: Piece, aws: Aws, pace: Pace) -> Word:
    if not piece.wanted:
        raise MissingObject(
            f"the {piece.title} is not there; make it, or name another in deploy.toml (a role that is left out is made)"
        )
    for call in piece.wanted:
        _ask(aws, call, pace)
        _settle(piece, aws, pace)
    _check_kept(piece, aws)
    return "made"


def see(piece: Piece, aws: Aws) -> Mapping[str, Any] | None:
    """What is there; None where nothing is. Of a piece that is made by being said, nothing is known but that."""
    if piece.see is None:
        return {}
    try:
        answer = aws.ask(piece.see)
    except NotThere:
        return None
    return None if piece.listed and not answer.get(piece.listed) else answer


def _settle(piece: Piece, aws: Aws, pace: Pace) -> None:
    """Wait until it is no longer busy, where it can be. Raises `GateFailed` where it broke."""
    if piece.ready is None:
        return
    seen = see(piece, aws)
    if seen is None:
        raise GateFailed(f"the {piece.title} is gone, which was there a moment ago; run the same command again")
    seen = _settled(piece, aws, pace, seen)
    if _status(piece, seen, piece.ready.broken):
        raise GateFailed(
            f"AWS could not make the {piece.title} ({at(seen, piece.ready.reason)}); mend that, and run the same command "
            "again"
        )


def _settled(piece: Piece, aws: Aws, pace: Pace, seen: Mapping[str, Any]) -> Mapping[str, Any]:
    ready, end = piece.ready, time.monotonic() + MOST_S
    while ready and _status(piece, seen, ready.busy):
        if time.monotonic() > end:
            raise GateFailed(
                f"the {piece.title} is not ready after {MOST_S // 3600} hours; look at it in AWS's console"
            )
        time.sleep(pace.step_s)
        seen = see(piece, aws) or {}
    return seen


def _status(piece: Piece, seen: Mapping[str, Any], values: tuple[str, ...]) -> bool:
    return piece.ready is not None and any(at(seen, path) in values for path in piece.ready.status)


def _check_kept(piece: Piece, aws: Aws) -> None:
    """Raises `GateFailed` where what is there in the end is not what was asked for: AWS rolled it back."""
    if piece.ready is None or not piece.same:
        return
    seen = see(piece, aws) or {}
    if not _is_same(piece, seen):
        why = at(seen, piece.ready.reason) or "an alarm rang, or the new instances did not start"
        raise GateFailed(
            f"the update of the {piece.title} was rolled back: {why}; the one before answers as it did"
        )


def _is_same(piece: Piece, seen: Mapping[str, Any]) -> bool:
    return all(at(seen, path) == value for path, value in piece.same.items())


def wait_until_gone(piece: Piece, aws: Aws, pace: Pace) -> None:
    end = time.monotonic() + MOST_S
    while see(piece, aws) is not None:
        if time.monotonic() > end:
            raise GateFailed(f"the {piece.title} does not go away; look at it in AWS's console")
        time.sleep(pace.step_s)


def _beside(piece: Piece, call: Call, seen: Mapping[str, Any]) -> Call:
    if not piece.beside:
        return call
    merged = {**seen, **call.arguments[piece.beside]}
    return replace(call, arguments={**call.arguments, piece.beside: merged})


def _ask(aws: Aws, call: Call, pace: Pace) -> Mapping[str, Any]:
    """Ask, and again while a role that was just made is not known everywhere."""
    for _ in range(ROLE_TRIES - 1):
        try:
            return aws.ask(call)
        except RoleTooNew:
            time.sleep(pace.role_pause_s)
    return aws.ask(call)
