"""The Kubernetes folder: every object fits its schema, and what must agree between objects, and with the service, does."""

import copy
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.testclient import TestClient

from binsight.service.app import make_app
from binsight.settings import Settings

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
VERSION = "1.31"


def read(name: str) -> dict[str, Any]:
    """One file, one object."""
    value = yaml.safe_load((FOLDER / name).read_text())
    assert isinstance(value, dict)
    return value


KUSTOMIZATION = read("kustomization.yaml")
DEPLOYMENT, AUTOSCALER = read("deployment.yaml"), read("autoscaler.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def test_every_file_is_a_resource() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    assert KUSTOMIZATION["images"][0]["name"] == CONTAINER["image"]


@pytest.mark.parametrize("name", KUSTOMIZATION["resources"])
def test_an_object_fits_its_schema_strictly(name: str) -> None:
    kubernetes_validate.validate(read(name), VERSION, strict=True)


def test_the_schema_check_can_fail() -> None:
    for path, value in ((("spec", "replicass"), 2), (("spec", "template", "spec", "containers"), "one")):
        worse = copy.deepcopy(DEPLOYMENT)
        part = worse
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(worse, VERSION, strict=True)


def test_everything_selects_the_pods_of_the_deployment() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert read("service.yaml")["spec"]["selector"] == labels
    assert read("disruption.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert read("network.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    assert all(one["labelSelector"]["matchLabels"] == labels for one in POD["topologySpreadConstraints"])
    target = AUTOSCALER["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (DEPLOYMENT["kind"], DEPLOYMENT["metadata"]["name"])
    assert "replicas" not in DEPLOYMENT["spec"], "two would decide"


def test_every_way_to_the_service_ends_at_the_port_that_it_listens_at() -> None:
    (port,) = CONTAINER["ports"]
    entrypoint = (FOLDER.parent / "entrypoint.sh").read_text()
    assert re.findall(r"--port (\d+)", entrypoint) == [str(port["containerPort"])]
    assert [one["targetPort"] for one in read("service.yaml")["spec"]["ports"]] == [port["name"]]
    assert {CONTAINER[name]["httpGet"]["port"] for name in PROBES} == {port["name"]}
    (let_in,) = read("network.yaml")["spec"]["ingress"]
    assert [one["port"] for one in let_in["ports"]] == [port["containerPort"]]
    scraped = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert scraped["prometheus.io/port"] == str(port["containerPort"])


def test_every_variable_is_a_setting_with_a_value_that_it_takes() -> None:
    for one in CONTAINER["env"]:
        name = one["name"].removeprefix("BINSIGHT_").lower()
        assert name in Settings.model_fields
        assert getattr(Settings(**{name: one["value"]}), name) == one["value"]


def test_photos_of_the_most_pixels_in_every_lane_do_not_get_the_pod_killed() -> None:
    """`tests/test_imaging.py` holds decoding to 16 bytes a pixel; bodies are there as they came and joined."""
    limits = CONTAINER["resources"]["limits"]
    memory = int(limits["memory"].removesuffix("Mi")) * 1024**2
    fields = Settings.model_fields
    lanes = int(limits["cpu"]) * 16 * fields["max_photo_pixels"].default
    assert memory > 400e6 + lanes + 2 * fields["max_bytes_together"].default


def test_somebody_always_answers() -> None:
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert AUTOSCALER["spec"]["minReplicas"] > read("disruption.yaml")["spec"]["maxUnavailable"]


def test_the_nodes_credentials_are_out_of_reach() -> None:
    policy = read("network.yaml")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}, "without, all is let through"
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    for block in blocks:
        assert any(ip_address("169.254.169.254") in ip_network(out) for out in block["except"])


def test_the_pod_meets_the_restricted_standard_and_can_still_write_what_it_must() -> None:
    assert POD["securityContext"]["runAsNonRoot"] and CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert CONTAINER["securityContext"]["allowPrivilegeEscalation"] is False
    assert POD["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert read("namespace.yaml")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not POD["automountServiceAccountToken"]
    dockerfile = (FOLDER.parent / "Dockerfile").read_text()
    user = f"{POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"
    assert f"ARG RUN_AS={user}\nUSER ${{RUN_AS}}\n" in dockerfile
    assert {mount["mountPath"] for mount in CONTAINER["volumeMounts"]} == {"/var/lib/binsight", "/tmp"}
    assert "/var/lib/binsight/ledger.db" in dockerfile and "BINSIGHT_CACHE_DIR=/tmp/" in dockerfile


def test_what_was_taken_is_finished_before_the_pod_is_killed() -> None:
    before = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = Settings.model_fields["drain_within_s"].default
    assert POD["terminationGracePeriodSeconds"] >= before + drain + 5


def test_probes_and_metrics_are_there() -> None:
    app = make_app()
    probes = [CONTAINER[name]["httpGet"]["path"] for name in PROBES]
    client = TestClient(app)  # never started: no model is loaded
    assert [client.get(path).status_code for path in probes] == [503, 503, 200], "alive, and not ready"
    metric = AUTOSCALER["spec"]["metrics"][0]["pods"]["metric"]["name"]
    scraped = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]
    assert f"\n{metric} " in client.get(scraped).text
