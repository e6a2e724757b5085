"""What made a result: code, versions, hardware, command, seconds."""

import datetime
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

import study

PACKAGES = ("torch", "lightning", "torchvision", "numpy", "scipy")
PATIENCE = 10  # seconds that git may take


@cache
def commit() -> str:
    """Commit of this program's checkout, with + if it was changed; its version where it is not run from a checkout of its own.
    A repository that it merely lies in, as a virtual environment can, is another program's."""
    root = Path(study.__path__[0]).resolve().parent
    installed = f"version {importlib.metadata.version('jepa-study')}"
    if not (root / ".git").exists() or not git(root, "ls-files", "study/__init__.py"):
        return f"{installed}, not from a checkout"
    return git(root, "describe", "--always", "--dirty=+", "--abbrev=12") or f"{installed}, git does not tell the commit"


def git(root: Path, *arguments: str) -> str:
    """What git says of the repository in this folder; nothing where it fails, does not end in time, or cannot be started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # may name another one
    with tempfile.TemporaryFile() as said:  # a pipe would stay open for as long as git's own children live
        try:
            subprocess.run(
                ["git", *arguments], cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.DEVNULL,
                timeout=PATIENCE, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""
        said.seek(0)
        return said.read().decode(errors="replace").strip()


@cache
def processor() -> str:
    """The processor's model name, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that compute."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def hardware(device: torch.device) -> str:
    """The device's name, with the number of threads for a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {torch.get_num_threads()} threads"


def peak_memory(device: torch.device) -> int:
    """Most bytes this process has held so far: of the GPU's memory on a GPU, of the machine's elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def collect(
    device: torch.device, command: str, seconds: float, origin: str, inputs: dict[str, str], threads: list[int] | None = None
) -> dict[str, Any]:
    """The provenance record of a run: `origin` is how its table came to be, `inputs` what it depends on besides its configuration,
    `threads` the numbers of threads it had, by default those of this process."""
    return {
        "origin": origin,
        "inputs": inputs,
        "commit": commit(),
        "command": command,
        "hardware": hardware(device),
        "device": device.type,
        "threads": threads or [torch.get_num_threads()],
        "python": platform.python_version(),
        "versions": versions(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(peak_memory(device) / 2**20),
    }
