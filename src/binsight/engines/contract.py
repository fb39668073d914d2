"""What the containers and those who start them agree on: names of channels, metrics and reserved hyperparameters.

Nothing here imports a library, so that both sides can.
"""

TRAIN, EVALUATE = "train", "evaluate"
"""What our image can be asked to do in a job: `python -m binsight.engines.container WORD`."""

DATASET, RECIPE, PARENT = "dataset", "recipe", "parent"
"""Channels of a training job: the dataset, a folder with one recipe file, and a run whose weights to begin with. The
dataset is needed, the others are not; where the parent's folder holds no weights, training begins as the recipe says."""

LEARNED, LEARNED_FILE = "learned", "datasets.json"
"""In the parent's folder, and an input of the evaluation: which datasets those weights have seen, and where they lie."""

CHALLENGER, CHAMPION, PROMOTION = "challenger", "champion", "promotion"
"""Inputs of the evaluation beside the dataset that was trained on: the trained model, the one in use, and the dataset
with the photos that they are compared on."""

FROZEN_FILE = "frozen.json"
"""In the promotion set's folder: what the ledger knows of it."""

LOOKS = "BINSIGHT_LOOKS"
"""The evaluation's environment names here the s3:// place where looks at promotion sets are counted."""

JSON_DECISION, JSON_REASON = "decision.word", "decision.reason"
"""Where in the evaluation's file a pipeline reads what was decided (promote, keep or refuse), and why."""

EVALUATION, EVALUATION_FILE = "evaluation", "evaluation.json"
"""The output of the evaluation, and the file in it that a pipeline reads."""

EXPORT_NAME, EXPORT_WEIGHTS, EXPORT_SIZE = "export.name", "export.weights", "export.size"
"""Hyperparameters that are no field of a recipe: how the bundle is exported (`binsight export --name --weights --size`)."""

THREADS = "threads"
"""Another: with how many threads it is trained; as many as the machine has cores where it is not given."""

METRICS = (
    "train_loss",
    "val_nll",
    "val_rps",
    "val_exact",
    "val_within_one",
    "val_mae",
    "lr",
    "gradient_norm",
    "photos_per_s",
    "wait_share",
)
"""What a training job says after each epoch, a line each."""

OBJECTIVE = "val_rps"
"""What a tuning job makes small: the ranked probability score on `val`."""


def metric_line(name: str, value: float, epoch: int) -> str:
    """The line of a job's log that holds a metric."""
    return f"metric {name}={value:.6g}; epoch={epoch};"


def metric_regex(name: str) -> str:
    """What finds the value in such a line. SageMaker takes the group."""
    return rf"metric {name}=([-+0-9.e]+|nan|inf);"


def metric_definitions() -> list[dict[str, str]]:
    """For `AlgorithmSpecification.MetricDefinitions`: at most 40, and these are fewer."""
    return [{"Name": name, "Regex": metric_regex(name)} for name in METRICS]
