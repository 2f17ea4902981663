"""What all pictures share: theme, panels, legends, names of files, and how a picture is saved."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from nfbench.analysis.blocks import Block
from nfbench.specification.choices import USUAL_DRAWINGS, Drawing
from nfbench.specification.spec import parse

DENSITY_COLOURS = "mako_r"
DPI = 110
_NAMELESS: dict[Drawing, dict[str, None]] = {  # what would make two files of one content differ
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_LONGEST = 200  # characters of a file's name: 255 bytes is what file systems take
_LEGEND_LINES, _LEGEND_LINE = 4, 0.21  # lines of a legend that fit under panels; inches that a further one takes


class Picture(NamedTuple):
    """A figure with its name and the text under it.

    Attributes:
        name: stem of its file name.
        caption: what is shown, in sentences.
        figure: the drawing.
    """

    name: str
    caption: str
    figure: Figure


@contextmanager
def theme() -> Iterator[None]:
    """Within the block, figures are drawn in the package's style; afterwards settings are as before.

    The style begins with matplotlib's own defaults, whatever a user's ``matplotlibrc`` says: LaTeX for texts, other
    fonts, or another format of files. Only the backend, which draws windows, stays the user's.

    Yields:
        None.
    """
    settings = {
        **{name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")},
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper"),
        "font.family": "DejaVu Sans",
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "legend.frameon": False,
        "svg.hashsalt": "nfbench",
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(settings):
        yield


def panels(num: int, columns: int = 2, size: tuple[float, float] = (3.5, 2.6)) -> tuple[Figure, list[Axes]]:
    """A figure with panels, row by row.

    Args:
        num: number of panels.
        columns: the most panels that stand in a row.
        size: width and height of one panel in inches.

    Returns:
        The figure and its panels (num,).
    """
    columns = min(num, columns)
    rows = -(-num // columns)
    size = (max(size[0], 4.6), size[1]) if columns == 1 else size
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + 0.4))
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[num:]:
        spare.remove()
    for axis in axes[:num]:
        sns.despine(ax=axis)
        axis.grid(axis="y", color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, axes[:num]


def legend(figure: Figure, axes: Iterable[Axes], more: Iterable[Artist] = (), line: float = 2.0) -> None:
    """Draw one legend for all panels, under them.

    Args:
        figure: the figure that gets the legend.
        axes: panels whose labelled lines are its entries, each label once.
        more: further entries, which stand last.
        line: length of an entry's line in font sizes.
    """
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    entries |= {str(artist.get_label()): artist for artist in more}
    inches = 0.075 * max(len(label) for label in entries) + 0.6 + 0.12 * (line - 2.0)
    fitting = max(1, int(figure.get_size_inches()[0] / inches))
    columns = min(fitting, len(entries))
    rows = -(-len(entries) // columns)
    columns = -(-len(entries) // rows)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + _LEGEND_LINE * max(0, rows - _LEGEND_LINES))  # panels keep their room
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns, handlelength=line)


def slug(text: str) -> str:
    """Text as a part of a file name.

    Args:
        text: any text.

    Returns:
        The text with a hyphen for every run of characters other than letters, digits and points; none at the ends.

    >>> slug("quick[training.updates=100]"), slug("u2:walls=0.25")
    ('quick-training.updates-100', 'u2-walls-0.25')
    """
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text).strip("-")


def shortened(name: str) -> str:
    """A name that every file system takes: of a longer one the beginning and a hash.

    Args:
        name: of a file, without its ending.

    Returns:
        At most 200 characters; different names give different results.

    >>> shortened("depth-own-quick"), len(shortened("n" * 500))
    ('depth-own-quick', 200)
    """
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: _LONGEST - 13]}-{digest}"


def title(row: pd.Series | dict[Any, Any]) -> str:
    """A configuration's posterior as text: its label, and K where the family has maps.

    Args:
        row: with the columns `posterior` (a spec), `label` and `K`.

    Returns:
        Such as ``Planar flow, K=8``.

    >>> title({"posterior": "planar:K=0", "label": "Planar flow", "K": 0})
    'Planar flow, K=0'
    """
    layered = "K" in dict(parse(row["posterior"]).options)
    return f"{row['label']}, K={row['K']}" if layered else str(row["label"])


def named(kind: str, target: str, block: Block) -> str:
    """The name of a picture of one target: its kind, and the target where the block has several.

    Args:
        kind: such as ``spread``.
        target: spec of the target that is shown.
        block: the records that the picture is made from.

    Returns:
        Such as ``spread-u1``, or ``spread`` where the block has one target only.
    """
    return f"{kind}-{slug(target)}" if block.rows["target"].nunique() > 1 else kind


def estimated(block: Block) -> str:
    """How the -ln p(x) of a picture was estimated, for its caption.

    Args:
        block: the records that are shown.

    Returns:
        A clause that names S.
    """
    return f"-ln p(x) is importance-sampled with S = {block.importance_draws:,} draws of q"


def half_interval(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Half the width of each mean's interval.

    Args:
        rows: of a summary.
        metric: its name.

    Returns:
        One number a row, in the metric's unit; 0 where there is no interval.
    """
    return (rows[f"{metric}_high"].astype(float) - rows[metric].astype(float)).fillna(0.0)


def two_values(rows: pd.DataFrame, metric: str) -> list[list[float]]:
    """The values of two seeds, which stand in place of an interval.

    Args:
        rows: of a summary.
        metric: its name.

    Returns:
        A list for each row: both values where the row has two, else none.
    """
    ends = rows[[f"{metric}_n", f"{metric}_least", f"{metric}_largest"]].to_numpy()
    return [[float(least), float(largest)] if n == 2 else [] for n, least, largest in ends]


def with_interval(block: Block) -> str:
    """What stands beside the means of a picture, for its caption.

    Args:
        block: the records that are shown.

    Returns:
        A clause that names intervals, both values of two seeds, or that there are none.
    """
    counts = set(block.done.groupby(["target", "posterior"]).size())
    parts = ["with its 95 % interval"] if max(counts, default=0) > 2 else []
    parts += ["of two seeds with both values (dots)"] if 2 in counts else []
    return " and ".join(parts) or "without an interval"


def save(picture: Picture, out: Path, suffix: str, formats: Sequence[Drawing] = USUAL_DRAWINGS) -> list[Path]:
    """Write a picture to files, the same bytes for the same content.

    Args:
        picture: what to write; its name begins the files' names.
        out: an existing folder.
        suffix: what follows the picture's name and a hyphen.
        formats: a file of each is written.

    Returns:
        The files, in the order of `formats`.
    """
    stem = out / shortened(f"{picture.name}-{suffix}")
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    with theme():
        for kind, file in zip(formats, files, strict=True):
            picture.figure.savefig(file, dpi=DPI, metadata=_NAMELESS[kind])
    return files


def log_seconds(axis: Axes, label: str) -> None:
    """Make the abscissa one of seconds on a logarithmic scale, with marks at 1, 2 and 5 of every decade.

    Args:
        axis: with everything drawn.
        label: of the abscissa.
    """
    axis.set(xscale="log", xlabel=label)
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
