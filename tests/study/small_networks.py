"""Small stacks on views of 3 x 4 x 4 numbers, as configurations."""

import noisy

NETWORKS = {
    "convolution": {"class_path": "models.networks.Convolution", "init_args": {"size": 4, "widths": [4], "patch": 2, "features": 5, "groups": 2}},
    "vit": {"class_path": "models.networks.ViT", "init_args": {"size": 4, "patch": 2, "width": 8, "depth": 1, "heads": 2, "features": 5}},
}  # fmt: skip
OBJECTIVES = {
    "teacher": {"class_path": "models.EMA", "init_args": {"decay": 0.5, "last": 0.9, "over": 20, "distance": "smooth_l1", "normalized": True}},
    "vicreg": {"class_path": "models.Joint", "init_args": {"regularizer": {"class_path": "models.VarianceCovariance"}, "embedding": 6}},
    "lejepa": {"class_path": "models.Joint", "init_args": {"regularizer": {"class_path": "models.SIGReg"}, "invariance": 1.0}},
    "pixels": {"class_path": "models.Pixels", "init_args": {}},
}  # fmt: skip


def model(network, objective, **options):
    """A learner with two networks in float64."""
    encoder = {"network": NETWORKS[network], "shape": [3, 4, 4], "seeds": [0, 1], "dtype": "float64"}
    predictor = {"class_path": "models.Perceptron", "init_args": {"hidden": [7]}}
    return {
        "encoder": {"class_path": "models.Stack", "init_args": encoder},
        "objective": OBJECTIVES[objective],
        "predictor": predictor,
        "lr": [0.01, 0.02],
        **options,
    }


def data(**options):
    """Noisy images of 4 x 4 pixels."""
    made = {"size": 4, "count": 400, "directions": 4, "amplitude": 2.0, "batch": 8, "seeds": [0, 1], **options}
    return noisy.config(**made)
