"""The network behind LitServe, with its own batching, for bench/peers.py: `python litserve_server.py BUNDLE PORT`."""

import sys

import litserve
from network import Network


class Count(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.network = Network(sys.argv[1])

    def decode_request(self, request: dict[str, str]) -> str:
        return request["photo"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, photos: list[str]) -> list[list[float]]:
        return self.network.probs(photos)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"probs": output}


if __name__ == "__main__":
    # Two workers for two cores, as its guide says for CPUs; batches of what comes within 5 ms.
    server = litserve.LitServer(
        Count(max_batch_size=8, batch_timeout=0.005), accelerator="cpu", workers_per_device=2, timeout=60
    )
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
