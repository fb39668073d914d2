"""Photos in, estimates out: NumPy and ONNX Runtime only."""

from binsight.counting.bundle import Bundle, default_bundle
from binsight.counting.counter import Counter

__all__ = ["Bundle", "Counter", "default_bundle"]
