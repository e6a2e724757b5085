"""What is asked of a cluster for every job: on the command line, with defaults from a file."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonargparse

from study import yaml_files
from study.arguments import Parser

OPTIONS: dict[str, tuple[Any, str]] = {
    "partition": (str | None, "the cluster's queue"),
    "account": (str | None, "whom the time is charged to"),
    "timeout": (int | None, "longest time of a job in minutes; a training that takes longer goes on in the same job, requeued"),
    "nodes": (int, "machines of a job"),
    "gpus_per_node": (int, "GPUs of each machine, with one process each, among which the runs of the job are shared"),
    "array_parallelism": (int, "jobs of a batch that run at a time"),
    "runs_per_job": (int, "runs that share a job, done one after the other on each GPU"),
}


@dataclass(frozen=True)
class Cluster:
    """Requests of a job; None leaves it to the cluster. `setup` are lines of shell before the job's command, such as `module
    load`, and `sbatch` further options of sbatch by their long names; these two can only be given in a file.

    Raises:
        ValueError: a number is too small.
    """

    partition: str | None = None
    account: str | None = None
    timeout: int | None = None
    nodes: int = 1
    gpus_per_node: int = 0
    array_parallelism: int = 256
    runs_per_job: int = 1
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in {"timeout": 1, "nodes": 1, "gpus_per_node": 0, "array_parallelism": 1, "runs_per_job": 1}.items():
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, found {value}")


def add_options(parser: Parser) -> None:
    """The options of a Cluster, and --cluster FILE with defaults of them. Those not given are None."""
    parser.add_argument("--cluster", type=Path | None, default=None, help="YAML file with defaults of the options below")
    for name, (kind, text) in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind | None, default=None, help=text)


def take_cluster(options: dict[str, Any]) -> Cluster:
    """Take what `add_options` added out of parsed options.

    Raises:
        ValueError: the file is missing, or has what it should not.
    """
    path = options.pop("cluster")
    given = {name: value for name in OPTIONS if (value := options.pop(name)) is not None}
    return Cluster(**((read(path) if path else {}) | given))


def read(path: Path) -> dict[str, Any]:
    """The defaults in a file.

    Raises:
        ValueError: there is no such file, or it is no mapping of a Cluster's fields to values of their types.
    """
    values = yaml_files.read(path)
    valid = [f.name for f in dataclasses.fields(Cluster)]
    if unknown := sorted(map(str, values.keys() - set(valid))):
        raise ValueError(f"{path}: found {', '.join(unknown)}, expected a mapping with keys among {', '.join(valid)}")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Cluster)
    try:
        return {name: value for name, value in vars(parser.parse_object(values)).items() if name in values}
    except jsonargparse.ArgumentError as error:
        raise ValueError(f"{path}: {error}") from error
