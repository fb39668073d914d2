"""The console's page of models shows the last retrainings."""

from fastapi import FastAPI
from tests.console_support import signed_in, what_it_says

from binsight.storage.ledger import Ledger, Retrainings


def test_without_any_the_page_says_how_one_is_made(standing: FastAPI) -> None:
    page = signed_in(standing, "dan").get("/models")
    assert "None yet; binsight retrain trains a challenger" in what_it_says(page)


def test_each_shows_how_far_it_is_and_what_came_of_it(console_app: FastAPI, console_ledger: Ledger) -> None:
    rows = Retrainings(console_ledger)
    for number in range(12):
        rows.begin(
            f"r{number}",
            by="ann",
            why=f"due: {number} new counts",
            place="here",
            inputs_sha256="0" * 64,
            num_counts=1100 + number,
            num_labelled=100,
            champion="0123456789ab",
        )
    rows.change(
        "r10", state="promoted", challenger="ba9876543210", watch="open", sentence="+3.1 points <b>better</b>"
    )
    rows.change("r11", step="train")
    said = what_it_says(signed_in(console_app, "dan").get("/models"))
    assert "running train 1,211 0123456789ab – – due: 11 new counts –" in said
    assert "promoted – 1,210 0123456789ab ba9876543210 open due: 10 new counts +3.1 points &lt;b&gt;better" in said
    assert "due: 2 new counts" in said
    assert "due: 1 new counts" not in said, "the last ten alone"
