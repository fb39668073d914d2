"""The network behind BentoML, with its adaptive batching, for bench/peers.py: `python bentoml_server.py BUNDLE PORT`.

By its guides "Adaptive batching" (a batchable endpoint takes lists, each request a list of one) and "Parallelize requests
handling" (workers for cores).
"""

import os
import sys
from pathlib import Path

import bentoml
from network import Network


# Two workers for two cores, and a batch at a time in each. What may take longer than the latency is answered 503, which the
# guide says to mend by a higher one: its example's second was too short for a slow moment.
@bentoml.service(workers=2, threads=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Count:
    def __init__(self) -> None:
        self.network = Network(os.environ["PEER_BUNDLE"])

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=10000)
    def predict(self, photo: list[str]) -> list[list[float]]:
        return self.network.probs(photo)


if __name__ == "__main__":
    os.environ["PEER_BUNDLE"] = sys.argv[1]
    where = ("--working-dir", str(Path(__file__).parent), "--host", "127.0.0.1", "--port", sys.argv[2])
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", "bentoml_server:Count", *where])
