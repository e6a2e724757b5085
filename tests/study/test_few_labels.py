"""Probes on few labels: who is drawn, and what is found, against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from study.observers.few import DRAWS, draw, few
from study.observers.ridge import STRENGTHS


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, DRAWS))
def test_every_prefix_of_a_draw_holds_the_classes_as_equally_as_possible(labels, number):
    """No class could give way to another that still has rows and is behind by more than one."""
    order = draw(torch.tensor(labels), number).tolist()
    assert sorted(order) == list(range(len(labels)))
    sizes, counts = np.bincount(labels, minlength=6), np.zeros(6, int)
    for row in order:
        counts[labels[row]] += 1
        assert (counts >= np.minimum(sizes, counts.max() - 1)).all()


def test_a_draw_is_its_numbers_alone():
    labels = torch.arange(12) % 3
    draws = [draw(labels, number) for number in range(DRAWS)]
    torch.manual_seed(7)
    assert all(torch.equal(draw(labels, number), order) for number, order in enumerate(draws))
    assert len({tuple(order.tolist()) for order in draws}) == DRAWS
    assert draws[0].tolist() == [4, 3, 11, 6, 5, 1, 7, 2, 9, 0, 8, 10], "the same on every machine"


@pytest.fixture
def problem():
    """Two networks of 20 features, the second noisier, and four classes."""
    g = torch.Generator().manual_seed(1)
    labels = {split: torch.arange(n) % 4 for split, n in (("train", 90), ("validation", 60), ("test", 80))}
    centres = torch.randn(4, 20, dtype=torch.float64, generator=g)
    noise = torch.tensor([1.5, 3.0], dtype=torch.float64)[:, None, None]
    features = {
        split: centres[of] + noise * torch.randn(2, len(of), 20, dtype=torch.float64, generator=g)
        for split, of in labels.items()
    }
    return features, labels


def reference(features, labels, rows):
    """Test accuracy of one network's ridge at the strength that is best on the validation split, the strongest of equals."""
    X, Y = features["train"][rows], np.eye(4)[labels["train"][rows]]
    mean, std = X.mean(0), X.std(0)
    scores = []
    for strength in sorted(STRENGTHS, reverse=True):
        Z = (X - mean) / std
        weights = np.linalg.solve(Z.T @ Z / len(Z) + strength * np.eye(20), Z.T @ (Y - Y.mean(0)) / len(Z))
        guesses = {s: ((features[s] - mean) / std @ weights + Y.mean(0)).argmax(1) for s in ("validation", "test")}
        scores.append([(guess == labels[s]).mean() for s, guess in guesses.items()])
    return max(scores, key=lambda pair: pair[0])


def test_accuracy_at_few_labels_is_the_mean_of_draws_that_each_choose_their_strength(problem):
    features, labels = problem
    found = few(features, labels, 4, [12, 40])
    for n, scores in found.items():
        for i in range(2):
            mine = {split: x[i].numpy() for split, x in features.items()}
            theirs = {split: of.numpy() for split, of in labels.items()}
            draws = np.array([reference(mine, theirs, draw(labels["train"], d)[:n].numpy()) for d in range(DRAWS)])
            assert float(scores.validation[i]) == pytest.approx(draws[:, 0].mean(), abs=1e-12)
            assert float(scores.test[i]) == pytest.approx(draws[:, 1].mean(), abs=1e-12)
            assert float(scores.deviation[i]) == pytest.approx(draws[:, 1].std(ddof=1), abs=1e-12)


def test_a_stack_of_networks_is_each_of_them(problem):
    features, labels = problem
    stack = few(features, labels, 4, [12, 40])
    for i in range(2):
        alone = few({split: x[i : i + 1] for split, x in features.items()}, labels, 4, [12, 40])
        for n, scores in alone.items():
            for name, value in vars(scores).items():
                torch.testing.assert_close(value, vars(stack[n])[name][i : i + 1], rtol=1e-10, atol=1e-10)


def test_numbers_that_are_not_below_that_of_all_labels_are_left_out(problem):
    assert list(few(*problem, 4, [12, 89, 90, 1000])) == [12, 89]


def test_a_class_without_a_label_and_a_single_label_are_no_error(problem):
    found = few(*problem, 4, [1, 3])
    assert found[1].test.tolist() == [0.25, 0.25], "the one class that is known"
