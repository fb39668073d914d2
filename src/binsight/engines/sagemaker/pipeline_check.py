"""Whether a pipeline's definition holds together: every reference leads somewhere, nothing waits for itself, and what each
step asks of AWS has the form that AWS takes.

AWS's own published schema refuses definitions that its service takes, and the service's answer comes when all else is
made; so this is checked here, against the service's description as botocore has it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from binsight.engines.sagemaker.checking import Wild, shape_faults, shape_of
from binsight.errors import BadInput

MOST = 1_048_576
"""Characters of a definition."""
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

ASKS: Mapping[str, tuple[str, str, frozenset[str]]] = {
    "Training": ("CreateTrainingJobRequest", "DescribeTrainingJobResponse", frozenset({"TrainingJobName"})),
    "Processing": ("CreateProcessingJobRequest", "DescribeProcessingJobResponse", frozenset({"ProcessingJobName"})),
    "RegisterModel": ("CreateModelPackageInput", "DescribeModelPackageOutput", frozenset()),
    "Transform": ("CreateTransformJobRequest", "DescribeTransformJobResponse", frozenset({"TransformJobName"})),
    "Tuning": (
        "CreateHyperParameterTuningJobRequest",
        "DescribeHyperParameterTuningJobResponse",
        frozenset({"HyperParameterTuningJobName"}),
    ),
}
"""Which shape a step's arguments have, which its properties, and what of the first the pipeline gives itself."""

PAIRED = frozenset({"Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"})
EXECUTION = frozenset(
    {
        *("StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn"),
        *("PipelineExecutionId", "PipelineExecutionArn"),
    }
)
_STEP = re.compile(r"Steps\.([A-Za-z0-9_-]+)\.(.+)")
_PART = re.compile(r"\.?([A-Za-z]\w*)(?:\['([^']+)'\]|\[(\d+)\])?")


def check_pipeline(text: str) -> None:
    """Raises `BadInput` with everything that is wrong in a definition."""
    if wrong := pipeline_faults(text):
        raise BadInput(f"the pipeline does not hold together: {'; '.join(wrong)}; report this")


def pipeline_faults(text: str) -> list[str]:
    """Everything that is wrong in a definition."""
    if len(text) > MOST:
        return [f"it must have at most {MOST:,} characters, but has {len(text):,}"]
    try:
        definition = json.loads(text)
        steps = list(_all_steps(definition["Steps"]))
        named = {step["Name"]: step for step in steps}
        parameters = {one["Name"] for one in definition.get("Parameters", ())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"it is no pipeline definition ({error!r})"]
    return list(_faults(definition, steps, named, parameters))


def references(value: Any) -> Iterator[str]:
    """Every `Get` in a value."""
    if isinstance(value, Mapping):
        if set(value) == {"Get"}:
            yield value["Get"]
        else:
            for one in value.values():
                yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def _faults(
    definition: Mapping[str, Any],
    steps: list[dict[str, Any]],
    named: Mapping[str, dict[str, Any]],
    parameters: set[str],
) -> Iterator[str]:
    if definition.get("Version") != "2020-12-01":
        yield f"Version must be 2020-12-01, but is {definition.get('Version')!r}"
    for one in definition.get("Parameters", ()):
        if one.get("Type") not in ("String", "Integer", "Float", "Boolean"):
            yield f"the parameter {one['Name']} has the type {one.get('Type')!r}"
    if len(named) != len(steps):
        yield "two steps have one name"
    for step in steps:
        if not NAME.fullmatch(step["Name"]):
            yield f"the name {step['Name']!r} must be 1 to 64 letters, digits, - and _"
        yield from (f"{step['Name']}: {fault}" for fault in _of_step(step))
        for reference in references(_own(step)):
            yield from (f"{step['Name']}: {fault}" for fault in _reference(reference, named, parameters))
        for other in step.get("DependsOn", ()):
            if other not in named:
                yield f"{step['Name']} depends on {other}, which is no step"
    yield from _cycles(steps)


def _all_steps(steps: list[Any]) -> Iterator[dict[str, Any]]:
    """Those within branches too."""
    for step in steps:
        yield step
        if step["Type"] == "Condition":
            for branch in ("IfSteps", "ElseSteps"):
                yield from _all_steps(step["Arguments"].get(branch, []))


def _own(step: Mapping[str, Any]) -> Any:
    """What a step itself refers to, without the steps of its branches."""
    if step["Type"] == "Condition":
        return step["Arguments"].get("Conditions", [])
    return {name: step.get(name) for name in ("Arguments", "FunctionArn", "CacheConfig")}


def _of_step(step: Mapping[str, Any]) -> Iterator[str]:
    kind, arguments = step["Type"], step.get("Arguments", {})
    if kind in ASKS:
        shape, _, given = ASKS[kind]
        for fault in shape_faults("sagemaker", shape, wild(arguments)):
            if fault not in {f"the arguments lacks {name}" for name in given}:
                yield fault
        outputs = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for file in step.get("PropertyFiles", ()):
            if file["OutputName"] not in {output["OutputName"] for output in outputs}:
                yield f"the property file {file['PropertyFileName']} is of no output, but of {file['OutputName']}"
    elif kind == "Condition":
        if not arguments.get("Conditions"):
            yield "has no conditions"
        for condition in arguments.get("Conditions", ()):
            yield from _condition(condition)
    elif kind == "Lambda":
        if not str(step.get("FunctionArn", "")).startswith("arn:"):
            yield f"FunctionArn is {step.get('FunctionArn')!r}"
        if len(step.get("OutputParameters", ())) > 10:
            yield "has more than 10 OutputParameters"
    elif kind == "Fail":
        if "ErrorMessage" not in arguments:
            yield "lacks ErrorMessage"
    else:
        yield f"the type {kind} is not known here"


def _condition(condition: Mapping[str, Any]) -> Iterator[str]:
    kind = condition.get("Type")
    if kind in PAIRED:
        fields = {"LeftValue", "RightValue"}
    elif kind == "In":
        fields = {"QueryValue", "Values"}
    elif kind == "Not":
        yield from _condition(condition.get("Condition", {}))
        fields = {"Condition"}
    elif kind == "Or":
        for one in condition.get("Conditions", ()):
            yield from _condition(one)
        fields = {"Conditions"}
    else:
        yield f"a condition has the type {kind!r}"
        return
    if missing := fields - set(condition):
        yield f"a condition {kind} lacks {', '.join(sorted(missing))}"


def _reference(reference: str, named: Mapping[str, dict[str, Any]], parameters: set[str]) -> Iterator[str]:
    root, _, rest = reference.partition(".")
    if root == "Parameters":
        if rest not in parameters:
            yield f"{reference} is no parameter"
    elif root == "Execution":
        if rest not in EXECUTION:
            yield f"{reference} is no property of an execution"
    elif found := _STEP.fullmatch(reference):
        step = named.get(found[1])
        if step is None:
            yield f"{reference} is of no step"
        elif not _leads_somewhere(step, found[2]):
            yield f"{reference} leads nowhere"
    else:
        yield f"{reference} is no reference"


def _leads_somewhere(step: Mapping[str, Any], path: str) -> bool:
    root, _, rest = path.partition(".")
    if root == "PropertyFiles":
        return rest in {file["PropertyFileName"] for file in step.get("PropertyFiles", ())}
    if root == "OutputParameters" or step["Type"] == "Lambda":
        names = {one["OutputName"] for one in step.get("OutputParameters", ())}
        return any(path == f"OutputParameters['{name}']" for name in names)
    if step["Type"] not in ASKS:
        return False
    shape = shape_of("sagemaker", ASKS[step["Type"]][1])
    position = 0
    while position < len(path):
        part = _PART.match(path, position)
        if part is None or shape.type_name != "structure" or part[1] not in shape.members:
            return False
        shape, position = shape.members[part[1]], part.end()
        if part[2] is not None or part[3] is not None:
            if shape.type_name not in ("list", "map"):
                return False
            shape = shape.member if shape.type_name == "list" else shape.value
            if part[1] == "Outputs" and part[2] is not None and part[2] not in _outputs(step):
                return False
    return True


def _outputs(step: Mapping[str, Any]) -> set[str]:
    return {one["OutputName"] for one in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])}


def _cycles(steps: list[dict[str, Any]]) -> Iterator[str]:
    waits: dict[str, set[str]] = {step["Name"]: set(step.get("DependsOn", ())) for step in steps}
    for step in steps:
        found = (_STEP.fullmatch(reference) for reference in references(_own(step)))
        waits[step["Name"]] |= {one[1] for one in found if one}
        if step["Type"] == "Condition":  # what stands in a branch waits for the condition
            for branch in ("IfSteps", "ElseSteps"):
                for inner in step["Arguments"].get(branch, []):
                    waits[inner["Name"]].add(step["Name"])
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        yield f"steps wait for each other: {' ─▶ '.join(error.args[1])}"


def wild(value: Any) -> Any:
    """The value with everything in it that only an execution knows as `Wild`."""
    if isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in ("Get", "Std:Join", "Std:JsonGet"):
            return Wild()
        return {name: wild(one) for name, one in value.items()}
    return [wild(one) for one in value] if isinstance(value, list) else value
