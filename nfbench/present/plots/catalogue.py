"""Pictures of stored results, chosen by what the records hold; nothing here trains or averages."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from nfbench.analysis.blocks import Block, blocks
from nfbench.analysis.data_points import read_data_points
from nfbench.analysis.timing_blocks import TimingBlock
from nfbench.analysis.timing_blocks import blocks as timing_blocks
from nfbench.analysis.variations import grid
from nfbench.foundation.checks import brief
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import dangling_link
from nfbench.present.plots import (
    comparisons,
    data_points,
    density,
    depth,
    importance_curve,
    likelihood,
    model_samples,
    overview,
    pareto,
    pushforward,
    training,
    variations,
)
from nfbench.present.plots import timings as timing_pictures
from nfbench.present.plots.looks import Look, looks
from nfbench.present.plots.style import Picture, save, slug, theme
from nfbench.published.catalogue import experiment_of, published, sources
from nfbench.records.results import StoredResults
from nfbench.specification.choices import DRAWINGS, TIMING, USUAL_DRAWINGS, Drawing

__all__ = ["Saved", "plot", "saved", "timings"]


class Saved(NamedTuple):
    """A picture that was drawn.

    Attributes:
        source: of its records, ``own`` or ``reference``.
        picture: name, caption and figure.
        files: its files, one of each format that was asked for.
    """

    source: str
    picture: Picture
    files: list[Path]


def plot(results: StoredResults, name: str, out: Path, formats: Sequence[Drawing] = USUAL_DRAWINGS) -> list[Path]:
    """Draw every picture of an experiment, or a published figure of another one's records.

    Args:
        results: the records; colours are assigned over all their families.
        name: of the experiment whose records are shown, or of a figure such as figure4, which has none of its own.
        out: folder of the files, made if missing.
        formats: a file of each is written for each picture.

    Returns:
        The files that were written.

    Raises:
        InputError: no record of that experiment, or `out` cannot be written.
    """
    draw = saved if experiment_of(name) == name else figure
    return paths(draw(results, name, out, formats))


def paths(drawn: Iterable[Saved]) -> list[Path]:
    """The files of pictures.

    Args:
        drawn: pictures that have just been written.

    Returns:
        All of them, picture by picture.
    """
    return [file for picture in drawn for file in picture.files]


def figure(
    results: StoredResults, name: str, out: Path, formats: Sequence[Drawing] = USUAL_DRAWINGS
) -> Iterator[Saved]:
    """Draw and write the pictures of a published figure: records of its experiment against K, beside its values.

    Args:
        results: the records; colours are assigned over all their families.
        name: of the published figure.
        out: folder of the files, made if missing.
        formats: a file of each is written for each picture.

    Yields:
        Each picture, once its files are written.

    Raises:
        InputError: no record of that experiment, or `out` cannot be written.
    """
    parts, shared = _blocks(results, experiment_of(name)), looks(results.frame["family"])
    theirs = [source for source in (published(name),) if source]
    drawn = ((block, picture) for block in parts for picture in _themed(depth.pictures(block, shared, theirs)))
    yield from _written(drawn, name, _suffixes(parts), out, formats)


def saved(
    results: StoredResults, experiment: str, out: Path, formats: Sequence[Drawing] = USUAL_DRAWINGS
) -> Iterator[Saved]:
    """Draw and write the pictures of an experiment one by one.

    Args:
        results: the records; colours are assigned over all their families.
        experiment: its name.
        out: folder of the files, made if missing.
        formats: a file of each is written for each picture.

    Yields:
        Each picture, once its files are written.

    Raises:
        InputError: no record of that experiment, or `out` cannot be written.
    """
    parts, shared = _blocks(results, experiment), looks(results.frame["family"])
    drawn = ((block, picture) for block in parts for picture in _themed(_pictures(results, block, shared)))
    yield from _written(drawn, experiment, _suffixes(parts), out, formats)
    with theme():
        moved = list(variations.pictures(results.frame[results.frame["experiment"] == experiment], shared))
    yield from _written(moved, experiment, _suffixes([block for block, _ in moved]), out, formats)


def timings(frame: pd.DataFrame, out: Path, formats: Sequence[Drawing] = USUAL_DRAWINGS) -> Iterator[Saved]:
    """Draw and write the pictures of timings one by one.

    Args:
        frame: a table of timings.
        out: folder of the files, made if missing.
        formats: a file of each is written for each picture.

    Yields:
        Each picture, once its files are written.

    Raises:
        InputError: `out` cannot be written.
    """
    parts, shared = list(timing_blocks(frame)), looks(frame["family"])
    drawn = ((block, picture) for block in parts for picture in _themed(timing_pictures.pictures(block, shared)))
    yield from _written(drawn, TIMING, _timing_suffixes(parts), out, formats)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse what is no list of known formats.

    Args:
        formats: as of `nfbench.present.results.Results.plot`.

    Raises:
        InputError: what was given instead, and what there is.
    """
    listed = isinstance(formats, Sequence) and not isinstance(formats, str) and len(formats) > 0
    if not listed or not all(each in DRAWINGS for each in formats):
        raise InputError(f"plot: formats={brief(formats)}: expected a list with some of {', '.join(DRAWINGS)}")


def _written(
    drawn: Iterable[tuple[Block | TimingBlock, Picture]],
    prefix: str,
    suffixes: dict[Block | TimingBlock, str],
    out: Path,
    formats: Sequence[Drawing],
) -> Iterator[Saved]:
    """Save pictures under ``<prefix>-<name>-<suffix>``, where each block has its suffix."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for block, picture in drawn:
            named = picture._replace(name=f"{prefix}-{picture.name}")
            yield Saved(block.source, named, save(named, out, suffixes[block], formats))
    except OSError as error:
        reason = dangling_link(out) or error.strerror or error
        raise InputError(f"cannot write figures to {out}: {reason}; expected a writable folder") from None


def _blocks(results: StoredResults, experiment: str) -> list[Block]:
    """The blocks of an experiment's grid, without its variations; InputError where it has no record."""
    rows = results.frame[results.frame["experiment"] == experiment]
    if rows.empty:
        known = ", ".join(sorted(results.frame["experiment"].unique())) or "none"
        raise InputError(f"no records of experiment {experiment!r}; experiments with records: {known}")
    return list(blocks(grid(rows)))


def _themed(pictures: Iterable[Picture]) -> Iterator[Picture]:
    with theme():
        yield from pictures


def _pictures(results: StoredResults, block: Block, shared: dict[str, Look]) -> Iterator[Picture]:
    """The pictures that a block's records allow, in the order of the report."""
    if block.done.empty:
        return
    if block.has("log_det"):
        yield from pushforward.pictures(results, block)
        return
    yield from overview.pictures(block, shared)
    of_data = block.has("nll")
    if not of_data:
        yield from density.pictures(results, block)
    against_depth = list(depth.pictures(block, shared, sources(block.experiment)))
    yield from against_depth or likelihood.pictures(block, shared)
    yield from comparisons.pictures(block, shared)
    yield from pareto.pictures(results, block, shared)
    yield from training.pictures(results, block, shared)
    points = read_data_points(results, block.rows) if of_data else {}
    yield from importance_curve.pictures(block, points, shared)
    yield from data_points.pictures(block, points, shared)
    yield from model_samples.pictures(block, points)


def _suffixes(parts: list[Block]) -> dict[Block | TimingBlock, str]:
    """The end of the file names of each block: source and profile; recipe and data too where that is not enough."""
    names = {block: slug(f"{block.source}-{block.profile}") for block in parts}
    counts = Counter(names.values())
    return {
        block: name if counts[name] == 1 else slug(f"{name}-{block.recipe}-{block.data or ''}")
        for block, name in names.items()
    }


def _timing_suffixes(parts: list[TimingBlock]) -> dict[Block | TimingBlock, str]:
    """Source and profile of each block; machine, device, threads and precision too where a mode has several."""
    counts = Counter(block.key[:3] for block in parts)
    names = {
        block: block.key[:2] if counts[block.key[:3]] == 1 else (*block.key[:2], *block.key[3:]) for block in parts
    }
    return {block: slug("-".join(name)) for block, name in names.items()}
