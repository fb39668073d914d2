"""The state of one run while it trains: its epochs, its steps, and what is kept after each."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from safetensors.torch import save
from torch import nn

from binsight.dataset.manifest import Dataset
from binsight.decision.measures import count_prior
from binsight.decision.scores import Scores, score
from binsight.errors import BadRecipe, GateFailed, Stopped
from binsight.model.augment import augment
from binsight.model.batches import Batch, Photos, batch_order, batches
from binsight.model.checkpoint import Position, load_checkpoint, save_checkpoint
from binsight.model.curves import write_metrics
from binsight.model.health import EpochMetrics, diagnose, first_weights_findings
from binsight.model.network import FlipAverage, build_network
from binsight.model.objective import Objective
from binsight.model.optimise import make_optimizer, make_scheduler, moving_average
from binsight.model.recipe import Recipe
from binsight.model.resident import resident_batches, resident_pixels
from binsight.model.run import CHECKPOINT_NAME, predict
from binsight.model.teachers import taught_NK
from binsight.progress import progress_bar
from binsight.storage.files import written_whole

Say = Callable[[str], None]
AfterEpoch = Callable[[EpochMetrics], None]


class Trainer:
    """The state of one run while it trains."""

    def __init__(self, recipe: Recipe, folder: Path, dataset: Dataset, fabric: Fabric, say: Say) -> None:
        self.recipe, self.folder, self.fabric, self.say = recipe, folder, fabric, say
        self.stop_wanted = False
        if fabric.is_global_zero:  # one process fills the pixel cache, the others find it
            Photos(dataset, recipe, "train")
        fabric.barrier()
        self.train_photos, self.val_photos = Photos(dataset, recipe, "train"), Photos(dataset, recipe, "val")
        photos = self.train_photos
        # Photos that are saved again are changed by the processor.
        self.resident_NHWC = None if recipe.augment.jpeg else resident_pixels(photos.pixels, fabric.device)
        self.objective = Objective(
            recipe,
            photos.counts,
            photos.is_natural,
            photos.auxiliary_NA(recipe.model.auxiliary),
            taught_NK(folder),
            photos.weights,
            num_drawn=photos.num_drawn,
        )
        torch.manual_seed(recipe.seed)
        network: nn.Module = build_network(recipe.model)
        if recipe.training.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.position = Position()
        self.ema = moving_average(network, recipe.training, fabric.device)
        optimizer = make_optimizer(network, recipe.training)
        self.scheduler = make_scheduler(optimizer, recipe.training, self.batches_per_epoch * recipe.training.epochs)
        self.bare_network, self.bare_optimizer = network, optimizer
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.network.mark_forward_method("forward_all")  # goes through mixed precision and the other processes too
        self.last_saved = time.monotonic()
        if (folder / CHECKPOINT_NAME).is_file():
            self._restore()

    @property
    def batches_per_epoch(self) -> int:
        return max(1, len(self._order(0)))

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """This process's share of the epoch's batches; every process gets equally many."""
        order = batch_order(
            len(self.train_photos), self.recipe.training.batch_size, seed=self.recipe.seed, epoch=epoch
        )
        world = self.fabric.world_size
        check_shares(len(order), world)
        return order[: len(order) // world * world][self.fabric.global_rank :: world]

    def run(self, before_keeping: Callable[[], None], after_epoch: AfterEpoch) -> None:
        """Train the epochs that are left."""
        epochs = self.recipe.training.epochs
        natural_counts = self.train_photos.counts[self.train_photos.is_natural]
        prior_K = count_prior(natural_counts, self.recipe.model.num_counts)
        prior_nll = score(np.tile(prior_K, (len(self.val_photos), 1)), self.val_photos.counts).nll
        while self.position.epoch < epochs:
            self._train_epoch()
            row = self._finish_epoch(before_keeping)
            self.say(
                f"epoch {row.epoch}/{epochs}: train loss {row.train_loss:.3f} · val nll {row.val_nll:.3f} "
                f"(prior {prior_nll:.3f}), exact {row.val_exact:.1%}, within one {row.val_within_one:.1%}, "
                f"rps {row.val_rps:.3f} · {row.photos_per_s:.0f} photos/s"
            )
            findings = diagnose(self.position.rows, prior_nll=prior_nll)
            for finding in findings:
                self.say(f"health: {finding.sentence}")
            if self.fabric.is_global_zero:
                with written_whole(self.folder / "health.json") as part:
                    part.write_text(json.dumps([finding.as_dict() for finding in findings], indent=2))
            after_epoch(row)

    def _train_epoch(self) -> None:
        position = self.position
        order = self._order(position.epoch)
        self.network.train()
        loader = self._load(list(order[position.batch :]))
        with progress_bar("batches", shown=self.fabric.is_global_zero) as bar:
            task = bar.add_task(f"epoch {position.epoch + 1}", total=len(order), completed=position.batch)
            begun = time.perf_counter()
            for images, places in loader:
                position.wait_seconds += time.perf_counter() - begun
                loss = self._step(images.to(self.fabric.device), places)
                position.loss_sum += loss
                position.batch += 1
                position.seconds += time.perf_counter() - begun
                bar.update(task, advance=1, description=f"epoch {position.epoch + 1} · loss {loss:.3f}")
                self._pause()
                begun = time.perf_counter()

    def _load(self, order: list[npt.NDArray[np.int64]]) -> Iterator[Batch]:
        preprocessing = self.recipe.data.preprocessing
        if self.resident_NHWC is not None:
            return resident_batches(self.resident_NHWC, preprocessing, order)
        return batches(
            self.train_photos.pixels,
            preprocessing,
            order,
            jpeg=self.recipe.augment.jpeg,
            workers=self.recipe.training.workers,
            pin_memory=self.fabric.device.type == "cuda",
        )

    def _step(self, images_BCHW: torch.Tensor, places_B: torch.Tensor) -> float:
        position, recipe = self.position, self.recipe
        # Everything random in a step is drawn after this: a run that was stopped draws the same.
        torch.manual_seed(
            hash((recipe.seed, position.epoch, position.batch, self.fabric.global_rank)) & (2**63 - 1)
        )
        images_BCHW = augment(images_BCHW, recipe.augment)
        if recipe.training.channels_last:
            images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        log_probs_BK, told_BA = self.network.forward_all(images_BCHW)
        if position.epoch == position.batch == 0:
            for finding in first_weights_findings(self.bare_network, log_probs_BK.detach()):
                self.say(f"health: {finding.sentence}")
        loss = self.objective.loss(log_probs_BK, told_BA, places_B)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise self._no_number(f"the loss is {value} at epoch {position.epoch + 1}, batch {position.batch + 1}")
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.network, self.optimizer, max_norm=recipe.training.gradient_clip, error_if_nonfinite=False
        )
        self._note_norm(float("nan") if norm is None else float(norm))
        self.optimizer.step()
        self.scheduler.step()
        if self.ema is not None:
            self.ema.update(self.bare_network, step=position.epoch * self.batches_per_epoch + position.batch)
        return value

    def _note_norm(self, norm: float) -> None:
        """Of a step that is taken: fp16 skips those whose gradients overflow, which is how it finds its scale."""
        is_scaled = bool(self.fabric.strategy.precision.state_dict())
        if np.isfinite(norm) or not is_scaled:
            self.position.gradient_norms.append(norm)

    def _pause(self) -> None:
        """After a batch: save where it is time to, stop where someone asked to."""
        stop = self.stop_wanted
        if self.fabric.world_size > 1:  # all processes stop after the same batch, or the others wait for ever
            stop = bool(self.fabric.all_reduce(torch.tensor(float(stop)), reduce_op="sum"))
        due = time.monotonic() - self.last_saved > 60 * self.recipe.training.checkpoint_minutes
        if (stop or due) and self.fabric.is_global_zero:
            self._save()
        if stop:
            raise Stopped(
                f"stopped after epoch {self.position.epoch + 1}, batch {self.position.batch}; {self.folder} keeps "
                "the work, run the same command again to go on"
            )

    def _finish_epoch(self, before_keeping: Callable[[], None]) -> EpochMetrics:
        """Score the weights on `val`, keep them where they are the best so far, and write all down."""
        position = self.position
        weights = self.ema.module if self.ema is not None else self.bare_network
        judged = self._judge(weights) if self.fabric.is_global_zero else None
        scores = self.fabric.broadcast(judged)  # one process judges, all know
        if scores is None:
            raise self._no_number(f"the network's answers for val are no numbers after epoch {position.epoch + 1}")
        before_keeping()
        num_batches = max(1, position.batch)
        norms = position.gradient_norms or [0.0]  # nothing moved the weights where every step was skipped
        row = EpochMetrics(
            epoch=position.epoch + 1,
            lr=float(self.scheduler.get_last_lr()[0]),
            train_loss=position.loss_sum / num_batches,
            val_nll=scores.nll,
            val_rps=scores.rps,
            val_exact=scores.exact,
            val_within_one=scores.within_one,
            val_mae=scores.mae,
            gradient_norm=statistics.median(norms),
            gradient_norm_max=max(norms),
            photos_per_s=num_batches
            * min(self.recipe.training.batch_size, len(self.train_photos))
            * self.fabric.world_size
            / max(position.seconds, 1e-9),
            wait_share=position.wait_seconds / max(position.seconds, 1e-9),
            seconds=position.seconds,
        )
        is_best = row.val_rps < position.best_rps
        self.position = Position(epoch=position.epoch + 1, rows=[*position.rows, row])
        if self.fabric.is_global_zero:
            for name in ("best", "last") if is_best else ("last",):
                with written_whole(self.folder / f"{name}.safetensors") as part:
                    part.write_bytes(save({key: value.contiguous() for key, value in weights.state_dict().items()}))
            write_metrics(self.folder, self.position.rows)
            self._save()
        self.fabric.barrier()
        return row

    def _judge(self, weights: nn.Module) -> Scores | None:
        """None where an answer is no number: the epoch's last step may break the weights, and no loss comes after it."""
        probs_BK = predict(
            (FlipAverage(weights) if self.recipe.model.flip_average else weights).eval(),
            self.val_photos.pixels,
            self.recipe.data.preprocessing,
            device=self.fabric.device,
            autocast=self.fabric.autocast,
        )
        return score(probs_BK, self.val_photos.counts) if np.isfinite(probs_BK).all() else None

    def _no_number(self, what: str) -> GateFailed:
        return GateFailed(
            f"{what}; lower training.lr (now {self.recipe.training.lr:g}) or use training.precision=fp32, in a new folder"
        )

    def _save(self) -> None:
        states = {
            "network": self.bare_network.state_dict(),
            "optimizer": self.bare_optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        if self.ema is not None:
            states["ema"] = self.ema.state_dict()
        save_checkpoint(self.folder / CHECKPOINT_NAME, self.position, states)
        self.last_saved = time.monotonic()

    def _restore(self) -> None:
        self.position, states = load_checkpoint(self.folder / CHECKPOINT_NAME)
        self.bare_network.load_state_dict(states["network"])
        self.bare_optimizer.load_state_dict(states["optimizer"])
        self.scheduler.load_state_dict(states["scheduler"])
        if scale := states.get("precision"):  # of fp16 alone, and not in checkpoints of before
            self.fabric.strategy.precision.load_state_dict(scale)
        if self.ema is not None:
            self.ema.load_state_dict(states["ema"])
        epochs = self.recipe.training.epochs
        if self.position.epoch == epochs:
            self.say(
                f"{self.folder} is trained to its end already, epoch {epochs} of {epochs}; nothing is left to do"
            )
        else:
            self.say(f"going on at epoch {self.position.epoch + 1}, batch {self.position.batch + 1}")


def check_shares(num_batches: int, num_processes: int) -> None:
    """Raises `BadRecipe` where there is not a batch for every process."""
    if num_processes > num_batches:
        raise BadRecipe(
            f"training.devices must be at most the {num_batches} batches of an epoch, but got {num_processes}"
        )
