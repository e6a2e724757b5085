"""What a training can be asked for: options of Lightning's trainer that are honoured, and sizes that fit each other. The others
are refused by name, before anything is written."""

import inspect
import os
import pydoc
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment

from datamodules import Pairs
from models import Encoder
from study.observers import Loss, Table

HONOURED = {"accelerator", "devices", "num_nodes", "strategy", "callbacks", "deterministic", "benchmark", "detect_anomaly"}
ACCELERATORS, STRATEGIES = ("auto", "cpu", "gpu", "cuda"), ("auto", "ddp")
LENGTH = "the length of a run is data.updates"
OWN = "the program has its own"
REASONS = {
    **dict.fromkeys(
        ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "fast_dev_run", "overfit_batches"), LENGTH
    ),
    "limit_train_batches": LENGTH,
    "precision": "numbers are rounded by model.encoder's dtype",
    **dict.fromkeys(
        ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"), "a training makes its own updates"
    ),
    **dict.fromkeys(("logger", "default_root_dir", "log_every_n_steps", "enable_checkpointing", "enable_progress_bar"), OWN),
}
COUNTS = {  # of which memory is estimated, or a loop made
    "inputs", "hidden", "features", "updates", "chunk", "batch", "every", "sample", "jacobian_sample", "k", "recorded", "train",
    "validation", "test",
}  # fmt: skip
MOST = 10**12


def check(config: dict[str, Any]) -> None:
    """Refuse what a resolved configuration asks of the trainer and cannot have, and counts that are none.

    Raises:
        ValueError: names the option, what was found, and why.
    """
    trainer = config["trainer"]
    usual = {name: p.default for name, p in inspect.signature(Trainer).parameters.items()} | {"max_epochs": 1}
    for name, value in trainer.items():
        if name not in HONOURED and value != usual[name]:
            why = REASONS.get(name, "it has no place here")
            raise ValueError(f"trainer.{name} = {short(value)} cannot be honoured: {why}; leave it out")
    for name, valid in (("accelerator", ACCELERATORS), ("strategy", STRATEGIES)):
        if trainer[name] not in valid:
            raise ValueError(f"{name} must be {', '.join(valid[:-1])} or {valid[-1]}, found {short(trainer[name])}")
    devices = trainer["devices"]
    if trainer["accelerator"] == "cpu" and devices != "auto" and not (str(devices).isdigit() and int(devices)):
        raise ValueError(f"devices must be auto or the number of processes, found {short(devices)}")
    nodes = trainer["num_nodes"]
    if not isinstance(nodes, int) or nodes < 1:
        raise ValueError(f"num_nodes must be the number of machines, found {short(nodes)}")
    if nodes > 1 and not {"SLURM_NTASKS", "MASTER_ADDR"} & os.environ.keys():
        raise ValueError(f"num_nodes = {nodes}, but neither srun nor torchrun started this process; give 1")
    for part in (config["model"]["encoder"], config["data"], *(trainer["callbacks"] or [])):
        for name, value in (part.get("init_args") or {}).items():
            for count in value if isinstance(value, list) else [value]:
                if name in COUNTS and isinstance(count, int) and not 1 <= count <= MOST:
                    raise ValueError(f"{name} must be from 1 to {MOST:,}, found {short(count)}")


def check_callbacks(given: Any) -> None:
    """Refuse callbacks, as parsed, that end or change a training, or would record a value twice.

    Raises:
        ValueError: names the callback.
    """
    if not isinstance(given or [], list):
        raise ValueError("trainer.callbacks must be a list, found one callback; write it as the item of a list")
    kinds = [pydoc.locate(callback.class_path) for callback in given or []]
    for i, kind in enumerate(kinds):
        assert isinstance(kind, type), "the parser has found the class"
        if issubclass(kind, Table | Loss):
            raise ValueError(f"every run has a {kind.__name__} already; leave it out of the callbacks")
        if given[i] in given[:i]:
            raise ValueError(f"{kind.__name__} is among the callbacks twice, with the same options; leave one out")
        for base in kind.__mro__:
            if base is not Callback and base.__module__.startswith(("lightning.", "pytorch_lightning.")):
                raise ValueError(f"Lightning's {base.__name__} cannot be honoured, as callbacks only measure; leave it out")


def environment() -> list[LightningEnvironment]:
    """How Lightning finds the processes of a training: by itself, but where a job's shell or script, which srun did not start,
    has variables of SLURM, from which Lightning would take processes that do not exist."""
    return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ and "SLURM_STEP_ID" not in os.environ else []


def check_sizes(encoder: Encoder, data: Pairs) -> None:
    """Refuse an encoder and data that do not belong together.

    Raises:
        ValueError: the widths, or the numbers of networks and data sets, differ.
    """
    if encoder.inputs != data.inputs:
        raise ValueError(f"the encoder takes {encoder.inputs} inputs, and the data have {data.inputs}; give both the same")
    if data.sets not in (1, encoder.networks):
        raise ValueError(f"the data hold {data.sets} sets for {encoder.networks} networks; give one, or one per network")


def short(value: Any) -> str:
    """A value as it is shown in a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
