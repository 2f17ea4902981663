"""Image grids: draws from the model, and originals above their reconstructions."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nfbench.analysis.blocks import Block, median_seeds
from nfbench.analysis.data_points import DataPoints, Images
from nfbench.present.plots.style import DPI, Picture, estimated, named, title
from nfbench.records.glossary import measure

_TILE = 48  # dots that an image is to measure about
_MOST = 36  # samples of a posterior
_ROW = 16  # reconstructions of a posterior
_COLUMNS = 3  # posteriors beside each other
_LABEL = 1.75  # inches for the name of a row
_HEAD = 0.24  # inches above a grid of samples, for its title


class Shown(NamedTuple):
    """A configuration with the pictures of its median seed.

    Attributes:
        row: of a table of records, that of the seed.
        images: samples, originals and reconstructions of the seed.
    """

    row: pd.Series
    images: Images


def pictures(block: Block, data_points: Mapping[str, DataPoints]) -> Iterator[Picture]:
    """For each target whose records hold them: samples of the model, then originals with reconstructions.

    Args:
        block: the records that are shown.
        data_points: arrays of single data points, by record id.

    Yields:
        Pictures named ``samples`` and ``reconstructions``; ``-<target>`` is added where the block has several targets.
    """
    for target, part in block.by_target():
        shown = _chosen(part.rows, data_points)
        if sampled := [posterior for posterior in shown if len(posterior.images.samples)]:
            yield Picture(named("samples", target, block), _samples_caption(part), _samples(sampled))
        if rebuilt := [posterior for posterior in shown if len(posterior.images.originals)]:
            figure = _reconstructions(rebuilt)
            yield Picture(named("reconstructions", target, block), _reconstructions_caption(part), figure)


def _chosen(rows: pd.DataFrame, data_points: Mapping[str, DataPoints]) -> list[Shown]:
    """The shallowest and the deepest configuration of each family that have pictures."""
    median = median_seeds(rows)
    median = median[[data_points.get(name, DataPoints()).images is not None for name in median["id"]]].sort_values(
        "order"
    )
    ends = median.groupby("family")["K"].agg(["min", "max"])
    few = median[[row["K"] in set(ends.loc[row["family"]]) for _, row in median.iterrows()]]
    return [Shown(row, images) for _, row in few.iterrows() if (images := data_points[row["id"]].images)]


def _spread(images: np.ndarray) -> np.ndarray:
    """At most a row of images, evenly spaced: stored data may be sorted by what they show."""
    number = min(_ROW, len(images))
    return images[[i * len(images) // number for i in range(number)]] if number else images


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Images `(number, H, W, C)` in rows of `columns` as one picture, with white lines between them.

    Args:
        images: (number, H, W, C) in bytes.
        columns: images in a row.

    Returns:
        One picture (height, width, C) in bytes; places without an image are white.
    """
    number, height, width, channels = images.shape
    lines = -(-number // columns)
    sheet = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1, channels), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + 1), (i % columns) * (width + 1)
        sheet[y : y + height, x : x + width] = image
    return sheet


def _samples(shown: list[Shown]) -> Figure:
    """Square grids of samples, as large as the posterior with the fewest samples allows."""
    side = min(math.isqrt(len(posterior.images.samples)) for posterior in shown)
    side = min(side, math.isqrt(_MOST))
    sheets = [tiled(posterior.images.samples[: side * side], side) for posterior in shown]
    scale = _scale(shown[0].images.samples)
    height, width = (size * scale / DPI for size in sheets[0].shape[:2])
    columns = min(_COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    across, down = max(width + 0.2, 2.6), height + _HEAD + 0.08
    figure = _figure(columns * across, lines * down)
    for i, (posterior, sheet) in enumerate(zip(shown, sheets, strict=True)):
        left = (i % columns) * across + (across - width) / 2
        axis = _place(figure, sheet, scale, left, (i // columns) * down + _HEAD)
        axis.set_title(_named(posterior.row), fontsize=8, pad=3)
    return figure


def _named(row: pd.Series) -> str:
    return f"{title(row)}: {measure('nll').label} {row['nll']:.2f}" if pd.notna(row.get("nll")) else title(row)


def _reconstructions(shown: list[Shown]) -> Figure:
    """Rows of images; the originals stand above the first row and wherever they change."""
    lines: list[tuple[str, np.ndarray]] = []
    above: np.ndarray | None = None
    for row, images in shown:
        if above is None or not np.array_equal(images.originals, above):
            above = images.originals
            lines.append(("test data", _spread(above)))
        lines.append((title(row), _spread(images.reconstructions)))
    scale = _scale(lines[0][1])
    gap = 0.04
    sheets = [tiled(images, len(images)) for _, images in lines]
    widest, height = (max(sheet.shape[side] for sheet in sheets) * scale / DPI for side in (1, 0))
    figure = _figure(_LABEL + widest + 0.1, len(lines) * (height + gap) + 0.12)
    for i, ((label, _), sheet) in enumerate(zip(lines, sheets, strict=True)):
        axis = _place(figure, sheet, scale, _LABEL, 0.08 + i * (height + gap))
        weight = "bold" if label == "test data" else "normal"
        axis.set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center", weight=weight)
    return figure


def _scale(images: np.ndarray) -> int:
    """Dots for a pixel: a whole number, so that no pixel is drawn wider than another."""
    return max(1, int(_TILE / max(images.shape[1:3]) + 0.5))


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(math.ceil(width * DPI) / DPI, math.ceil(height * DPI) / DPI), dpi=DPI)
    figure.set_layout_engine("none")
    return figure


def _place(figure: Figure, sheet: np.ndarray, scale: int, left: float, top: float) -> Axes:
    """A sheet with its corner at whole dots, `left` and `top` in inches."""
    across, down = (round(size * DPI) for size in figure.get_size_inches())
    x, height, width = round(left * DPI), sheet.shape[0] * scale, sheet.shape[1] * scale
    y = down - round(top * DPI) - height
    axis = figure.add_axes((x / across, y / down, width / across, height / down))
    axis.imshow(
        sheet[..., 0] if sheet.shape[2] == 1 else sheet,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest",
        aspect="auto",
    )
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    return axis


def _which(block: Block) -> str:
    """Which posteriors and seeds are shown, for a caption."""
    metric = measure(block.ranking()).label
    return f"Shallowest and deepest posterior of each family, of each the seed with the median {metric}. "


def _samples_caption(block: Block) -> str:
    label = block.rows["target_label"].iloc[0]
    number = f"; {estimated(block)}, mean over test points" if block.has("nll") else ""
    samples = f"samples of the model, the mean of p(x|z) for z from the prior{number}"
    return f"{label}: {samples}. {_which(block)}{block.protocol}."


def _reconstructions_caption(block: Block) -> str:
    return (
        f"{block.rows['target_label'].iloc[0]}: test points, and below them their reconstructions, the mean of "
        f"p(x|z) for one draw of q(z|x). {_which(block)}{block.protocol}."
    )
