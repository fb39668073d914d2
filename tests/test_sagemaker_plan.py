"""What a deployment comes to, without AWS: every call in form, names that hold, the file's mistakes, the template."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from click.testing import CliRunner
from tests.aws_support import FIELDS, REGION, ROOT, deployment, every_kind, operations
from tests.seeded import places, with_value

from binsight.cli import cli
from binsight.counting.bundle import DEFAULT_FOLDER
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import faults
from binsight.engines.sagemaker.cost import estimate
from binsight.engines.sagemaker.deployment import load_deployment
from binsight.engines.sagemaker.jobs import training_job, tuning_job
from binsight.engines.sagemaker.pipeline_check import pipeline_faults
from binsight.engines.sagemaker.plan import Plan, make_plan
from binsight.engines.sagemaker.policies import policy, words
from binsight.engines.sagemaker.scaling import target_tracking
from binsight.engines.sagemaker.template import template
from binsight.engines.sagemaker.transform import transform_job
from binsight.errors import BadInput, MissingObject
from binsight.model.search import load_search

PLANS = {name: make_plan(d) for name, d in every_kind().items()}


def all_calls(plan: Plan) -> list[Call]:
    return [
        call
        for piece in plan.pieces
        for call in (piece.see, *piece.make, *piece.change, *piece.remove)
        if call is not None
    ]


@pytest.mark.parametrize("name", PLANS)
def test_aws_would_take_the_form_of_every_call(name: str) -> None:
    for call in all_calls(PLANS[name]):
        assert faults(call) == [], call.operation


def test_a_value_of_another_type_is_found_wherever_it_stands() -> None:
    """A mistake in every single place of every call of a whole plan: none gets through."""
    num_mistakes = 0
    for call in all_calls(PLANS["whole"]):
        for path in places(dict(call.arguments)):
            assert faults(with_value(call, path, [{"wrong": object()}])), (call.operation, path)
            num_mistakes += 1
    assert num_mistakes > 300


def test_a_misspelt_name_is_found_wherever_it_stands() -> None:
    for call in all_calls(PLANS["whole"]):
        for name in call.arguments:
            arguments = {(f"{one}x" if one == name else one): value for one, value in call.arguments.items()}
            assert faults(Call(service=call.service, operation=call.operation, arguments=arguments)), name


def call_of(name: str, operation: str) -> dict[str, Any]:
    (found,) = (call for call in all_calls(PLANS[name]) if call.operation == operation)
    return dict(found.arguments)


def test_updates_keep_the_variant_and_what_scaling_did() -> None:
    update = call_of("whole", "UpdateEndpoint")
    assert update["RetainAllVariantProperties"] is True
    guarded = update["DeploymentConfig"]
    assert guarded["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    rung = {one["AlarmName"] for one in guarded["AutoRollbackConfiguration"]["Alarms"]}
    made = {call.arguments["AlarmName"] for call in PLANS["whole"].calls if call.operation == "PutMetricAlarm"}
    assert rung == made, "an alarm that is not there takes nothing back"
    (variant,) = call_of("whole", "CreateEndpointConfig")["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert call_of("whole", "PutScalingPolicy")["ResourceId"] == "endpoint/bins/variant/AllTraffic"


@pytest.mark.parametrize(
    ("name", "value", "metric"),
    [
        ("whole", 20 * 0.5 * 60, "SageMakerVariantInvocationsPerInstance"),
        ("concurrency", 4, "SageMakerVariantConcurrentRequestsPerModelHighResolution"),
        ("original", 70, "CPUUtilization"),
        ("asynchronous", 4, "ApproximateBacklogSizePerInstance"),
    ],
)
def test_the_number_of_instances_follows_the_wanted_signal(name: str, value: float, metric: str) -> None:
    found = target_tracking(every_kind()[name])
    assert found["TargetValue"] == value and metric in json.dumps(found)


def test_the_originals_policy_has_its_cooldowns_and_bounds() -> None:
    found = target_tracking(every_kind()["original"])
    assert (found["ScaleInCooldown"], found["ScaleOutCooldown"]) == (30, 30)
    bounds = call_of("original", "RegisterScalableTarget")
    assert (bounds["MinCapacity"], bounds["MaxCapacity"]) == (1, 3)


def test_a_shadow_gets_its_share_and_is_another_model() -> None:
    config = call_of("shadow", "CreateEndpointConfig")
    (shadow,), (variant,) = config["ShadowProductionVariants"], config["ProductionVariants"]
    assert shadow["InitialVariantWeight"] / variant["InitialVariantWeight"] == 0.5
    assert shadow["ModelName"] != variant["ModelName"] and shadow["VariantName"] != variant["VariantName"]


def test_the_same_plan_has_the_same_names_and_another_image_another_model() -> None:
    again = make_plan(deployment())
    assert [piece.title for piece in again.pieces] == [piece.title for piece in PLANS["whole"].pieces]
    other = make_plan(deployment(image=FIELDS["image"].replace("1.0", "1.1")))
    changed = {piece.kind for piece in other.pieces} & {
        one.kind for one, two in zip(other.pieces, PLANS["whole"].pieces, strict=True) if one.name != two.name
    }
    assert changed == {"model", "endpoint configuration", "object"}


def test_nothing_of_ours_is_without_the_deployments_tag() -> None:
    bear_none = {"PutObject", "PutRolePolicy", "PutScalingPolicy", "RegisterScalableTarget", "AddTags"}
    bear_none |= {"CreateFunctionUrlConfig", "PutBucketNotificationConfiguration", "PutTargets", "AddPermission"}
    for call in PLANS["whole"].calls:
        if call.operation not in bear_none:
            assert "binsight:deployment" in json.dumps(dict(call.arguments)["Tags"]), call.operation


def test_no_role_may_do_everything_or_touch_everything() -> None:
    for name, d in every_kind().items():
        for word in () if name == "given roles" else words(d):
            for statement in policy(d, word)["Statement"]:
                assert not any("*" in action for action in statement["Action"]), (name, statement)
                if "*" in statement["Resource"]:  # what AWS lets be said of no single thing
                    free = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
                    assert set(statement["Action"]) <= free
                for resource in statement["Resource"]:
                    known = ("bins", "warehouse", "/aws/sagemaker/", "pipelines-")  # jobs of pipelines are named so
                    assert resource == "*" or any(part in resource for part in known)
                if "iam:PassRole" in statement["Action"]:
                    assert "iam:PassedToService" in json.dumps(statement["Condition"])


def test_each_role_may_do_what_its_part_of_the_plan_needs() -> None:
    def may(word: Any) -> str:
        return json.dumps(policy(deployment(), word))

    assert "warehouse/photos/*" in may("endpoint") and "captures/*" in may("endpoint")
    assert "captures/*" not in json.dumps(policy(deployment(capture=None), "endpoint"))
    assert "function:bins-promote" in may("training") and "looks/*" in may("training")
    assert "sagemaker:UpdateEndpoint" in may("functions") and "sagemaker:UpdateEndpoint" not in may("training")
    assert json.loads(may("front"))["Statement"][0]["Action"] == ["sagemaker:InvokeEndpoint"]


def test_a_given_role_is_used_and_neither_made_nor_removed() -> None:
    assert not {"CreateRole", "PutRolePolicy", "DeleteRole"} & set(operations(all_calls(PLANS["given roles"])))
    assert call_of("given roles", "CreateModel")["ExecutionRoleArn"].endswith(":role/endpoint")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "b" * 37}, "name must have at most 36 characters, but has 37; shorten it"),
        ({"name": "Bins"}, "name: string should match"),
        ({"image": "binsight:latest"}, "image: string should match"),
        ({"bucket": None}, "bucket is missing"),
        ({"buckets": "b"}, "unknown field buckets"),
        ({"scaling": {"max_rps": None, "policy": "invocations"}}, "scaling.max_rps"),
        ({"scaling": {"min": 4}}, "`min <= max` must hold, but got (min=4, max=3)"),
        ({"scaling": {"min": 0}}, "scaling.min must be 1 or more"),
        ({"update": {"bake_s": 3600, "keep_old_s": 3600}}, "`bake_s + keep_old_s < most_s` must hold"),
        ({"update": {"canary_percent": 60}}, "less than or equal to 50"),
        ({"endpoint": {"kind": "serverless"}}, "a serverless endpoint has no capture"),
        ({"training": FIELDS["training"] | {"wait_hours": 1}}, "`max_hours <= wait_hours` must hold"),
        ({"roles": {"endpoint": "me"}}, "roles.endpoint"),
        ({"prices": {"as_of": "today", "source": "x"}}, "prices.as_of"),
    ],
)
def test_a_mistake_in_the_file_is_named_before_anything_is_asked(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        deployment(**changes)
    assert said in str(refused.value)


def test_an_instance_type_that_is_none_is_found_before_anything_is_asked() -> None:
    with pytest.raises(BadInput, match=r"AWS would refuse this: .*ml\.bogus\.large"):
        make_plan(deployment(endpoint={"instance_type": "ml.bogus.large"}))


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match=r"there is no .*deploy\.toml"):
        load_deployment(tmp_path / "deploy.toml")
    (tmp_path / "deploy.toml").write_text("name =")
    with pytest.raises(BadInput, match="is not TOML"):
        load_deployment(tmp_path / "deploy.toml")


def test_a_training_and_a_tuning_job_are_in_form(tmp_path: Path) -> None:
    d = deployment()
    text = 'name = "s"\n[data]\ndataset = "d"\n[model]\nbackbone = "timm:lcnet_035"\n'
    text += "[search]\ntrials = 7\n[search.fields]\n"
    text += '"training.lr" = { low = 1e-4, high = 3e-3, log = true }\n"training.epochs" = { low = 2, high = 9 }\n'
    text += '"model.head" = ["classes", "cumulative"]\n"model.flip_average" = [true, false]\n'
    (tmp_path / "s.toml").write_text(text)
    search = load_search(tmp_path / "s.toml").search.model_dump()
    places = {"dataset": d.s3("datasets", "one"), "recipe": d.s3("recipes", "one")}
    job = tuning_job(d, "bins-tune-1", search=search, **places)
    for call in (training_job(d, "bins-1", **places), job):
        assert faults(call) == []
    ranges = job.arguments["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert ranges["ContinuousParameterRanges"] == [
        {"Name": "training.lr", "MinValue": "0.0001", "MaxValue": "0.003", "ScalingType": "Logarithmic"}
    ]
    assert ranges["IntegerParameterRanges"][0]["MaxValue"] == "9"
    assert {"Name": "model.flip_average", "Values": ["true", "false"]} in ranges["CategoricalParameterRanges"]
    for strategy in ("Random", "Hyperband"):
        assert faults(tuning_job(deployment(tuning={"strategy": strategy}), "t", search=search, **places)) == []
    with pytest.raises(BadInput, match=r"Grid takes lists of values alone, but training\.lr is a range"):
        tuning_job(deployment(tuning={"strategy": "Grid"}), "t", search=search, **places)
    with pytest.raises(BadInput, match="at most 32 characters"):
        tuning_job(d, "t" * 33, search=search, **places)


def test_a_batch_transform_is_in_form_and_the_same_job_has_the_same_name() -> None:
    d = deployment()
    one, same, lines = (
        transform_job(d, "s3://warehouse/m.tar.gz", "s3://warehouse/in", "s3://warehouse/out", kind=kind)  # type: ignore[arg-type]
        for kind in ("image/jpeg", "image/jpeg", "application/jsonlines")
    )
    assert one == same and one.arguments["TransformJobName"] != lines.arguments["TransformJobName"]
    assert faults(one) == faults(lines) == []
    with pytest.raises(BadInput, match="must be an s3:// place"):
        transform_job(d, "s3://warehouse/m.tar.gz", "photos", "s3://warehouse/out")


def test_the_pipeline_within_the_plan_holds_together() -> None:
    assert pipeline_faults(call_of("whole", "CreatePipeline")["PipelineDefinition"]) == []


def test_without_prices_hours_are_told_and_no_cost() -> None:
    told = estimate(deployment())
    assert told.total() is None and "Binsight knows none" in told.prices
    assert [item.hours_to for item in told.items] == [730 * 3, 12]


def test_the_cost_is_what_the_given_prices_come_to() -> None:
    prices = {"as_of": "2026-11-26", "source": "our contract", "currency": "EUR"}
    per_hour = {"ml.c5.xlarge": 0.25, "ml.c7i.4xlarge": 1.0}
    told = estimate(deployment(prices=prices | {"per_hour": per_hour}))
    assert told.total() == (730 * 0.25, 3 * 730 * 0.25 + 12)
    assert "as of 2026-11-26, from our contract" in "\n".join(told.lines())


FINDINGS = ManualArgs(regions=[REGION])


def linted(plan: Plan, **changes: Any) -> list[str]:
    made = template(plan)
    for name, value in changes.items():
        made["Resources"][name]["Properties"] |= value
    return [f"{one.rule.id} {one.message}" for one in lint(json.dumps(made), config=FINDINGS)]


def test_cloudformation_takes_the_template() -> None:
    assert linted(PLANS["whole"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_cloudformation_takes_every_template(name: str) -> None:
    assert linted(PLANS[name]) == []


def test_the_templates_check_finds_mistakes() -> None:
    found = " ".join(
        linted(
            PLANS["whole"],
            Model={"PrimaryContainers": {}},
            EndpointBins={"DeploymentConfig": {"BlueGreenUpdatePolicy": {}}},
            FunctionBinsStart={"Runtime": "python2.0"},
        )
    )
    for mistake in ("PrimaryContainers", "TrafficRoutingConfiguration", "python2.0"):
        assert mistake in found


def test_the_template_says_the_same_as_the_calls() -> None:
    made = template(PLANS["whole"])["Resources"]
    for piece in PLANS["whole"].pieces:
        if piece.kind in ("model", "endpoint configuration", "alarm", "endpoint"):
            (call,) = piece.wanted
            (one,) = [it for it in made.values() if piece.resource and it["Properties"] == dict(piece.resource[1])]
            assert call.arguments.items() <= one["Properties"].items()


def write_config(folder: Path, **changes: Any) -> Path:
    import tomli_w

    fields = copy.deepcopy(FIELDS) | changes
    path = folder / "deploy.toml"
    path.write_text(tomli_w.dumps(fields))
    return path


def run(*arguments: str) -> list[str]:
    result = CliRunner().invoke(cli, ["deploy", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.splitlines()


def test_dry_runs_print_every_call_and_the_cost_and_ask_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boto3.Session", lambda **_: pytest.fail("AWS was asked"))
    config = str(write_config(tmp_path))
    *calls, last = [json.loads(line) for line in run("sagemaker", config, "--dry-run", "--json")]
    assert [call["operation"] for call in calls] == operations(list(PLANS["whole"].calls))
    assert last["estimate"]["items"][0]["instance_type"] == "ml.c5.xlarge"
    (body,) = [call["arguments"]["Body"] for call in calls if "models" in call["arguments"].get("Key", "")]
    assert "bytes, sha256" in body
    assert json.loads("\n".join(run("sagemaker", config, "--template")))["Resources"]
    assert "binsight-bins-endpoint" in json.loads("\n".join(run("sagemaker", config, "--policies")))
    removed = [json.loads(line)["operation"] for line in run("destroy", config, "--dry-run", "--json")]
    assert removed[0] == "DeletePipeline" and removed[-1] == "DeleteRole"
    assert all("s3 PutObject" in line for line in run("upload", config, "--dry-run"))
    there = ("--deploy", config, "--dry-run")
    (job,) = run("transform", "s3://warehouse/in", "s3://warehouse/out", *there)
    assert json.loads(job)["operation"] == "CreateTransformJob"
    recipe, search = (str(ROOT / "recipes" / name) for name in ("default.toml", "search.toml"))
    for word, file, operation in (
        ("train", recipe, "CreateTrainingJob"),
        ("tune", search, "CreateHyperParameterTuningJob"),
    ):
        put, job = [json.loads(line) for line in run(word, file, "s3://warehouse/binsight/datasets/one", *there)]
        assert (put["operation"], job["operation"]) == ("PutObject", operation)


def test_paths_in_the_file_are_as_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "bundle").symlink_to(DEFAULT_FOLDER)
    (tmp_path / "recipe.toml").write_text(Path(FIELDS["training"]["recipe"]).read_text())
    config = write_config(tmp_path, bundle="bundle", training=FIELDS["training"] | {"recipe": "recipe.toml"})
    assert make_plan(load_deployment(config)).first == PLANS["whole"].first
