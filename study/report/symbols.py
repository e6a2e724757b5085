"""What symbols and words on the page mean, each where it stands."""

import re

MEANINGS = {
    "JEPA": (r"JEPA", "predicts the features of one view from those of the other"),
    "MAE": (r"MAE", "predicts the input of the other view itself; nothing is masked unless it is said, as in the paper"),
    "distractor": (r"distractor", "noise that is strong, and differs more between the two views than what they show"),
    "distractor's share": (r"share of feature|distractor's share", "how much of what the features vary by is the distractor: 0 nothing, 1 all"),
    "linear probe": (r"probe", "a linear classifier on frozen features; its test accuracy says how much of the classes can be read from them"),
    "rho (ρ)": (r"\brho\b", "regression coefficient of a feature: of its value in one view, the part that the other view tells; above 1 where it varies more in y than in x"),
    "lambda (λ)": (r"\blambda(_\w)?\b", "covariance of a feature between the two views: its strength as far as both have it"),
    "gain": (r"\bgains?\b", "by how much the network amplifies a feature"),
    "critical time": (r"critical time|\bt\*|\bt_[ab]\b", "training time at which the gain has come half of its way, unless another threshold is named"),
    "L": (r"\bL\b", "depth: layers of the encoder"),
    "eps (ε)": (r"\beps\b", "initial scale: the gain of every feature before training"),
    "K": (r"\bK\b", "number of directions of the distractor, --directions"),
    "A": (r"\bA = ", "amplitude of the distractor: its standard deviation along each direction, in those of a pixel, --amplitude"),
    "gamma (γ)": (r"\bgamma\b", "correlation of the distractor between the two views, which is its rho"),
    "sigma (σ)": (r"\bsigma\b", "standard deviation of the white noise of each view"),
    "delta (δ)": (r"\bdelta\b", "size of a perturbation of the initial weights"),
    "eta (η)": (r"\beta\b", "weight decay"),
    "kappa (κ)": (r"\bkappa\b", "learning rate of the predictor over that of the encoder"),
    "tau (τ)": (r"\btau\b", "rate at which a teacher follows its student"),
    "u, v": (r"\b[uv]0?\^2\b", "weight of one feature in a layer of the encoder (u) and in the predictor (v); u0 and v0 before training"),
    "overlap": (r"\boverlap\b", "share of one set of directions that lies in the span of another: 1 the same, 0 at right angles"),
    "order": (r"\border, ", "rank correlation of the times at which features are learned with their rho or lambda (lam): -1 where the highest come first"),
    "interval": (r"[Ii]nterval", "where the true value lies in 95 of 100 repetitions, or the range of all values where it says range"),
    "n": (r"\bn = ", "independent repetitions, such as seeds"),
}  # fmt: skip


def used(*texts: str) -> dict[str, str]:
    """The meanings of the symbols and words in texts."""
    whole = "\n".join(texts)
    return {name: meaning for name, (pattern, meaning) in MEANINGS.items() if re.search(pattern, whole)}
