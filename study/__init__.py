"""Which features JEPA and MAE learn first. `from study import spectrum` is the forecast for data of your own."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.forecast.command import spectrum

__all__ = ["spectrum"]


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: importing it takes seconds, which `study list` need not wait for."""
    if name == "spectrum":
        from study.forecast.command import spectrum

        return spectrum
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
