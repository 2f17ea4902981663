"""Density images: the target beside the posteriors, a row a family and a column a depth (paper, Figure 3 a-c)."""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from nfbench.analysis.blocks import RANKING, Block, median_seeds
from nfbench.foundation.errors import InputError
from nfbench.present.plots.style import DENSITY_COLOURS, Picture, slug
from nfbench.records.glossary import measure
from nfbench.records.results import StoredResults

_PANEL = 1.55  # inches


class Images(NamedTuple):
    """Densities of one record at the centres of n by n equal cells of a box, row 0 at the lowest z2.

    Attributes:
        p: (n, n), of the target, or of the base that maps were applied to; None where it is not stored.
        q: (n, n), of the posterior, or of the base after the maps.
        half_width: h of the box [-h, h]^2.
    """

    p: np.ndarray | None
    q: np.ndarray
    half_width: float


def images(results: StoredResults, row: pd.Series) -> Images | None:
    """The densities stored beside a record.

    Args:
        results: where the arrays lie.
        row: of a table of records.

    Returns:
        The densities; None where the record has none that can be read, which a warning tells if they are damaged.
    """
    try:
        stored = results.arrays(row)
        p = _density(stored, "p") if "p" in stored else None
        return Images(p, _density(stored, "q"), _number(stored, "half_width")) if "q" in stored else None
    except (InputError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"{error or 'no image'}; the image of record {row['id']} is left out", stacklevel=2)
        return None


def _density(stored: dict[str, np.ndarray], name: str) -> np.ndarray:
    image = stored[name]
    if image.ndim != 2 or not image.size or image.dtype.kind not in "uif" or not np.isfinite(image).all():
        raise ValueError(f"an image has two axes of finite numbers, {name!r} is {image.dtype} of shape {image.shape}")
    top = _number(stored, f"{name}_max")  # 0 where the density has no mass in the box
    density: np.ndarray = image / 255 * top
    return density


def _number(stored: dict[str, np.ndarray], name: str) -> float:
    value = float(stored[name])
    if not (0 <= value < np.inf and (value > 0 or name.endswith("_max"))):
        raise ValueError(f"{name} is to be a positive number, got {value}")
    return value


def pictures(results: StoredResults, block: Block) -> Iterator[Picture]:
    """One picture for each target whose records hold densities.

    Args:
        results: where the densities lie.
        block: the records that are shown.

    Yields:
        Pictures named ``densities-<target>``.
    """
    for target, part in block.by_target():
        shown = _shown(results, part.rows)
        if shown:
            yield Picture(f"densities-{slug(target)}", _caption(part), _figure(part.rows, shown, part.without_density))


def _shown(results: StoredResults, rows: pd.DataFrame) -> dict[tuple[str, int], tuple[pd.Series, Images]]:
    """Map family and K to the record of the median seed and its densities."""
    shown = {}
    for _, row in median_seeds(rows).iterrows():
        densities = images(results, row)
        if densities:
            shown[row["family"], int(row["K"])] = row, densities
    return shown


def _caption(block: Block) -> str:
    return (
        f"{block.rows['target_label'].iloc[0]}: density of the target and of the fitted posteriors over the box, on "
        "one colour scale that ends at the target's maximum. Of each configuration the seed with the median "
        f"{measure(block.ranking()).label} is shown. z2 points upwards (the paper's Figure 3 has it pointing down). "
        f"{block.protocol}."
    )


def _figure(
    rows: pd.DataFrame, shown: dict[tuple[str, int], tuple[pd.Series, Images]], no_density: Sequence[str]
) -> Figure:
    ordered = rows.sort_values("order")
    labels = dict(zip(ordered["family"], ordered["label"], strict=True))
    depths = sorted({int(depth) for depth in rows["K"]})
    figure, axes = _grid(max(2, len(labels)), len(depths) + 1)
    first = next(iter(shown.values()))[1]
    top = float((first.q if first.p is None else first.p).max())
    for i, line in enumerate(axes):
        family = list(labels)[i] if i < len(labels) else ""
        for j, depth in enumerate(depths):
            statuses = rows.loc[(rows["family"] == family) & (rows["K"] == depth), "status"]
            absent = "no density\nat points" if family in no_density else "no image"
            missing = "" if statuses.empty else absent if "done" in set(statuses) else "no seed\nis done"
            head = f"K = {depth}\n" if i == 0 else ""
            _panel(line[j + 1], shown.get((family, depth)), top, missing=missing, head=head)
        line[1].set_ylabel(labels.get(family, ""), fontsize=8)
    _target(figure, [line[0] for line in axes], first, top)
    return figure


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    """Square panels at fixed distances in inches; the first column stands apart."""
    left, bottom, apart, across, down = 0.5, 0.12, 0.3, 0.09, 0.27
    width = left + apart + columns * (_PANEL + across)
    height = bottom + 0.15 + rows * (_PANEL + down)
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    axes = []
    for i in range(rows):
        y = bottom + (rows - 1 - i) * (_PANEL + down)
        xs = [left + j * (_PANEL + across) + (apart if j else 0) for j in range(columns)]
        axes.append([figure.add_axes((x / width, y / height, _PANEL / width, _PANEL / height)) for x in xs])
    return figure, axes


def _panel(axis: Axes, shown: tuple[pd.Series, Images] | None, top: float, *, missing: str, head: str) -> None:
    """The density of one record with its metric above; where there is none, the word `missing`."""
    if shown:
        row, densities = shown
        draw(axis, densities.q, densities.half_width, top)
        metric = next(name for name in RANKING if pd.notna(row.get(name)))
        axis.set_title(f"{head}{measure(metric).label} {row[metric]:.3f}", fontsize=8, pad=3)
        return
    axis.set(xticks=[], yticks=[])
    axis.set_title(head.strip(), fontsize=8, pad=3)
    axis.text(0.5, 0.5, missing, ha="center", va="center", transform=axis.transAxes, fontsize=8)
    axis.spines[:].set_visible(bool(missing))


def _target(figure: Figure, column: list[Axes], stored: Images, top: float) -> None:
    for axis in column:
        axis.axis("off")
    if stored.p is None:
        return
    column[0].axis("on")
    image = draw(column[0], stored.p, stored.half_width, top)
    ends = [-stored.half_width, 0, stored.half_width]
    column[0].set(xticks=ends, yticks=ends, xlabel="$z_1$", ylabel="$z_2$")
    column[0].set_title("target", fontsize=8, pad=3)
    column[0].tick_params(labelsize=7)
    place = column[1].inset_axes((0.05, 0.5, 0.9, 0.08))
    bar = figure.colorbar(image, cax=place, orientation="horizontal", extend="max")
    bar.set_label("density", fontsize=8)
    bar.set_ticks([0.0, top], labels=["0", f"{top:.2g}"], fontsize=7)


def draw(axis: Axes, density: np.ndarray, half_width: float, top: float) -> AxesImage:
    """One density on the square box, z2 upwards, colours from 0 to `top`.

    Args:
        axis: to draw on.
        density: (n, n), row 0 at the lowest z2.
        half_width: of the box.
        top: the density that has the last colour.

    Returns:
        The image, which a colour bar can stand for.
    """
    extent = (-half_width, half_width, -half_width, half_width)
    axis.set(xticks=[], yticks=[])
    return axis.imshow(
        density, origin="lower", extent=extent, vmin=0, vmax=top, cmap=DENSITY_COLOURS, interpolation="nearest"
    )
