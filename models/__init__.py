"""Encoders, predictors, objectives and the LightningModule. Knows nothing of datamodules or study."""

from models.encoder import Encoder
from models.learner import Learner
from models.networks.mlp import MLP
from models.objective import EMA, Joint, Objective, Pixels, StopGradient
from models.predictor import Matrix, Perceptron, Predictor
from models.regularizer import Regularizer, SIGReg, VarianceCovariance
from models.stack import Stack

__all__ = [
    "EMA", "MLP", "Encoder", "Joint", "Learner", "Matrix", "Objective", "Perceptron", "Pixels", "Predictor", "Regularizer", "SIGReg",
    "Stack", "StopGradient", "VarianceCovariance",
]  # fmt: skip
