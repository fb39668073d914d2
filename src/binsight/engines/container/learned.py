"""The datasets that a challenger's first weights have seen, fetched to where its comparison looks for leaks."""

import json
from pathlib import Path

from binsight.engines.contract import LEARNED_FILE
from binsight.errors import BadInput, MissingObject


def learned_datasets(folder: Path | None, target: Path) -> dict[str, Path]:
    """Folders of datasets by their hashes; none where there is no such input, as in pipelines of before.

    Raises `MissingObject` or `BadInput` where the input does not say them, and as `pull_dataset` does.
    """
    if folder is None:
        return {}
    from binsight.dataset.pull import pull_dataset

    path = folder / LEARNED_FILE
    try:
        listed = [(one["sha256"], one["place"]) for one in json.loads(path.read_text(encoding="utf-8"))["datasets"]]
    except FileNotFoundError:
        raise MissingObject(
            f"{path} is not there, so that nobody knows what the first weights have seen; run binsight retrain --on "
            "sagemaker again"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} does not say which datasets ({error}); run binsight retrain again") from None
    return {sha256: pull_dataset(place, target / sha256[:16], sha256=sha256).folder for sha256, place in listed}
