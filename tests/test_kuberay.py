"""The KubeRay folder: every object has the shape that its operator reads, and what must agree with the service does.

The shape of RayService, RayJob and RayCluster is written down here from the operator's published API, for the fields that
are used; pods inside them are held to Kubernetes' own schemas, strictly.
"""

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from binsight.cli import cli
from binsight.engines.ray.serving import Options, app
from binsight.settings import Settings

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "kuberay"
VERSION = "1.31"


def read(name: str) -> dict[str, Any]:
    """One file, one object."""
    value = yaml.safe_load((FOLDER / name).read_text())
    assert isinstance(value, dict)
    return value


SERVICE, JOB = read("serve.yaml"), read("count.yaml")
CLUSTERS = {"serve.yaml": SERVICE["spec"]["rayClusterConfig"], "count.yaml": JOB["spec"]["rayClusterSpec"]}
CONFIG = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])


def an_object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT, NUMBER, YES_OR_NO, ANY = ({"type": kind} for kind in ("string", "integer", "boolean", "object"))
TEXTS = {"type": "object", "additionalProperties": TEXT}
"""rayStartParams are texts, numbers too."""

HEAD = an_object(("rayStartParams", "template"), rayStartParams=TEXTS, template=ANY, serviceType=TEXT)
WORKERS = an_object(
    ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
    groupName=TEXT,
    replicas=NUMBER,
    minReplicas=NUMBER,
    maxReplicas=NUMBER,
    rayStartParams=TEXTS,
    template=ANY,
)
AUTOSCALER = an_object(
    idleTimeoutSeconds=NUMBER,
    resources=ANY,
    securityContext=ANY,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
)
CLUSTER = an_object(
    ("headGroupSpec",),
    rayVersion=TEXT,
    enableInTreeAutoscaling=YES_OR_NO,
    autoscalerOptions=AUTOSCALER,
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
SPECS = {
    "RayService": an_object(("rayClusterConfig",), serveConfigV2=TEXT, rayClusterConfig=CLUSTER, serveService=ANY),
    "RayJob": an_object(
        ("entrypoint",),
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        backoffLimit=NUMBER,
        activeDeadlineSeconds=NUMBER,
        shutdownAfterJobFinishes=YES_OR_NO,
        ttlSecondsAfterFinished=NUMBER,
        runtimeEnvYAML=TEXT,
        rayClusterSpec=CLUSTER,
    ),
}


def check(resource: dict[str, Any]) -> None:
    """Raise where an object is not one that its controller reads."""
    if resource["kind"] not in SPECS:
        kubernetes_validate.validate(resource, VERSION, strict=True)
        return
    assert resource["apiVersion"] == "ray.io/v1"
    jsonschema.validate(resource["spec"], SPECS[resource["kind"]])
    cluster = resource["spec"].get("rayClusterConfig") or resource["spec"]["rayClusterSpec"]
    for name, template in pods(cluster).items():
        check_pod(name, template)
    autoscaler = {name: cluster["autoscalerOptions"][name] for name in ("resources", "securityContext")}
    check_pod("autoscaler", {"spec": {"containers": [{"name": "autoscaler", "image": "ray", **autoscaler}]}})


def check_pod(name: str, template: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": template}
    kubernetes_validate.validate(pod, VERSION, strict=True)


def pods(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {"head": cluster["headGroupSpec"]["template"]}
    return found | {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}


ALL_PODS = [(file, name) for file, cluster in CLUSTERS.items() for name in pods(cluster)]


@pytest.mark.parametrize("name", [path.name for path in sorted(FOLDER.glob("*.yaml"))])
def test_an_object_is_one_that_its_controller_reads(name: str) -> None:
    if name == "kustomization.yaml":
        assert set(read(name)["resources"]) | {"count.yaml", name} == {path.name for path in FOLDER.iterdir()}
    else:
        check(read(name))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.serveConfig", "applications: []"),
        ("spec.rayClusterConfig.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.rayClusterConfig.workerGroupSpecs.0.template.spec.containers.0.readinessProb", {}),
        ("spec.rayClusterConfig.headGroupSpec.template.spec.containers.0.resources.limits", "much"),
        ("spec.rayClusterConfig.autoscalerOptions.securityContext.capabilties", {}),
    ],
)
def test_the_check_can_fail(path: str, value: object) -> None:
    worse = copy.deepcopy(SERVICE)
    part: Any = worse
    *way, last = path.split(".")
    for key in way:
        part = part[int(key) if key.isdecimal() else key]
    part[last] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(worse)


@pytest.mark.parametrize(("file", "name"), ALL_PODS)
def test_every_pod_meets_the_restricted_standard(file: str, name: str) -> None:
    pod = pods(CLUSTERS[file])[name]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    dockerfile = (FOLDER.parent / "Dockerfile").read_text()
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert f"ARG RUN_AS={user}\n" in dockerfile
    autoscaler = CLUSTERS[file]["autoscalerOptions"]["securityContext"]
    for context in (container["securityContext"], autoscaler):
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["allowPrivilegeEscalation"] is False
    assert read("namespace.yaml")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/var/lib/binsight", "/tmp"}
    assert name == "head" or pod["automountServiceAccountToken"] is False, "the autoscaler alone asks Kubernetes"


@pytest.mark.parametrize(("file", "name"), ALL_PODS)
def test_every_pod_has_probes_limits_and_the_same_environment(file: str, name: str) -> None:
    """The operator's own probes call wget, which the image does not have."""
    (container,) = pods(CLUSTERS[file])[name]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} <= ports
    assert container["resources"]["requests"] == container["resources"]["limits"]
    names = {name: reference["name"] for one in container["envFrom"] for name, reference in one.items()}
    assert names == {"configMapRef": read("environment.yaml")["metadata"]["name"], "secretRef": "binsight-ray"}
    labels = pods(CLUSTERS[file])[name]["metadata"]["labels"]
    assert read("network.yaml")["spec"]["podSelector"]["matchLabels"] == labels


def test_every_variable_is_a_setting_with_a_value_that_it_takes() -> None:
    for variable, value in read("environment.yaml")["data"].items():
        name = variable.removeprefix("BINSIGHT_").lower()
        assert name in Settings.model_fields
        assert getattr(Settings(**{name: value}), name) == value


def test_rays_version_is_the_one_that_was_tried() -> None:
    constraints = (FOLDER.parents[1] / "constraints.txt").read_text()
    for cluster in CLUSTERS.values():
        assert f"\nray=={cluster['rayVersion']}\n" in constraints


def test_the_served_application_is_ours_and_takes_its_arguments() -> None:
    (served,) = CONFIG["applications"]
    assert served["import_path"] == f"{app.__module__}:{app.__name__}"
    options = Options(**served["args"])
    (workers,) = CLUSTERS["serve.yaml"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert int(container["resources"]["limits"]["cpu"]) % options.lanes == 0, "cores of a worker would lie idle"
    a_worker = int(container["resources"]["limits"]["cpu"]) // options.lanes
    assert workers["minReplicas"] * a_worker >= options.min_replicas > 1, "somebody always answers"
    assert workers["maxReplicas"] * a_worker >= options.max_replicas
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["serve"] == CONFIG["http_options"]["port"]


def test_rays_own_schema_takes_the_config() -> None:
    pytest.importorskip("ray", reason="Ray is not here: pip install 'binsight[ray-serve]' -c constraints.txt")
    pytest.importorskip("grpc_reflection", reason="Ray Serve is not here")
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(CONFIG)
    with pytest.raises(ValueError, match="import_paths"):
        ServeDeploySchema.model_validate({"applications": [{"import_paths": "a:b"}]})


def test_the_ports_that_run_whatever_they_are_sent_are_open_to_ray_alone() -> None:
    policy = read("network.yaml")["spec"]
    own = policy["podSelector"]["matchLabels"]
    for rule in policy["ingress"]:
        if rule["from"] == [{"podSelector": {"matchLabels": own}}]:
            continue
        is_operator = "kuberay-operator" in str(rule["from"])
        allowed = {8000, 8265} if is_operator else {8000}
        assert {port["port"] for port in rule["ports"]} <= allowed


def test_the_job_counts_as_the_command_does() -> None:
    words = JOB["spec"]["entrypoint"].split()
    assert words[0] == "binsight"
    assert JOB["spec"]["backoffLimit"] > 0, "where it stops it goes on"
    result = CliRunner().invoke(cli, [*words[1:], "--help"])
    assert result.exit_code == 0, result.output
    given = {word for word in words if word.startswith("--")}
    assert given <= set(re.findall(r"--[a-z-]+", result.output))
    assert JOB["metadata"]["namespace"] == read("kustomization.yaml")["namespace"]
