"""What TensorBoard's table of hyper-parameters says of a run: what was chosen, and what came of it.

Every run declares the same columns, as TensorBoard takes those of whichever run it finds first.
"""

from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

WORDS = ("objective", "encoder", "optimizer", "data", "pairing", "distractor")
NUMBERS = (
    "depth", "features", "networks", "learning rate", "momentum", "weight decay", "decay", "batch", "updates", "directions",
    "amplitude", "gamma", "sigma",
)  # fmt: skip
FIRST = ("objective", "encoder", "depth", "learning rate", "amplitude")  # columns that are shown before others are asked for
METRICS = {  # by tag
    "probe/test/online.features": "probe, test",
    "linear/distractor": "distractor's share (linear map)",
    "distractor/share": "distractor's share (coefficients)",
    "health/validation-256/rank": "effective rank",
    "probe/validation/online.features": "probe, validation",
    "probe/test/random.features": "random encoder, test",
    "probe/test/pca": "principal components, test",
    "probe/test/pixels": "raw pixels, test",
    "loss": "loss",
}


def hyperparameters(config: dict[str, Any]) -> dict[str, str | float]:
    """Of WORDS and NUMBERS those that a run's whole configuration has; a number that differs among its networks is none of the run's."""
    model, data = config["model"], config["data"]["init_args"]
    encoder, noise = model["encoder"]["init_args"], _arguments(data.get("noise"))
    network = _kind(encoder["network"]) if "network" in encoder else _kind(model["encoder"])
    found: dict[str, Any] = {
        "objective": _kind(model["objective"]),
        "encoder": f"{network} {encoder['activation']}" if "activation" in encoder else network,
        "optimizer": model["optimizer"],
        "data": _kind(data["source"]) if "source" in data else _kind(config["data"]),
        "pairing": _kind(data["pairing"]) if data.get("pairing") else None,
        "distractor": noise.get("kind"),
        "depth": len(encoder["hidden"]) + 1 if "hidden" in encoder else None,
        "features": encoder.get("features", _arguments(encoder.get("network")).get("features")),
        "networks": len(encoder["seeds"]),
        "learning rate": _one(model["lr"]),
        "momentum": model["momentum"],
        "weight decay": _one(model["weight_decay"]),
        "decay": _arguments(model["objective"]).get("decay"),
        "batch": data.get("batch"),
        "updates": data["updates"],
        **{name: noise.get(name) for name in ("directions", "amplitude", "gamma", "sigma")},
    }
    return {name: value for name, value in found.items() if isinstance(value, (str,) if name in WORDS else (int, float))}


def begun(found: dict[str, str | float]) -> list[Summary]:
    """The columns, and a run that was begun with these values."""
    experiment = Experiment(
        hparam_infos=[
            *(HParamInfo(name=name, type=DATA_TYPE_STRING, differs=name in FIRST) for name in WORDS),
            *(HParamInfo(name=name, type=DATA_TYPE_FLOAT64, differs=name in FIRST) for name in NUMBERS),
        ],
        metric_infos=[MetricInfo(name=MetricName(tag=tag), display_name=shown) for tag, shown in METRICS.items()],
    )
    start = SessionStartInfo()
    for name, value in found.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return [
        _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
    ]


def ended() -> Summary:
    """The run is done."""
    end = SessionEndInfo(status=STATUS_SUCCESS)
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(
        value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)]
    )


def _kind(part: dict[str, Any] | str) -> str:
    """The name of the class, or of a function that is given as a name by itself."""
    return (part if isinstance(part, str) else part["class_path"]).replace(":", ".").rsplit(".", 1)[-1]


def _arguments(part: object) -> dict[str, Any]:
    """Of what is named by a class."""
    return part.get("init_args") or {} if isinstance(part, dict) else {}


def _one(values: float | list[float]) -> float | None:
    """The value of all networks; none where they differ."""
    several = values if isinstance(values, list) else [values]
    return several[0] if len(set(several)) == 1 else None
