"""What made a result: code, versions, hardware, command, seconds."""

import datetime
import importlib.metadata
import platform
import resource
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "lightning", "torchvision", "numpy", "scipy")


@lru_cache(maxsize=1)
def commit() -> str:
    """Commit of the checkout the code was read from, with + if it was changed; "installed" outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=here, capture_output=True, text=True
        )
    except FileNotFoundError:
        return "installed"
    return described.stdout.strip() or "installed"


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's model name, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@lru_cache(maxsize=1)
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


def collect(device: torch.device, command: str, seconds: float) -> dict[str, Any]:
    """The provenance record of a run."""
    return {
        "commit": commit(),
        "command": command,
        "hardware": hardware(device),
        "device": device.type,
        "python": platform.python_version(),
        "versions": versions(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(peak_memory(device) / 2**20),
    }
