"""Names beside the dots of a figure, where they can be read."""

from typing import Optional, Sequence, Tuple

# Places of a name about its dot: points aside and above, and which of its corners lies there.
_PLACES = (
    (5, 3, "left", "bottom"),
    (-5, 3, "right", "bottom"),
    (5, -3, "left", "top"),
    (-5, -3, "right", "top"),
    (0, 7, "center", "bottom"),
    (0, -7, "center", "top"),
)


def name_dots(
    figure,
    panel,
    dots: Sequence[Tuple[float, float]],
    names: Sequence[str],
    colours: Optional[Sequence[str]] = None,
) -> None:
    """Writes each name at the first place about its dot where it meets no other, nor an edge.

    A name without such a place stands at the first one.

    Args:
        figure: a matplotlib `Figure` that is complete otherwise.
        panel: its `Axes` with the dots.
        dots: where they are, in the units of the data.
        names: as many.
        colours: as many; unset: black.
    """
    # Where things lie in pixels is known once all of them have been arranged.
    figure.draw_without_rendering()
    frame = panel.get_window_extent()
    taken = []
    for name, dot, colour in zip(names, dots, colours or ["black"] * len(names)):
        for number, (aside, above, sideways, upright) in enumerate((*_PLACES, _PLACES[0])):
            text = panel.annotate(
                name,
                dot,
                xytext=(aside, above),
                textcoords="offset points",
                ha=sideways,
                va=upright,
                fontsize=8,
                color=colour,
            )
            box = text.get_window_extent()
            free = not box.count_overlaps(taken)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if (free and inside) or number == len(_PLACES):
                taken.append(box)
                break
            text.remove()
