"""The entry point of our image in SageMaker's jobs."""

import signal
import sys
from typing import NoReturn

from binsight.engines.container.opt_ml import OptMl
from binsight.engines.contract import EVALUATE, TRAIN
from binsight.errors import BinsightError, Stopped


def main(word: str) -> int:
    """Do what the job asks; the exit status: 0 also where SageMaker itself stopped it, as the work is kept."""
    tree = OptMl.here()
    signal.signal(signal.SIGTERM, _stop)
    try:
        if word == TRAIN:
            from binsight.engines.container.training import train

            train(tree)
        elif word == EVALUATE:
            from binsight.engines.container.evaluation import evaluate

            evaluate(tree)
        else:
            raise BinsightError(f"a job can {TRAIN} or {EVALUATE}, but was asked to {word}; change its entry point")
    except Stopped as stop:
        print(str(stop), flush=True)
        return 0
    except BinsightError as error:
        return _failed(tree, str(error))
    except Exception as error:  # noqa: BLE001 - the job's page shows the failure file, and nobody the traceback first
        import traceback

        traceback.print_exc()
        return _failed(tree, f"{type(error).__name__}: {error}; the job's log has the traceback")
    return 0


def _failed(tree: OptMl, sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    tree.fail(sentence)
    return 1


def _stop(*_: object) -> NoReturn:
    """Outside of training, which has a handler of its own, there is nothing to save that is not saved."""
    raise Stopped("stopped before or after training; start the job again to go on")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "nothing"))
