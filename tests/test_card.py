"""The model card: what a bundle says of itself, and what export says of it on screen."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from binsight.cli import cli
from binsight.counting import Bundle, default_bundle
from binsight.decision.certificate import read_certificate
from binsight.model import card
from binsight.model.recipe import load_recipe

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "default.toml"


def shipped(temperature: float) -> Bundle:
    bundle = Bundle.open(default_bundle())
    lineage = bundle.spec.lineage | {"trained_size": 224, "first_weights": "none"}
    return replace(bundle, spec=bundle.spec.model_copy(update={"lineage": lineage, "temperature": temperature}))


def text(monkeypatch: pytest.MonkeyPatch, *overrides: str, temperature: float = 1.1) -> str:
    """The card of the shipped bundle, of a run by the default recipe with these overrides, in one line."""
    monkeypatch.setattr(card, "wanted_photos", lambda *_: range(1234))
    bundle = shipped(temperature)
    data = bundle.certificate()
    assert data is not None
    run = SimpleNamespace(recipe=load_recipe(RECIPE, overrides))
    dataset = SimpleNamespace(folder=Path("d"), digest="a" * 64)
    certificate = read_certificate(data, name="the shipped one")
    made = card.render_card(bundle.spec, run, dataset, certificate)  # type: ignore[arg-type]
    return " ".join(made.split())


def test_drawn_bins_are_named_beside_the_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "and 4,000 bins that Binsight drew" in text(monkeypatch, "data.drawn=4000")
    assert "1,234 photos of the split `train`" in text(monkeypatch, "data.drawn=4000")
    assert "drew" not in text(monkeypatch, "data.drawn=0")


@pytest.mark.parametrize(
    ("temperature", "says"), [(19.999, "tell next to nothing"), (0.05001, "was answered right")]
)
def test_a_temperature_at_the_end_of_its_range_is_said_on_the_card_and_on_screen(
    monkeypatch: pytest.MonkeyPatch, temperature: float, says: str
) -> None:
    assert says in text(monkeypatch, temperature=temperature)
    assert "that is tried" not in text(monkeypatch)
    for value, is_warned in ((temperature, True), (1.1, False)):
        monkeypatch.setattr("binsight.model.export.export", lambda *_, value=value, **__: shipped(value))
        monkeypatch.setattr("binsight.model.run.Run.open", lambda _: None)
        done = CliRunner().invoke(cli, ["export", "run", "bundle", "--json"])
        assert done.exit_code == 0, done.output
        assert (says in done.stderr) == is_warned
        assert json.loads(done.stdout)["version"] == shipped(value).version
