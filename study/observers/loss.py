"""The training loss, and the rule that a run whose numbers are no longer finite stops."""

from lightning import LightningModule, Trainer
from torch import Tensor

from datamodules import Pairs
from models import Learner
from study.observers.observer import Observer


class Diverged(ArithmeticError):
    """Training left the finite numbers; says at which update and in which network (its first one).

    Attributes:
        role: of the run in its experiment; set by what follows the experiment's plan.
    """

    role = ""

    def __init__(self, update: int, network: int, lr: float) -> None:
        super().__init__(f"loss of network {network} (lr {lr:g}) is not finite after update {update}; lower its learning rate")
        self.update, self.network, self.lr = update, network, lr


class Loss(Observer):
    """Records the loss (of the last update) and raises Diverged at the first one that is not finite.

    Runs before checkpoints are written, so the last checkpoint is always a good one.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        assert isinstance(pl_module, Learner)
        bad = ~pl_module.losses.isfinite()
        # What is not finite once stays so; and the last update can spoil the weights after its loss was still finite.
        bad = bad | ~pl_module.finite()
        if bool(bad.any()):
            network, data = int(bad.nonzero()[0]), trainer.datamodule  # type: ignore[attr-defined]
            raise Diverged(min(trainer.global_step * data.chunk, data.updates), network, pl_module.lr[network])
        super().on_train_batch_end(trainer, pl_module)

    def measure(self, learner: Learner, data: Pairs, last: bool) -> dict[str, Tensor]:
        return {"loss": learner.losses} if hasattr(learner, "losses") else {}
