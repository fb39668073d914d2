"""One training run by several workers of a Ray cluster, who add up their gradients as local processes do.

```
driver ──▶ a worker for each of training.devices, on whatever machines ──▶ the run folder, which all of them see
   ▲  lines, errors            │  PyTorch's process group (gloo, or NCCL on GPUs)
   └── a worker is lost: all begin again from the checkpoint
```
Ray Train is not in it: it tries a recipe that cannot be trained as often as a worker that was killed, and runs the training
in a thread, where it cannot be stopped after the batch at hand.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from binsight.engines.ray.cluster import RETRIES, carried_settings, cluster, take_over
from binsight.errors import EngineFailed
from binsight.model.recipe import Recipe
from binsight.model.run import Run

_LOOK_EVERY_S = 1
_KNOWN_S = 5
_PLACE_S = 600
"""How long to wait for cores or GPUs: an autoscaler starts machines for them in minutes."""

Say = Callable[[str], None]


def train_on_ray(recipe: Recipe, folder: Path, *, address: str | None, say: Say) -> Run:
    """Train by the recipe into `folder`, by `training.devices` workers; the same weights as by as many local processes.

    The cluster is the one at `address`, else a new one on this machine. All its machines must reach the dataset and
    `folder` under the same names. A worker that is lost costs what came since the last checkpoint. Raises `EngineFailed`
    where that happens again and again or the cluster lacks the cores, and what `train` raises.
    """
    num_workers = recipe.training.devices
    with cluster(address, workers=num_workers) as ray:
        has_gpus = ray.cluster_resources().get("GPU", 0) >= num_workers
        group = _placed(ray, [{"CPU": 1, **({"GPU": 1} if has_gpus else {})}] * num_workers)
        try:
            for _ in range(RETRIES + 1):
                if _attempt(ray, group, recipe, folder, say):
                    return Run.open(folder)
                say("a worker was lost; all begin again from the last checkpoint")
        finally:
            ray.util.remove_placement_group(group)
    raise EngineFailed(
        f"workers were lost {RETRIES + 1} times; run the same command again, and if it happens again look at what "
        "kills them: memory, most often"
    )


def _placed(ray: Any, bundles: list[dict[str, int]]) -> Any:
    """A place for every worker at once: half of them could only wait for the others."""
    group = ray.util.placement_group(bundles, strategy="SPREAD")
    if not group.wait(_PLACE_S):
        ray.util.remove_placement_group(group)
        has = int(ray.cluster_resources().get("CPU", 0))
        raise EngineFailed(
            f"training.devices={len(bundles)} needs as many cores of the Ray cluster, which has {has} in all; name fewer "
            "devices or a larger cluster"
        )
    return group


def _attempt(ray: Any, group: Any, recipe: Recipe, folder: Path, say: Say) -> bool:
    """Let all workers train to the end; False where one was lost."""
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    lines = Queue(actor_options={"num_cpus": 0})
    worker = ray.remote(max_restarts=0)(_Worker)
    workers = [
        worker.options(
            num_cpus=1,
            num_gpus=bundle.get("GPU", 0),
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index),
        ).remote()
        for index, bundle in enumerate(group.bundle_specs)
    ]
    pending: list[Any] = []
    try:
        meeting = ray.get(workers[0].meeting_place.remote())
        pending = [
            one.work.remote(
                *(rank, len(workers), meeting, recipe, str(folder.absolute())),
                *(str(Path.cwd()), carried_settings(), lines),
            )
            for rank, one in enumerate(workers)
        ]
        while pending:
            ready, pending = ray.wait(pending, num_returns=1, timeout=_LOOK_EVERY_S)
            _tell(lines, say)
            for one in ready:
                ray.get(one)
        _tell(lines, say)
        return True
    except ray.exceptions.RayTaskError as error:  # the worker itself raised
        _tell(lines, say)
        if _is_any_lost(ray, pending):  # whose absence is what this one speaks of
            return False
        raise error.cause from None
    except ray.exceptions.RayActorError:
        return False
    finally:
        for one in workers:
            ray.kill(one)
        lines.shutdown(force=True)


def _is_any_lost(ray: Any, others: list[Any]) -> bool:
    """Whether one of the other workers has died, as is known of it within some seconds."""
    ready, _ = ray.wait(others, num_returns=len(others), timeout=_KNOWN_S) if others else ([], [])
    for one in ready:
        with suppress(ray.exceptions.RayTaskError):
            try:
                ray.get(one)
            except ray.exceptions.RayActorError:
                return True
    return False


def _tell(lines: Any, say: Say) -> None:
    while not lines.empty():
        say(lines.get())


class _Worker:
    """One process of the group, on any machine."""

    def meeting_place(self) -> tuple[str, int]:
        """Address and free port of this machine, where the processes of the group find each other."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def work(
        self,
        rank: int,
        num_workers: int,
        meeting: tuple[str, int],
        recipe: Recipe,
        folder: str,
        begun_in: str,
        carried: dict[str, str],
        lines: Any,
    ) -> None:
        take_over(carried)
        if Path(begun_in).is_dir():  # a recipe may name its dataset from where the command was given
            os.chdir(begun_in)
        # As `torchrun` tells its processes, each as if alone on a machine: Fabric then starts no further ones.
        address, port = meeting
        os.environ |= {"MASTER_ADDR": address, "MASTER_PORT": str(port), "WORLD_SIZE": str(num_workers)}
        os.environ |= {"RANK": str(rank), "GROUP_RANK": str(rank), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        os.environ["TORCHELASTIC_RUN_ID"] = "binsight"
        from binsight.model.train import make_fabric, train

        fabric = make_fabric(recipe, devices=1, machines=num_workers)
        train(recipe, Path(folder), say=lines.put, fabric=fabric)
