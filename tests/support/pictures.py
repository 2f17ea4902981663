"""What tests of pictures share: a small experiment with images, and what is drawn on an axis."""

from dataclasses import replace

import numpy as np

from support.synthetic_images import TABLE2

SMALL = replace(
    TABLE2,
    values={
        (family, k): value
        for (family, k), value in TABLE2.values.items()
        if family in ("gaussian", "planar", "nice:mixing=permutation")
    },
)


def hollow(axis):
    return [box for box in axis.containers if box.lines[0].get_markerfacecolor() == "none"]


def heights(container):
    """Half the error bars of an errorbar."""
    return [np.ptp(segment[:, 1]) / 2 for segment in container.lines[2][0].get_segments()]
