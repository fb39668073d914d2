"""The network behind Ray Serve, with its dynamic batching, for bench/peers.py: `python ray_server.py BUNDLE PORT`.

By its guides "Dynamic Request Batching", "Resource Allocation" (a core reserved for each replica) and "Performance Tuning"
(a higher `max_ongoing_requests`; RAY_SERVE_THROUGHPUT_OPTIMIZED=1, which peers.py sets, with no blocking call on the loop).
"""

import asyncio
import signal
import sys

import ray
from network import Network
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=64)
class Count:
    def __init__(self, bundle: str) -> None:
        self.network = Network(bundle)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def predict(self, photos: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self.network.probs, photos)

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        return {"probs": await self.predict((await request.json())["photo"])}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, logging_level="warning", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Count.bind(sys.argv[1]), route_prefix="/predict")
    # So that Ray ends its own processes; only now, since it has set a handler of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.pause()
