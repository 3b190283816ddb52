"""Where names stand in figures with dots."""

import functools

import pytest

from tfssl import plots

pytest.importorskip("matplotlib")

FIGURES = {
    "information": functools.partial(plots.plot_information, label="kNN accuracy"),
    "sweet_spot": functools.partial(plots.plot_sweet_spots, label="kNN accuracy", measure="I"),
}


@pytest.mark.parametrize("kind", FIGURES)
def test_names_leave_each_other_and_the_edges_alone(kind):
    """Dots close together, at the right edge among them."""
    places = [(1.0, 0.3), (1.01, 0.302), (2.0, 0.5), (1.99, 0.5)]
    names = [f"a long name {i}" for i in range(len(places))]
    runs = [plots.Shared(f"views={name},seed=0", *dot) for name, dot in zip(names, places)]
    figure = FIGURES[kind](runs)
    figure.draw_without_rendering()
    (panel,) = figure.axes
    assert sorted(text.get_text() for text in panel.texts) == names
    boxes = [text.get_window_extent() for text in panel.texts]
    for i, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:i])
    frame = panel.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_each_curve_has_its_colour():
    runs = [
        plots.Shared(f"head={head},views={views},seed=0", nats, 0.5)
        for nats, (head, views) in enumerate(["ax", "ay", "bx", "by"])
    ]
    (panel,) = FIGURES["sweet_spot"](runs).axes
    assert [text.get_color() for text in panel.texts] == ["C0", "C0", "C1", "C1"]
