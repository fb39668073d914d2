"""What runs the network: by what is there, and only if the golden photos get their answers."""

from typing import Any

import numpy as np
import pytest

from binsight.counting import Counter, default_bundle, providers
from binsight.counting.providers import candidates, open_session
from binsight.errors import BadBundle, BadInput, GateFailed

HAVE_ALL = ["CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"]


class Imprecise:
    """A session of a provider that rounds more than it may: its log-probabilities are off by a twentieth."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, names: Any, inputs: Any) -> list[Any]:
        (log_probs,) = self._session.run(names, inputs)
        return [(log_probs * np.float32(0.95)).astype(np.float32)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[str]:
    """An ONNX Runtime with every provider, whose GPU is as the test's parameter says. Says what was opened."""
    asked: list[str] = []

    def open_one(model: Any, *, threads: int, provider: str = "cpu") -> Any:
        asked.append(provider)
        if provider != "cpu" and request.param == "without a driver":
            raise BadBundle("no driver; choose cpu")
        session = open_session(model, threads=threads)
        return Imprecise(session) if provider != "cpu" and request.param == "imprecise" else session

    monkeypatch.setattr(providers.onnxruntime, "get_available_providers", lambda: HAVE_ALL)
    monkeypatch.setattr("binsight.counting.counter.open_session", open_one)
    return asked


def test_auto_is_a_gpu_where_one_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert candidates("auto") == ["cpu"], "as the tests' ONNX Runtime is"
    monkeypatch.setattr(providers.onnxruntime, "get_available_providers", lambda: sorted(HAVE_ALL))
    assert candidates("auto") == ["cuda", "cpu"]
    assert candidates("openvino") == ["openvino"]


@pytest.mark.parametrize(
    ("opened", "why"),
    [("without a driver", "no driver; choose cpu"), ("imprecise", "must get its recorded answer")],
    indirect=["opened"],
)
def test_auto_falls_back_to_the_cpu_and_says_why(
    opened: list[str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter.load(default_bundle(), threads=1, provider="auto")
    assert opened == ["cuda", "cpu"]
    assert "default is not run by cuda: " in caplog.text
    assert why in caplog.text
    counter.check_golden()


@pytest.mark.parametrize("opened", ["in order"], indirect=True)
def test_a_provider_that_agrees_is_taken(opened: list[str]) -> None:
    Counter.load(default_bundle(), threads=1, provider="auto")
    Counter.load(default_bundle(), threads=1, provider="openvino")
    assert opened == ["cuda", "openvino"]


@pytest.mark.parametrize("opened", ["imprecise"], indirect=True)
def test_a_provider_that_was_asked_for_and_gives_other_answers_is_an_error(opened: list[str]) -> None:
    with pytest.raises(GateFailed, match="must get its recorded answer"):
        Counter.load(default_bundle(), threads=1, provider="openvino")
    assert opened == ["openvino"]


def test_a_provider_that_is_not_there_is_refused_with_the_package_that_has_it() -> None:
    with pytest.raises(BadInput, match=r"the provider cuda is not in .*; .* pip install onnxruntime-gpu"):
        Counter.load(default_bundle(), provider="cuda")


def test_a_session_that_silently_runs_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime warns and uses the CPU where a provider's library cannot be loaded."""
    monkeypatch.setitem(providers.NAMES, "cuda", "CUDAExecutionProvider")
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(BadBundle, match="run by cuda"):
        open_session(default_bundle() / "model.onnx", threads=1, provider="cuda")
