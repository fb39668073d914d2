"""What every peer runs, from base64 to probabilities: the file, decoder and session of the bare ones in bench/serve.py.

With PEER_PLAIN=1 the whole JPEG is decoded and the session is ONNX Runtime's own default on one thread: what a plain
export is served with.
"""

import base64
import io
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from binsight.counting.bundle import Bundle
from binsight.counting.counter import open_session, temper_log_probs
from binsight.imaging import images_BCHW, pixels_HWC
from binsight.imaging.prepare import Pixels, fit_square


class Network:
    """A bundle's network on one thread."""

    def __init__(self, folder: str) -> None:
        self._bundle = Bundle.open(Path(folder))
        self._plain = os.environ.get("PEER_PLAIN") == "1"
        self._session = self._open()

    def probs(self, photos: list[str]) -> list[list[float]]:
        """Probabilities of each photo (base64), in one run."""
        preprocessing = self._bundle.spec.preprocessing
        pixels = np.stack([self._pixels(base64.b64decode(photo)) for photo in photos])
        (log_probs,) = self._session.run(None, {"images": images_BCHW(pixels, preprocessing)})
        rows: list[list[float]] = temper_log_probs(log_probs, self._bundle.spec.temperature).tolist()
        return rows

    def _pixels(self, photo: bytes) -> Pixels:
        preprocessing = self._bundle.spec.preprocessing
        if not self._plain:
            return pixels_HWC(photo, preprocessing)
        return np.asarray(fit_square(Image.open(io.BytesIO(photo)).convert("RGB"), preprocessing))

    def _open(self) -> onnxruntime.InferenceSession:
        if not self._plain:
            return open_session(self._bundle.model_path, threads=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(self._bundle.model_path, options, providers=["CPUExecutionProvider"])
