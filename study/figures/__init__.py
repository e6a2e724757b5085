"""Figures: drawn from arrays, without pyplot's global state. Axes carry units; theory is a line, measurement a dot."""

from study.figures.forecast import calibration, forecast_and_trained, learning_curves
from study.figures.images import overlaps, probe, probe_over_labels, share_and_probe, shares_by_objective
from study.figures.predictions import (
    correlations,
    kept_features,
    measured_over_exact,
    over_parameter,
    share_over_turnovers,
    shares_over_samples,
    survival,
)
from study.figures.times import (
    critical_times,
    error_scaling,
    escapes,
    flip_depths,
    phase_diagram,
    times_over_scale,
    trajectories,
)

__all__ = [
    "calibration",
    "correlations",
    "critical_times",
    "error_scaling",
    "escapes",
    "flip_depths",
    "forecast_and_trained",
    "kept_features",
    "learning_curves",
    "measured_over_exact",
    "over_parameter",
    "overlaps",
    "phase_diagram",
    "probe",
    "probe_over_labels",
    "share_and_probe",
    "share_over_turnovers",
    "shares_by_objective",
    "shares_over_samples",
    "survival",
    "times_over_scale",
    "trajectories",
]
