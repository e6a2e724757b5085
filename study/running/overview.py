"""What TensorBoard shows of a run beside its curves: command, configuration and hyper-parameters, charts that set runs side by side,
and a pair of views."""

import textwrap
from typing import Any

import torch
import yaml
from jaxtyping import Float
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from datamodules import Pairs
from datamodules.views import Pair
from study.running import hyperparameters

WIDE = 100  # characters of a line
SIDE = 256  # pixels of a picture's height at least
LAYOUT = {
    "JEPA beside MAE": {
        "probe, validation, beside baselines": ["Multiline", ["probe/validation/[^/]+$"]],
        "probe, test, beside baselines": ["Multiline", ["probe/test/[^/]+$"]],
        "distractor's share of feature variance": ["Multiline", ["linear/distractor$", "distractor/share$"]],
        "effective rank of features": ["Multiline", ["health/[^/]+/rank$"]],
        "overlap with the directions of highest rho": ["Multiline", ["linear/overlap/rho$"]],
        "overlap with the directions of highest lambda": ["Multiline", ["linear/overlap/lam$"]],
        "loss, each of its own kind": ["Multiline", ["loss$"]],
    }
}


class Overview(Callback):
    """Logs it before the first update; other loggers get the hyper-parameters.

    Args:
        command: that asked for the run.
        config: the whole configuration.
        tuning: learning rates are chosen by the run, which is no result: it has no place among them.
    """

    def __init__(self, command: str, config: dict[str, Any], tuning: bool) -> None:
        self.command, self.config, self.tuning = command, config, tuning

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = hyperparameters.hyperparameters(self.config)
        events, *others = trainer.loggers
        for logger in others:
            logger.log_hyperparams({"command": self.command, **found})
        if trainer.global_step or not trainer.is_global_zero:  # a training that goes on has all this
            return
        writer = events.experiment  # type: ignore[attr-defined]
        lines = textwrap.wrap(self.command, WIDE, break_long_words=False, break_on_hyphens=False)
        for name, text in {"command": " \\\n".join(lines), "configuration": yaml.safe_dump(self.config)}.items():
            writer.add_text(name, textwrap.indent(text, "    "))  # as code
        if self.tuning:
            return
        for summary in hyperparameters.begun(found):
            writer.file_writer.add_summary(summary)
        writer.add_custom_scalars(LAYOUT)
        picture = pair(trainer.datamodule, pl_module.device)  # type: ignore[attr-defined]
        if picture is not None:
            writer.add_image("pair of views/x and y of the first update", picture)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not self.tuning:
            trainer.loggers[0].experiment.file_writer.add_summary(hyperparameters.ended())  # type: ignore[attr-defined]


def pair(data: Pairs, device: torch.device) -> Float[Tensor, "C h w"] | None:
    """The first pair of update 0, as the network sees it, side by side on one scale from black to white; None where the data are no
    pictures."""
    batch = data.pairs(0, device)
    if not isinstance(batch, Pair):
        return None
    views = data.pictures(torch.stack([batch.x.values[0, 0], batch.y.values[0, 0]]))
    if views is None:
        return None
    low, high = views.aminmax()
    scaled = ((views - low) / (high - low).clamp(min=1e-30)).cpu()
    larger = -(-SIDE // views.shape[-2])
    x, y = scaled.repeat_interleave(larger, -2).repeat_interleave(larger, -1)
    return torch.cat([x, torch.ones_like(x[..., :larger]), y], -1)
