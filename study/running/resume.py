"""Whether a checkpoint is one that this training could have written, known before anything of it is taken over."""

from collections import Counter
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Callback, Trainer

from datamodules import Pairs
from models import Learner
from study.files import count, shown
from study.observers import Alignment, Table
from study.observers.observer import Observer
from study.running.checkpoint import load

KEYS = {
    "epoch", "global_step", "pytorch-lightning_version", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers",
    "run", "config", "threads",
}  # fmt: skip

LOOPS = ("fit_loop", "validate_loop", "test_loop", "predict_loop")


def checked(path: Path, trainer: Trainer, learner: Learner, data: Pairs) -> dict[str, Any]:
    """What a checkpoint holds, once it is known to fit this training in every part.

    Raises:
        ValueError: it does not; names the file, what was found and what to do.
    """
    found, run = load(path), path.absolute().parents[1].name
    if found.get("run") != run:
        raise ValueError(
            f"{path}: expected a checkpoint of {run}, found one of {shown(found.get('run'))}; give the folders their names back, or "
            "delete this one's checkpoints and run again"
        )
    try:
        step = _step(found, trainer, data)
        _alike(found["state_dict"], learner.state_dict(), "weights")
        _optimizer(found["optimizer_states"], learner, min(step * data.chunk, data.updates), data.updates)
        _alike(found["loops"], {name: getattr(trainer, name).state_dict() for name in LOOPS}, "loops", values=False)
        _callbacks(found["callbacks"], trainer, learner, data, step)
    except ValueError as error:
        raise ValueError(f"{path}: not a checkpoint of this run: {error}; delete it to go on from the one before") from error
    return found


def check_table(table: Table, trainer: Trainer, learner: Learner, data: Pairs, step: int) -> None:
    """Refuse a table that is not that of `step` chunks: the loss of every one, no value twice and, where all observers are this
    program's, every observer's rows at every step at which they are due.

    Raises:
        ValueError: says what is missing, different, or there twice.
    """
    steps = [block["step"] for block in table.blocks]
    twice = Counter((block["step"], metric) for block in table.blocks for metric in block["metrics"])
    for (at, metric), times in twice.items():
        if times > 1:
            raise ValueError(f"table: expected {metric} once after update {at}, found it {times} times")
    losses = [block["step"] for block in table.blocks if "loss" in block["metrics"]]
    if losses != [min(i * data.chunk, data.updates) for i in range(1, step + 1)] or steps != sorted(steps):
        raise ValueError(f"table: expected the losses of {step} chunks in order, found those of steps {shown(losses)}")
    for block in table.blocks:
        if not torch.equal(block["time"], learner.time(block["step"], data.updates)):
            raise ValueError(f"table: the times of step {block['step']} are not those of this run")
        if "loss" in block["metrics"] and not block["values"].isfinite().all():
            raise ValueError(f"table: expected finite losses at step {block['step']}")
    observers = [callback for callback in trainer.callbacks if isinstance(callback, Observer)]  # type: ignore[attr-defined]
    ours = ("study.", "lightning.")
    if all(type(callback).__module__.startswith(ours) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        _check_rows(table, observers, data, step)


def _check_rows(table: Table, observers: list[Observer], data: Pairs, step: int) -> None:
    due = [
        (min(i * data.chunk, data.updates), observer)
        for i in range(1, step + 1)
        for observer in observers
        if observer.due(i, data)
    ]
    steps = [block["step"] for block in table.blocks]
    first = steps.count(0)
    if steps[first:] != [at for at, _ in due] or first < len(observers) - 1:  # the loss is not known at update 0
        raise ValueError(f"table: expected rows of {len(due)} measurements after update 0, found steps {shown(steps)}")
    names: dict[Observer, set[str]] = {}
    for block, (at, observer) in zip(table.blocks[first:], due, strict=True):
        found = set(block["metrics"])
        mine = names.setdefault(observer, found)
        if found != mine and not (at == data.updates and mine < found):
            raise ValueError(f"table: expected the metrics {shown(sorted(mine))} at step {at}, found {shown(block['metrics'])}")


def _step(found: dict[str, Any], trainer: Trainer, data: Pairs) -> int:
    """Chunks that were done."""
    precision = trainer.precision_plugin
    keys = KEYS | ({type(precision).__qualname__} if precision.state_dict() else set())
    if found.keys() != keys:
        raise ValueError(f"expected {', '.join(sorted(keys))}, found {shown(', '.join(sorted(map(str, found))))}")
    version, chunks, last = found["pytorch-lightning_version"], found["global_step"], -(-data.updates // data.chunk)
    if not isinstance(version, str) or version.split(".")[0] != lightning.__version__.split(".")[0]:
        raise ValueError(f"expected one of Lightning {lightning.__version__}, found {shown(version)}")
    if not count(chunks) or not 1 <= chunks <= last:
        raise ValueError(f"expected global_step from 1 to {last}, found {shown(chunks)}")
    if not isinstance(threads := found["threads"], list) or not threads or not all(map(count, threads)):
        raise ValueError(f"expected numbers of threads, found {shown(threads)}")
    _alike(found["epoch"], 0, "epoch")
    _alike(found["lr_schedulers"], [], "lr_schedulers")
    return chunks


def _alike(found: Any, expected: Any, where: str, values: bool = True) -> None:
    """Refuse other keys, lengths, types and, if asked, values, and tensors of other shapes or with numbers that are not finite."""
    match expected:
        case torch.Tensor():
            if not isinstance(found, torch.Tensor) or (found.shape, found.dtype) != (expected.shape, expected.dtype):
                kind = f"{found.dtype} {list(found.shape)}" if isinstance(found, torch.Tensor) else shown(found)
                raise ValueError(f"{where}: expected {expected.dtype} {list(expected.shape)}, found {kind}")
            if found.layout != torch.strided or not found.isfinite().all():
                raise ValueError(f"{where}: expected finite numbers")
        case dict():
            if not isinstance(found, dict) or found.keys() != expected.keys():
                names = shown(list(found)) if isinstance(found, dict) else shown(found)
                raise ValueError(f"{where}: expected {shown(list(expected))}, found {names}")
            for name, value in expected.items():
                _alike(found[name], value, f"{where} {name}", values)
        case list():
            if not isinstance(found, list) or len(found) != len(expected):
                raise ValueError(f"{where}: expected a list of {len(expected)}, found {shown(found)}")
            for i, (one, value) in enumerate(zip(found, expected, strict=True)):
                _alike(one, value, f"{where} {i}", values)
        case _:
            if type(found) is not type(expected) or (values and found != expected):
                raise ValueError(f"{where}: expected {shown(expected)}, found {shown(found)}")


def _optimizer(found: Any, learner: Learner, done: int, updates: int) -> None:
    """Refuse another state than that of this run's optimiser after `done` updates."""
    optimizer = learner.configure_optimizers(updates)
    optimizer.count(done)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            optimizer.prepared(weight, group)
    expected = optimizer.state_dict()
    match found:
        case [{"state": dict(state)} as only]:  # a weight whose optimiser keeps nothing may have an empty state, or none
            found = [only | {"state": {i: kept for i, kept in state.items() if kept}}]
    expected["state"] = {i: kept for i, kept in expected["state"].items() if kept}
    _alike(found, [expected], "optimiser")
    for mine, group in zip(expected["param_groups"], found[0]["param_groups"], strict=True):
        for name in ("lr", "weight_decay"):
            if mine[name] is not None and not torch.equal(mine[name].cpu(), group[name].cpu()):
                raise ValueError(
                    f"optimiser: expected {name} {shown(mine[name].tolist())}, found {shown(group[name].tolist())}"
                )


def _callbacks(found: Any, trainer: Trainer, learner: Learner, data: Pairs, step: int) -> None:
    """Refuse other states of callbacks than those that this run's would have."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    known, needed = ({c.state_key for c in callbacks if isinstance(c, kind)} for kind in (object, Table | Alignment))
    if not isinstance(found, dict) or not needed <= found.keys() <= known:
        names = shown(", ".join(map(str, found))) if isinstance(found, dict) else shown(found)
        raise ValueError(f"callbacks: expected {', '.join(sorted(needed))}, found {names or 'none'}")
    for callback in callbacks:
        match callback:
            case Table():
                state = found[callback.state_key]
                _table(state, learner.encoder.networks)
                table = Table()
                table.load_state_dict(state)
                check_table(table, trainer, learner, data, step)
            case Alignment():
                gains = {name for b in table.blocks for name in b["metrics"] if name.startswith("coordinates/gain/")}
                measured = 1 + sum(callback.due(i, data) for i in range(1, step + 1))
                history = torch.zeros(measured, learner.encoder.networks, len(gains), dtype=torch.float64)
                _alike(found[callback.state_key], {"history": history}, callback.state_key)


def _table(state: Any, networks: int) -> None:
    """Refuse what cannot be the state of a table of so many networks."""
    match state:
        case {"stacked": list(parts)} if len(state) == 1:
            pass
        case _:
            raise ValueError(f"table: expected its rows under stacked, found {shown(state)}")
    for part in parts:
        match part:
            case {
                "metrics": list(names),
                "step": list(steps),
                "time": torch.Tensor() as time,
                "values": torch.Tensor() as values,
            }:
                whole = (
                    all(isinstance(name, str) for name in names) and len(set(names)) == len(names) and all(map(count, steps))
                )
                shapes = [len(steps), networks], [len(steps), len(names), networks]
                whole = whole and (list(time.shape), list(values.shape)) == shapes and len(part) == 4
                whole = whole and time.dtype == values.dtype == torch.float64 and time.layout == values.layout == torch.strided
            case _:
                whole = False
        if not whole:
            raise ValueError(f"table: expected metrics, step, time and values of {networks} networks, found {shown(part)}")
