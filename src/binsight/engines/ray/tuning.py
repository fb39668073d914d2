"""Trials of a search by workers of a Ray cluster, on the one study that all of them share.

A task is a worker, and what `binsight tune` is without Ray: it takes part until there are trials enough. Ray Tune is not
in it: the study already chooses values beside those that others are at, gives up what lags, and has a killed trial gone
on with, by workers with Ray and without.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import optuna

from binsight.engines.ray.cluster import cluster, num_cores, result, task
from binsight.errors import BadInput
from binsight.model.search import SearchFile, parse_search
from binsight.model.tune import Say, is_done, open_study, told, tune

_LOOK_EVERY_S = 1


def tune_on_ray(
    search: SearchFile, url: str, folder: Path, *, address: str | None, workers: int | None = None, say: Say
) -> None:
    """Add trials to the study at `url` until it holds as many as wanted, by a worker for each core that the cluster has.

    The cluster is the one at `address`, else a new one on this machine. All its machines must reach the study, the
    dataset and `folder` under the same names. `say` gets a line a trial. Raises `EngineFailed` where a worker is killed
    again and again, `BadInput` for a study in a file where there may be other machines, and what `tune` raises.
    """
    if address is not None and url.startswith("sqlite"):
        raise BadInput(
            "workers of other machines cannot share a study in SQLite; give --study postgresql+psycopg://host/name"
        )
    study = open_study(url, search)
    with cluster(address, workers=workers) as ray:
        num_workers = min(search.search.trials, num_cores(ray))
        remote = task(ray, _work)
        given = (search.dump(), url, str(folder.absolute()), str(Path.cwd()))
        pending = [remote.remote(*given) for _ in range(num_workers)]
        lines = _news(study)
        while pending:
            ready, pending = ray.wait(pending, num_returns=1, timeout=_LOOK_EVERY_S)
            for line in next(lines):
                say(line)
            for one in ready:
                result(ray, one, named="a part of the search", look_for="values that take too much memory")


def _news(study: optuna.Study) -> Iterator[list[str]]:
    """Again and again, a line for each trial that has ended since."""
    known = {trial.number for trial in study.get_trials(deepcopy=False) if is_done(trial)}
    while True:
        ended = [one for one in study.get_trials(deepcopy=False) if is_done(one) and one.number not in known]
        known |= {trial.number for trial in ended}
        yield [told(study, trial) for trial in ended]


def _work(search: str, url: str, folder: str, begun_in: str) -> None:
    if Path(begun_in).is_dir():  # a recipe may name its dataset from where the command was given
        os.chdir(begun_in)
    wanted = parse_search(search, source=url)
    tune(wanted, open_study(url, wanted), Path(folder))
