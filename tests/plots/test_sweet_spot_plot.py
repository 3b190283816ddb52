"""Curves of accuracy over I_NCE."""

import numpy as np
import pytest

from tests.random_inputs import fresh_rng
from tfssl import plots

pytest.importorskip("matplotlib")

VALUES = (0.05, 0.2, 0.6)


def runs(heads=("linear",), seeds=1):
    """Accuracy has its top at 0.2; I_NCE rises with the value."""
    found = []
    for h, head in enumerate(heads):
        for value, accuracy in zip(VALUES, (0.5, 0.6, 0.4)):
            for seed in range(seeds):
                name = f"flagfile={head},crop_min_area={value},seed={seed}"
                numbers = (1 + 10 * value + h + 0.1 * seed, accuracy + 0.02 * seed)
                found.append(plots.Shared(name, *numbers, 0.2))
    return [found[i] for i in fresh_rng().permutation(len(found))]


def test_runs_become_curves_in_the_order_of_the_values():
    curves = plots.sweet_spots(runs(["linear", "mlp"], seeds=3))
    assert set(curves) == {"linear", "mlp"}
    for shift, name in enumerate(("linear", "mlp")):
        assert [point.value for point in curves[name]] == ["0.05", "0.2", "0.6"]
        nats = [point.information for point in curves[name]]
        assert nats == pytest.approx([1.6 + shift, 3.1 + shift, 7.1 + shift])
        assert [p.accuracy for p in curves[name]] == pytest.approx([0.52, 0.62, 0.42])
        deviation = 0.02 * np.sqrt(2 / 3)
        assert [p.accuracy_std for p in curves[name]] == pytest.approx([deviation] * 3)
        assert plots.sweet_spot(curves[name]).value == "0.2"


def test_words_are_in_the_order_of_information():
    named = [("ra", 4.0), ("cj", 6.0), ("ra_cj", 3.0)]
    runs = [plots.Shared(f"views={name},seed=0", nats, 0.5) for name, nats in named]
    (points,) = plots.sweet_spots(runs).values()
    assert [point.value for point in points] == ["cj", "ra", "ra_cj"]


def test_the_figure_shows_points_values_and_stars():
    given = runs(["linear", "mlp"])
    figure = plots.plot_sweet_spots(given, label="linear accuracy", measure="epoch/information")
    (panel,) = figure.axes
    texts = [text.get_text() for text in panel.texts]
    assert sorted(texts) == sorted(2 * ["0.05", "0.2", "0.6"])
    labels = panel.get_legend_handles_labels()[1]
    stars = [label for label in labels if "sweet spot" in label]
    assert sorted(stars) == ["sweet spot: 0.2, 3.00 nats", "sweet spot: 0.2, 4.00 nats"]
    assert {"linear", "mlp", "untrained"} < set(labels)
    assert panel.get_xlabel() == "I_NCE (nats), epoch/information"
    rings = panel.collections[-1].get_offsets()
    np.testing.assert_allclose(sorted(rings[:, 0]), sorted(run.information for run in given))


@pytest.mark.parametrize(
    "bad, words",
    [
        ([], "Received: none"),
        ([plots.Shared("run 1", 1.0, 0.5)], "Received: run 1"),
        ([plots.Shared("a=1", 1.0, 0.5), plots.Shared("b=1", 1.0, 0.5)], "Received: a=1, b=1"),
        ([plots.Shared("a=1", float("nan"), 0.5)], "finite numbers"),
    ],
)
def test_other_runs_are_refused(bad, words):
    with pytest.raises(ValueError, match=f"runs: expected .*{words}"):
        plots.plot_sweet_spots(bad, label="kNN accuracy", measure="loss")
