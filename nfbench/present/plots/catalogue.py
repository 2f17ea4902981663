"""Pictures of stored results, chosen by what the records hold; nothing here trains or averages."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from nfbench.analysis import timings as speed
from nfbench.analysis.blocks import blocks
from nfbench.analysis.data_points import read_data_points
from nfbench.foundation.errors import InputError
from nfbench.present.plots import (
    data_points,
    density,
    depth,
    importance_curve,
    likelihood,
    model_samples,
    pushforward,
    training,
)
from nfbench.present.plots import timings as timing
from nfbench.present.plots.style import Look, Picture, looks, save, slug, theme
from nfbench.published.catalogue import experiment_of, published, sources
from nfbench.records.results import StoredResults

__all__ = ["plot", "saved", "timings"]


def plot(results: StoredResults, name: str, out: Path) -> list[Path]:
    """Draw every picture of an experiment, or a published figure of another one's records, as PNG and SVG.

    Args:
        results: the records; colours are assigned over all their families.
        name: of the experiment whose records are shown, or of a figure such as figure4, which has none of its own.
        out: folder of the files, made if missing.

    Returns:
        The files that were written.

    Raises:
        InputError: no record of that experiment, or `out` cannot be written.
    """
    draw = saved if experiment_of(name) == name else figure
    return [file for _, _, files in draw(results, name, out) for file in files]


def figure(results: StoredResults, name: str, out: Path) -> Iterator[tuple[pd.DataFrame, Picture, list[Path]]]:
    """As `saved`, of a published figure that another experiment's records make: these against K, under its name.

    Raises:
        InputError: no record of that experiment, or `out` cannot be written.
    """
    rows, shared = _rows(results.frame, experiment_of(name)), looks(results.frame["family"])
    theirs = [source for source in (published(name),) if source]
    drawn = ((block, picture) for block in blocks(rows) for picture in _themed(depth.pictures(block, shared, theirs)))
    yield from _written(_named(drawn, rows, name), out)


def saved(results: StoredResults, experiment: str, out: Path) -> Iterator[tuple[pd.DataFrame, Picture, list[Path]]]:
    """Draw and write picture by picture: the block that it shows, the picture, its files.

    Raises:
        InputError: no record of that experiment, or `out` cannot be written.
    """
    rows, shared = _rows(results.frame, experiment), looks(results.frame["family"])
    drawn = ((block, picture) for block in blocks(rows) for picture in _themed(_pictures(results, block, shared)))
    yield from _written(_named(drawn, rows, experiment), out)


def timings(frame: pd.DataFrame, out: Path) -> Iterator[tuple[pd.DataFrame, Picture, list[Path]]]:
    """Draw and write the pictures of timings: the block that each shows, the picture, its files.

    Raises:
        InputError: `out` cannot be written.
    """
    shared = looks(frame["family"])
    suffixes = _timing_suffixes(frame)
    drawn = ((block, picture) for block in speed.blocks(frame) for picture in _themed(timing.pictures(block, shared)))
    yield from _written(((block, picture, "timing", suffixes[_key(block)]) for block, picture in drawn), out)


def _written(
    drawn: Iterable[tuple[pd.DataFrame, Picture, str, str]], out: Path
) -> Iterator[tuple[pd.DataFrame, Picture, list[Path]]]:
    """Save pictures under ``<prefix>-<name>-<suffix>``."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for block, picture, prefix, suffix in drawn:
            named = picture._replace(name=f"{prefix}-{picture.name}")
            yield block, named, save(named, out, suffix)
    except OSError as error:
        raise InputError(
            f"cannot write figures to {out}: {error.strerror or error}; expected a writable folder"
        ) from None


def _rows(frame: pd.DataFrame, experiment: str) -> pd.DataFrame:
    rows = frame[frame["experiment"] == experiment]
    if rows.empty:
        known = ", ".join(sorted(frame["experiment"].unique())) or "none"
        raise InputError(f"no records of experiment {experiment!r}; experiments with records: {known}")
    return rows


def _named(
    drawn: Iterable[tuple[pd.DataFrame, Picture]], rows: pd.DataFrame, prefix: str
) -> Iterator[tuple[pd.DataFrame, Picture, str, str]]:
    return ((block, picture, prefix, _suffix(block, rows)) for block, picture in drawn)


def _themed(pictures: Iterable[Picture]) -> Iterator[Picture]:
    with theme():
        yield from pictures


def _key(block: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(block.iloc[0][name]) for name in speed.BLOCK)


def _timing_suffixes(frame: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Source and profile of each block; machine, device, threads and precision too where a mode has several."""
    keys = [_key(block) for block in speed.blocks(frame)]
    often = Counter(key[:3] for key in keys)
    return {key: slug("-".join(key[:2] if often[key[:3]] == 1 else (*key[:2], *key[3:]))) for key in keys}


def _pictures(results: StoredResults, block: pd.DataFrame, shared: dict[str, Look]) -> Iterator[Picture]:
    if (block["status"] != "done").all():
        return
    if "log_det" in block and block["log_det"].notna().any():
        yield from pushforward.pictures(results, block)
        return
    of_data = block["nll"].notna().any()
    if not of_data:
        yield from density.pictures(results, block)
    deep = list(depth.pictures(block, shared, sources(str(block["experiment"].iloc[0]))))
    yield from deep or likelihood.pictures(block, shared)
    yield from training.pictures(results, block, shared)
    examples = read_data_points(results, block) if of_data else {}
    yield from importance_curve.pictures(block, examples, shared)
    yield from data_points.pictures(block, examples, shared)
    yield from model_samples.pictures(block, examples)


def _suffix(block: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Source and profile; the recipe too where that leaves two blocks with one name."""
    first = block.iloc[0]
    name = slug(f"{first['source']}-{first['profile']}")
    same = [other for other in blocks(rows) if slug(f"{other.iloc[0]['source']}-{other.iloc[0]['profile']}") == name]
    if len(same) == 1:
        return name
    return slug(f"{name}-{first['recipe']}-{'' if pd.isna(first['data']) else first['data']}")
