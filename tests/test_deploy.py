"""The dashboard and the alert rules speak of what a running service really says."""

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.debian import installed
from tests.service_support import serving

from binsight.counting import default_bundle
from binsight.counting.registry import Registry
from binsight.imaging.drawn import drawn_photo
from binsight.records import CHAMPION, SHADOW
from binsight.service.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "binsight.json"
RULES = DEPLOY / "prometheus" / "alerts.yml"

METRIC = re.compile(r"\bbinsight_[a-z_]+")
SELECTOR = re.compile(r"\b(binsight_[a-z_]+)\{([^}]*)\}")
PHOTO = base64.b64encode(drawn_photo(2, seed=2)).decode()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every series that a running service gives, once it has counted, kept, refused and compared, with the champion also
    as its own shadow: its labels by its name."""
    folder = tmp_path_factory.mktemp("told")
    env = {
        "BINSIGHT_LEDGER": f"sqlite:///{folder}/ledger.db",
        "BINSIGHT_BUNDLES": str(folder / "bundles"),
        "BINSIGHT_CAPTURE": str(folder / "captures"),
        "BINSIGHT_DRIFT_PHOTOS": "100",
    }
    registry = Registry.open(env["BINSIGHT_LEDGER"], env["BINSIGHT_BUNDLES"])
    version = registry.register(default_bundle(), by="ann").version
    for alias in (CHAMPION, SHADOW):
        registry.point(alias, version, by="ann", reason="", seen=None)
    registry.close()
    many = {"photos": [{"photo": PHOTO, "expected": 2}] * 30}
    with serving("--follow", CHAMPION, "--shadow-share", "1", env=env) as served, served.client as client:
        for _ in range(4):
            client.post("/v1/count", json=many)
        client.post("/v1/count", content=b"no photo", headers={"content-type": "image/jpeg"})
        found: dict[str, set[str]] = {}
        end = time.monotonic() + 120  # the first look at the drift comes after five seconds
        while not {"binsight_drifting", "binsight_shadow_same_total"} <= set(found) and time.monotonic() < end:
            time.sleep(0.2)
            client.post("/v1/count", json={"photo": PHOTO, "expected": 2})
            families = text_string_to_metric_families(client.get("/metrics").text)
            found = {sample.name: set(sample.labels) for family in families for sample in family.samples}
        return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of every rule and every panel."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=lambda value: str(value)[:24])
def test_every_metric_and_label_is_one_that_the_service_gives(
    where: str, expression: str, told: dict[str, set[str]]
) -> None:
    names = METRIC.findall(expression)
    assert names, where
    for name in names:
        assert name in told, f"{where} asks for {name}, which /metrics does not have"
    for name, selector in SELECTOR.findall(expression):
        labels = set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", selector)) - {"instance"}
        assert labels <= told[name], f"{where}: {name} has no labels {labels - told[name]}"
    for by in re.findall(r"by \(([^)]*)\)", expression):
        assert set(by.split(", ")) - {"instance"} <= set().union(*(told[name] for name in names)), where


def test_every_metric_of_the_service_is_on_the_dashboard(told: dict[str, set[str]]) -> None:
    shown = {name for panel in panels() for t in panel.get("targets", ()) for name in METRIC.findall(t["expr"])}
    bare = {
        re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in told if name.startswith("binsight_")
    }
    assert bare <= {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}


def test_a_first_failure_is_a_rise() -> None:
    """Prometheus sees no increase in a series that begins with one: it must be there with nought before."""
    families = text_string_to_metric_families(Metrics().text().decode())
    values = {(s.name, s.labels.get("result")): s.value for family in families for s in family.samples}
    assert values["binsight_swaps_total", "failed"] == 0
    for result in ("sent", "refused", "given_up", "dropped"):
        assert values["binsight_alerts_total", result] == 0


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 36 and dashboard["title"] and dashboard["uid"]
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'"uid": "([^"]+)"', DASHBOARD.read_text())) == {dashboard["uid"], "${datasource}"}
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text()))
    assert used <= variables
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_every_panel_asks_the_chosen_prometheus_about_the_chosen_replicas_in_its_own_unit() -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            where, expression = panel["title"], target["expr"]
            assert panel["datasource"]["uid"] == target["datasource"]["uid"] == "${datasource}", where
            chosen = re.findall(r'\bbinsight_[a-z_]+\{instance=~"\$instance"', expression)
            assert len(chosen) == len(METRIC.findall(expression)), where
            unit = panel["fieldConfig"]["defaults"]["unit"]
            assert (unit == "s") == ("_seconds" in expression), f"{where} is in {unit}"
            if by := re.findall(r"by \(([^)]*)\)", expression):
                named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                assert named == set(by[0].split(", ")) - {"le"}, f"{where}: lines that are not told apart"


def test_every_rule_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize("command", [("check", "alerts.yml"), ("test", "alerts_test.yml")], ids=lambda c: c[0])
def test_prometheus_itself_takes_the_rules_and_rings(command: tuple[str, str]) -> None:
    promtool = shutil.which("promtool") or (installed("prometheus") and shutil.which("promtool"))
    if not promtool:
        pytest.skip(
            "promtool is not here, and Debian's package prometheus cannot be installed without root and apt-get"
        )
    verb, file = command
    done = subprocess.run(
        [promtool, verb, "rules", file], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_rule_is_rung_in_promtools_test() -> None:
    tests = yaml.safe_load((RULES.parent / "alerts_test.yml").read_text())["tests"]
    rung = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert rung == {rule["alert"] for rule in rules()}
