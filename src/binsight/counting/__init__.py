"""Photos in, estimates out: NumPy and ONNX Runtime only."""
