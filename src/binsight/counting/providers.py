"""What runs the network: a GPU, OpenVINO or the CPU, by what the installed ONNX Runtime has.

```
auto ─▶ a GPU that is there ─▶ golden photos agree? ─▶ taken
                                       no ─▶ said in the log, and the CPU is taken
```
A provider that rounds more than the bundle allows gives other answers without a word: OpenVINO computes in bfloat16
where the processor can, and newer GPUs in TF32, unless they are told not to. `auto` leaves OpenVINO out, which gained
nothing where it was measured (docs/decisions/0013).
"""

from pathlib import Path
from typing import Any

import onnxruntime

from binsight.errors import BadBundle, BadInput
from binsight.settings import Provider

CPU: Provider = "cpu"
NAMES: dict[Provider, str] = {
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""ONNX Runtime's own names."""
AUTO: tuple[Provider, ...] = ("cuda", "cpu")
"""What `auto` tries, if it is there."""
PACKAGES: dict[Provider, str] = {"cuda": "onnxruntime-gpu", "openvino": "onnxruntime-openvino"}
"""What brings a provider. Each contains the module `onnxruntime`, so that only one of them may be installed."""


def candidates(wanted: Provider) -> list[Provider]:
    """The providers to try, in their order; the wanted one alone unless it is `auto`.

    Raises `BadInput` for one that the installed ONNX Runtime lacks.
    """
    there = onnxruntime.get_available_providers()
    if wanted == "auto":
        return [provider for provider in AUTO if NAMES[provider] in there]
    if NAMES[wanted] not in there:
        raise BadInput(
            f"the provider {wanted} is not in this ONNX Runtime, which has {', '.join(there)}; "
            f"pip uninstall onnxruntime, then pip install {PACKAGES[wanted]}"
        )
    return [wanted]


def open_session(model: Path, *, threads: int, provider: Provider = CPU) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on `threads` cores, by one provider and not `auto`.

    Raises `BadBundle` where the file is not a network that this provider can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only: warnings about optimisations are not for users
    # Idle network threads would otherwise spin and take the cores from decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights stored as int8 become fp32 once, now: otherwise with every batch, and one photo takes 2.8 times as long.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    chosen: list[Any] = [(NAMES[provider], _options(provider, threads))]
    if provider != CPU:
        chosen.append(NAMES[CPU])  # for operators that the provider lacks
    try:
        session = onnxruntime.InferenceSession(model, options, providers=chosen)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has errors of its own for each defect of a file
        raise BadBundle(f"{model} is not a network that ONNX Runtime can open ({error}); export it again") from None
    if session.get_providers()[0] != NAMES[provider]:  # it warns and goes on without, where a driver is missing
        raise BadBundle(f"{model} cannot be run by {provider}, whose driver or library is missing; choose cpu")
    return session


def _options(provider: Provider, threads: int) -> dict[str, str]:
    if provider == "openvino":  # ACCURACY: as the file has it, where the default is bfloat16 on some processors
        return {"device_type": "CPU", "precision": "ACCURACY", "num_of_threads": str(threads)}
    if provider == "cuda":  # TF32, the default of newer GPUs, rounds to 10 bits
        return {"use_tf32": "0"}
    return {}
