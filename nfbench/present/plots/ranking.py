"""The picture of `nfbench choose`: how much worse than the best each family is, against what it costs."""

from typing import Any

from nfbench.present.plots.looks import look
from nfbench.present.plots.style import Picture, legend, log_seconds, panels
from nfbench.specification.spec import parse

_FLOOR = 1e-3  # nats: differences below are drawn there


def picture(data: dict[str, Any]) -> Picture:
    """Draw quality against cost.

    Args:
        data: as `nfbench.experiments.choose.Chosen.as_data` gives it.

    Returns:
        A picture named ``choose``: a filled mark is a family that can be trusted, a ring is around the chosen one.
    """
    figure, (axis,) = panels(1, size=(4.6, 3.0))
    for row in data["candidates"]:
        if row["difference"] is None:
            continue
        style = look(str(parse(row["posterior"]).without("K")))
        height = max(row["difference"], _FLOOR)
        ends = [row["difference_low"], row["difference_high"]]
        if None not in ends:
            low, high = (max(end, _FLOOR) for end in ends)
            axis.plot([row["seconds"]] * 2, [low, high], color=style.colour, linewidth=1)
        face = style.colour if row["trusted"] else "white"
        name = parse(row["posterior"]).name
        mark: dict[str, Any] = {"marker": style.mark, "color": style.colour, "markerfacecolor": face, "label": name}
        axis.plot(row["seconds"], height, ls="none", ms=7, **mark)
        if row["posterior"] == data["posterior"]:
            axis.plot(row["seconds"], height, ls="none", marker="o", ms=15, color="0.2", markerfacecolor="none")
    axis.axhline(data["margin"], color="0.5", linewidth=0.8, linestyle="--")
    axis.set_yscale("log")
    axis.margins(0.15)
    log_seconds(axis, "seconds of all restarts")
    axis.set_ylabel("F above the best (nats)")
    axis.set_title(str(data["target"]))
    if any(row["difference"] is not None for row in data["candidates"]):
        legend(figure, [axis])
    caption = (
        f"Free energy above that of the best family, paired by seed with its 95 % interval, against the time of all "
        f"restarts; differences below {_FLOOR:g} nats are drawn there. Filled: can be trusted; ring: chosen; dashed: "
        f"the margin of {data['margin']:g} nats. {data['sentence']}."
    )
    return Picture("choose", caption, figure)
