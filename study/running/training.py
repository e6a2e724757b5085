"""A stack of networks trained by Lightning, configured by LightningCLI."""

import atexit
import contextlib
import copy
import dataclasses
import errno
import itertools
import logging
import re
import sys
import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import torch
import yaml
from jsonargparse import ActionConfigFile
from jsonargparse._deprecated import JsonargparseDeprecationWarning
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import datamodules
import models
from datamodules.directions import DENSE
from models import distributed, fused
from study import naming, yaml_files
from study.arguments import fail, made
from study.observers import Loss, Table
from study.observers.loss import Diverged
from study.observers.observer import Observer
from study.observers.scalars import Scalars
from study.running import inputs, loggers, options, size
from study.running.bar import Bar
from study.running.capacity import Need, widths
from study.running.checkpoint import Checkpoint, newest
from study.running.events import Events, Rewind
from study.running.failed import forget, write_failure
from study.running.lock import check_held
from study.running.overview import Overview
from study.running.preemption import Preemption
from study.running.result import Result
from study.running.resume import check_table, checked
from study.running.run import Run, begun, finish, stored
from study.running.signals import Preempted
from study.terminal import announce, say

PROCESSES = {"devices", "num_nodes", "strategy"}
CELL, METRICS = 80, 40  # bytes of a value in the table; values that an observer records at a time
SEARCHED = 3 * 500  # vectors that a search of directions without matrices holds at most, at 16 of either kind


class FitParser(LightningArgumentParser):
    """Parser of `study fit`, which reports mistakes as the other commands do, with their place where a file has them."""

    files: ClassVar[list[Path]] = []  # configurations that were read; shared with the parsers of the classes that they name

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        keys = [key.partition(".")[0] for key in re.findall(r"[\"']([\w.]+)[\"']", str(message))][::-1]
        for path in self.files:
            known, _ = yaml_files.places(path)
            if found := next((known[key] for key in keys if key in known), ""):
                fail(self, message, f"{path}, {found}: ")
        fail(self, message)


class ConfigFile(ActionConfigFile):
    """--config FILE, of which our reader names what is wrong."""

    @staticmethod
    def apply_config(parser: FitParser, cfg: Any, dest: str, value: str) -> None:
        FitParser.files.append(Path(value))
        for name, part in yaml_files.read(Path(value)).items():
            if name in ("trainer", "model", "data") and not isinstance(part, dict):
                raise ValueError(f"{value}: {name} must be a mapping of options to values, found {options.short(part)}")
        try:
            ActionConfigFile.apply_config(parser, cfg, dest, value)
        except ValueError as error:  # of a class that cannot be imported, which it begins with
            _, values = yaml_files.places(Path(value))
            if place := values.get(str(error).partition(": ")[0]):
                raise ValueError(f"{value}, {place}: {error}") from error
            raise


class StudyCLI(LightningCLI):
    """LightningCLI of a Learner on Pairs. It only parses; `build` makes the objects once the run has its folder."""

    def __init__(self, args: dict[str, Any] | list[str]) -> None:
        quiet()
        super().__init__(
            models.Learner,
            datamodules.Pairs,
            subclass_mode_data=True,
            run=False,
            args=naming.internal(args) if isinstance(args, dict) else [naming.argument(text) for text in args],
            seed_everything_default=False,  # every random number here has a seed of its own
            save_config_callback=None,
            auto_configure_optimizers=False,
            trainer_defaults={"max_epochs": 1},
            parser_kwargs={"prog": "study fit", "description": "Train one stack of networks.", "allow_abbrev": False},
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        loggers.add_options(parser)

    def init_parser(self, **kwargs: Any) -> FitParser:
        FitParser.files.clear()
        parser = FitParser(**kwargs)
        parser.add_argument("-c", "--config", action=ConfigFile, help="a configuration, such as a run's config.yaml")
        return parser

    def instantiate_classes(self) -> None:
        """Put off: the configuration must be known, and hashed, first."""

    def resolved(self) -> dict[str, Any]:
        """The whole configuration, defaults filled in, as plain values; the device is named, not "auto"."""
        options.check_callbacks(self.config.trainer.callbacks)
        try:
            config = yaml.safe_load(self.parser.dump(self.config, skip_none=False, skip_validation=True))
        except yaml.representer.RepresenterError as error:
            raise ValueError(f"the configuration holds what no file can hold: {error.args[-1]!r}") from error
        config.pop("config", None)
        config = naming.external(config)
        if config["trainer"]["accelerator"] in ("auto", "gpu"):
            config["trainer"]["accelerator"] = "cuda" if torch.cuda.is_available() else "cpu"
        options.check(config)
        return config

    def build(self) -> tuple[dict[str, Any], models.Learner, datamodules.Pairs]:
        """The trainer's options (callbacks made), the learner and the data."""
        objects = self.parser.instantiate_classes(self.config)
        return objects["trainer"].as_dict(), objects["model"], objects["data"]


def data_of(config: dict[str, Any]) -> datamodules.Pairs:
    """The data of a configuration, not set up."""
    return made(datamodules.Pairs, config)


def quiet() -> None:
    """Lightning's hints that do not apply: the loader only counts, and the data are made on the device."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=JsonargparseDeprecationWarning)  # of what LightningCLI calls
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")


class Training(Run):
    """A stack trained by Lightning: `config` has the keys trainer, model and data of `study fit --config`, and may have those of
    `loggers`."""

    def identifying(self) -> dict[str, Any]:
        """All but how it is logged, the number of processes, as a run can go on on more or fewer of them, and the place of files with
        classes."""
        config = {name: part for name, part in inputs.portable(self.resolved()).items() if name not in loggers.OPTIONS}
        return config | {"trainer": {name: value for name, value in config["trainer"].items() if name not in PROCESSES}}

    def logged(self, how: dict[str, Any]) -> "Training":
        return dataclasses.replace(self, config=self.config | how)

    def inputs(self) -> dict[str, str]:
        config = self.resolved()
        return inputs.known(config, data_of(config["data"]).files())

    def cli(self) -> StudyCLI:
        return StudyCLI(copy.deepcopy(self.config))  # parsing changes what it is given

    def resolved(self) -> dict[str, Any]:
        return copy.deepcopy(self._resolved)

    @cached_property
    def _resolved(self) -> dict[str, Any]:
        return self.cli().resolved()

    def need(self) -> Need:
        return memory(self.resolved())

    def execute(self, out: Path, command: str = "") -> Result:
        """Train, from the checkpoint where there is one. The first process of several writes the files.

        Raises:
            Diverged: the loss became non-finite; `failed.json` says where, and the last good checkpoint stays.
            Preempted: a signal asked for the end; the checkpoint is that of the update it came in.
            ValueError: the configuration is impossible, or a logger is not installed; nothing was written.
        """
        cli, config, depends = self.cli(), self.resolved(), self.inputs()
        path = self.folder(out, depends)
        if done := stored(path):
            return done
        if config["trainer"]["accelerator"] == "cuda" and not torch.cuda.is_available():  # asked where it is trained
            raise ValueError("accelerator cuda was asked for, but torch sees no CUDA device here; give cpu or auto")
        memory(config).check()
        loggers.check_installed(config["logger"])
        chunk, updates = (config["data"]["init_args"][name] for name in ("chunk", "updates"))
        saver = Checkpoint(path, config, every=max(chunk, -(-updates // 4)))
        preemption = Preemption(saver)
        arguments, learner, data = cli.build()
        table = Table(Scalars(config["per_network"], tuple(learner.lr) if self.tuning else ()))
        arguments |= {
            "accelerator": config["trainer"]["accelerator"],
            "devices": 1 if arguments["devices"] == "auto" else arguments["devices"],
            "callbacks": [
                Rewind(),
                Overview(command, config, self.tuning),
                table,
                Loss(every=chunk),
                *(arguments["callbacks"] or []),
                saver,
                preemption,
                *([Bar()] if sys.stderr.isatty() else []),
            ],
            "logger": Events(path, name="", version=""),
            "use_distributed_sampler": False,  # the data divide their batches themselves
            "log_every_n_steps": 1,  # observers decide when to log
            "enable_checkpointing": False,  # by our own callback
            "enable_model_summary": False,
            "enable_progress_bar": False,  # it would count chunks
            "default_root_dir": path,
            "plugins": options.environment(),
        }
        try:
            trainer = Trainer(**arguments)
        except (MisconfigurationException, RuntimeError) as error:  # the latter of two callbacks that keep one state
            raise ValueError(f"Lightning refuses the trainer's options: {' '.join(str(error).split())[:200]}") from error
        alone, first = trainer.world_size == 1, trainer.is_global_zero
        if not alone:
            data.share(trainer.world_size)  # a batch that cannot be divided is refused
            atexit.register(distributed.leave)
        data.setup("fit")  # bad data is refused before anything is written
        learner.rates(data.updates)  # and so is a bad schedule
        self.check_inputs(depends)
        options.check_sizes(learner.encoder, data)
        for observer in arguments["callbacks"]:
            if isinstance(observer, Observer):
                observer.check(learner, data)
        if first and isinstance(data, datamodules.SourcePairs):
            announce(f"data: {data.summary()}")
        with (
            begun(path, config) if first else contextlib.nullcontext(),
            loggers.further(config["logger"], self.experiment, path, Path(out)) as others,
        ):
            trainer.loggers = [*trainer.loggers, *others]
            # By a process that had the lock until now. Several processes do not stop here, where the others would wait for the
            # first one: they go on from the last checkpoint, after which nothing is left to do.
            if alone and (done := stored(path)):
                return done
            checkpoint, note = newest(saver.path.parent)
            if note and first:
                say(note)
            if checkpoint:
                checked(checkpoint, trainer, learner, data)
            elif first:  # of an attempt that ended before its first checkpoint: it starts again from update 0
                for events in path.glob("events.out.tfevents.*"):
                    events.unlink()
            if first:
                forget(path)
            start = time.monotonic()
            try:
                trainer.fit(learner, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            except OSError as error:
                if error.errno == errno.EIO and error.filename is None and preemption.received:
                    raise Preempted(preemption.received) from error  # the progress bar of a terminal that is closed
                raise
            except Diverged as failure:
                if first:
                    check_held(path)
                    write_failure(path, failure)
                raise
            if trainer.global_step * chunk < updates:
                raise ValueError(
                    f"the training ended after {trainer.global_step * chunk} of {updates} updates, so it is not done: a callback "
                    "stopped it; leave that out of trainer.callbacks"
                )
            if first:
                check_table(table, trainer, learner, data, trainer.global_step)
                seconds, device = time.monotonic() - start, torch.device(config["trainer"]["accelerator"])
                finish(path, table.frame(), device, command, seconds, saver.origin, depends, sorted(saver.threads))
        preemption.late()
        return Result(path)


def memory(config: dict[str, Any]) -> Need:
    """Weights with their gradients, state and teacher, the activations of a batch and its pairs, moments and features of the
    data, the observers' views, and the table."""
    model, data = config["model"], config["data"]["init_args"]
    encoder, objective = model["encoder"]["init_args"], model["objective"]["class_path"].split(".")[-1]
    item = 8 if encoder.get("dtype") == "float64" else 4
    inputs, features, weights, activations = size.measured(model["encoder"], item)
    outputs = inputs if objective == "Pixels" else features
    predictor = (model["predictor"] or {}).get("init_args") or {}
    hidden = [features, *predictor.get("hidden", []), outputs]
    weights += sum(a * b for a, b in itertools.pairwise(hidden))
    activations += 4 * sum(hidden[1:-1])
    state = 2 if model["optimizer"] == "adamw" else int(model["momentum"] > 0)
    copies = 2 + state + (objective == "EMA")
    each = item * weights * copies + 8 * 4 * inputs * features
    if "hidden" in encoder and model["optimizer"] == "sgd" and not model["momentum"]:
        sizes = widths(encoder)
        padded = fused.padded(max(sizes), config["trainer"]["accelerator"])
        if padded <= fused.WIDEST:
            each += item * (len(sizes) + 3) * padded**2  # layers, head and moments as the fused kernels take them
    of_set = 8 * 8 * inputs**2 if inputs <= DENSE else 8 * inputs * SEARCHED
    for callback in config["trainer"]["callbacks"] or []:
        of = callback.get("init_args") or {}
        of_set += 8 * inputs * sum(of.get(name) or 0 for name in ("sample", "train", "validation", "test"))
        each += CELL * METRICS * (data["updates"] // of["every"] if "every" in of else 0)
    if data.get("batch"):
        each += item * data["batch"] * (activations + 4 * inputs)
    networks, device = len(encoder["seeds"]), config["trainer"]["accelerator"]
    if len(data.get("seeds", [])) == 1:  # one set of data for all networks
        return Need(networks, each, device, shared=of_set)
    return Need(networks, each + of_set, device)
