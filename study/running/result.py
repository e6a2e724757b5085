"""A finished run, read back."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from study import yaml_files
from study.files import content, number, read_json, shown

if TYPE_CHECKING:  # imported where tables are read: who only asks which runs are done need not wait for them
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

COLUMNS = {"run": "string", "network": "int64", "step": "int64", "time": "double", "metric": "string", "value": "double"}
ROW = 64  # bytes that one takes in memory, at least


class Rows(NamedTuple):
    """The rows [R] of one metric, in the order of the table: number of the network, updates or steps, gradient-flow time."""

    network: "NDArray"
    step: "NDArray"
    time: "NDArray"
    value: "NDArray"


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, and what the files in it hold. They are read when they are asked for. `kept`: it was done
    before it was asked for."""

    path: Path
    kept: bool = False

    def _read(self) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        path, again = self.path / "metrics.parquet", f"delete {self.path} and run again"
        try:  # from memory: a third of the time of opening it by its name and with threads, which counts where there are thousands
            file = pq.ParquetFile(pa.BufferReader(content(path)), pre_buffer=False)
            found, size = [(field.name, str(field.type)) for field in file.schema_arrow], file.metadata.num_rows
            if [(name, kind.removeprefix("large_")) for name, kind in found] != list(COLUMNS.items()):
                expected, columns = (", ".join(f"{name}: {kind}" for name, kind in these) for these in (COLUMNS.items(), found))
                raise ValueError(f"expected the columns {expected}; found {columns}")
            if size * ROW > psutil.virtual_memory().available:
                raise ValueError(f"expected a table that fits into memory, found {size:,} rows")
            table = file.read(use_threads=False)
            table.validate(full=True)  # texts, too
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ValueError(f"{path}: not a readable table ({shown(str(error))}); {again}") from error
        if not table.num_rows:
            raise ValueError(f"{path}: expected a table with rows, found none; {again}")
        if empty := [name for name in COLUMNS if table[name].null_count]:
            raise ValueError(f"{path}: expected a value in every row, found rows without {', '.join(empty)}; {again}")
        if (runs := pc.unique(table["run"]).to_pylist()) != [self.path.name]:
            raise ValueError(f"{path}: expected rows of {self.path.name}, found those of {shown(runs)}; {again}")
        networks, steps = table["network"].to_numpy(), table["step"].to_numpy()
        if networks.min() < 0 or networks.max() >= table.num_rows or steps.min() < 0:
            raise ValueError(
                f"{path}: expected networks numbered from 0 and steps from 0 on, found networks from {networks.min()} to "
                f"{networks.max()} and steps from {steps.min()} in {table.num_rows:,} rows; {again}"
            )
        return table

    @property
    def table(self) -> "pd.DataFrame":
        """Columns run, network, step, time, metric, value; read anew each time.

        Raises:
            ValueError: it is not such a table.
        """
        return self._read().to_pandas()

    @cached_property
    def _blocks(self) -> "tuple[dict[str, slice], list[NDArray]]":
        """The columns of `Rows`, sorted by metric, and where each metric's rows lie in them."""
        import numpy as np

        table = self._read()
        metric = table["metric"].combine_chunks().dictionary_encode()
        number = metric.indices.to_numpy()
        order = np.argsort(number, kind="stable")
        ends = np.cumsum(np.bincount(number)).tolist()
        where = dict(zip(metric.dictionary.to_pylist(), map(slice, [0, *ends[:-1]], ends), strict=True))
        return where, [table[name].to_numpy()[order] for name in Rows._fields]

    @property
    def metrics(self) -> Collection[str]:
        """The names of the metrics in the table.

        Raises:
            ValueError: it is not such a table.
        """
        return self._blocks[0].keys()

    def rows(self, metric: str) -> Rows:
        """The rows of a metric.

        Raises:
            ValueError: there are none.
        """
        where, columns = self._blocks
        if metric not in where:
            raise ValueError(f"{self.path}: its table has no metric {metric!r}; delete the folder and run it again")
        return Rows(*(column[where[metric]] for column in columns))

    @property
    def networks(self) -> int:
        """How many networks the table tells of; they are numbered from 0."""
        return 1 + int(self._blocks[1][0].max())

    @property
    def config(self) -> dict[str, Any]:
        """The run's whole configuration.

        Raises:
            ValueError: the file is damaged.
        """
        return yaml_files.read(self.path / "config.yaml")

    @property
    def origin(self) -> str:
        """How the run came to be: trained or integrated, resumed, or kept from an earlier time, and then with how many threads of
        a CPU it was made, and by which other version of this program."""
        made = self.provenance
        if not self.kept:
            return made["origin"]
        from study.running import provenance

        line = f"kept from {made['finished']}"
        if made["device"] == "cpu":
            line += f", made with {' and '.join(map(str, made['threads']))} threads"
        if made["commit"] != provenance.commit():
            line += f", by {made['commit']}, and this is {provenance.commit()}"
        return line

    @property
    def provenance(self) -> dict[str, Any]:
        """What made the run.

        Raises:
            ValueError: the file is damaged.
        """
        path = self.path / "provenance.json"
        match found := read_json(path):
            case {
                "origin": str(),
                "finished": str(),
                "device": str(),
                "threads": list(),
                "hardware": str(),
                "commit": str(),
                "seconds": seconds,
                "peak_memory_mb": peak,
                "versions": dict(versions),
            }:
                if number(seconds) and number(peak) and all(isinstance(version, str) for version in versions.values()):
                    return found
        raise ValueError(
            f"{path}: damaged, expected seconds, hardware and versions, found {shown(found)}; delete {self.path} and run again"
        )
