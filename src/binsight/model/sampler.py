"""How a search chooses the values of its next trial: by TPE, whose chance is drawn from the trial's own number.

A sampler that is seeded once begins with the same draws in every process: workers side by side, and a search that is gone
on with, would try the same values again. Only the study knows how many trials there have been, and gives each its number.
"""

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class NumberedTPE(BaseSampler):
    """Optuna's TPE, seeded for each trial by the search's seed and the trial's number.

    The same seed and the same results give the same values where one worker alone decides, stopped between trials or not.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = TPESampler(multivariate=True, constant_liar=True)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        (drawn,) = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)
        self._tpe = TPESampler(seed=int(drawn), multivariate=True, constant_liar=True)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)
