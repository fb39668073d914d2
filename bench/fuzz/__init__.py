"""Hostile photos, bodies and requests in great numbers: `python -m bench.fuzz`."""
