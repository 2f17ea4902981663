"""What untrained maps do to a base density: a row a base and family, a column a depth (paper, Figure 1)."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from nfbench.analysis.blocks import Block, median_seeds
from nfbench.present.plots.density import Images, draw, images
from nfbench.present.plots.style import Picture
from nfbench.records.results import StoredResults

_PANEL = 1.55  # inches


def pictures(results: StoredResults, block: Block) -> Iterator[Picture]:
    """One picture for a block whose records hold densities.

    Args:
        results: where the densities lie.
        block: the records that are shown.

    Yields:
        A picture named ``pushforward``; none without densities.
    """
    shown = {}
    for _, row in median_seeds(block.rows).iterrows():
        if densities := images(results, row):
            shown[row["target"], row["family"], int(row["K"])] = densities
    if shown:
        yield Picture("pushforward", _caption(block), _figure(block.rows, shown))


def _caption(block: Block) -> str:
    return (
        "A base density (left) after K maps with random parameters; of each configuration the seed with the median "
        f"{block.ranking()} is shown, each panel on a colour scale of its own, z2 upwards. "
        f"{block.protocol}."
    )


def _figure(rows: pd.DataFrame, shown: dict[tuple[str, str, int], Images]) -> Figure:
    """A line of panels for each base and family; `shown` maps target, family and K to densities."""
    ordered = rows.sort_values("order")
    lines = ordered.drop_duplicates(["target", "family"])[["target", "family", "target_label", "label"]].to_dict(
        "records"
    )
    depths = sorted({depth for _, _, depth in shown})
    figure = Figure(figsize=(_PANEL * (len(depths) + 1) + 0.4, (_PANEL + 0.05) * len(lines) + 0.3))
    axes = figure.subplots(len(lines), len(depths) + 1, squeeze=False)
    for i, line in enumerate(lines):
        row = [shown.get((line["target"], line["family"], depth)) for depth in depths]
        base = next((densities for densities in row if densities and densities.p is not None), None)
        cells = [
            (base.p, base.half_width) if base else None,
            *((densities.q, densities.half_width) if densities else None for densities in row),
        ]
        for axis, cell in zip(axes[i], cells, strict=True):
            if cell is None or cell[0] is None:
                axis.axis("off")
            else:
                draw(axis, cell[0], cell[1], float(cell[0].max()))
        axes[i, 0].set_ylabel(f"{line['target_label']},\n{line['label']}", fontsize=8)
    for axis, head in zip(axes[0], ["base", *(f"K = {depth}" for depth in depths)], strict=True):
        axis.set_title(head, fontsize=9)
    return figure
