"""Pages with numbers of stored records."""

import nfbench
from generated_pages.markup import table
from generated_pages.source import ROOT
from nfbench.specification import registry

__all__ = ["library_verdicts", "volume_preserving"]


def library_verdicts() -> str:
    """What ``nfbench verify`` found of the families of other libraries, from the verdicts beside the package."""
    from nfbench.present.tables.verdicts import protocol, words

    verdicts = nfbench.results(ROOT / "results" / "standard").verdicts.values()
    stored = [verdict for verdict in verdicts if verdict.examined.library]
    if not stored:
        return "No verdict is stored: `nfbench verify --libraries --results results/standard` writes them.\n"
    rows = [
        (
            verdict.label,
            ": ".join([words(verdict), *filter(None, [", ".join(verdict.with_status("fail"))])]),
            "no" if "density" in verdict.lacking else "yes",
        )
        for verdict in stored
    ]
    return f"{protocol(stored)}\n\n{table(('family', 'verdict', 'density at points'), rows)}"


def volume_preserving() -> str:
    """The least divergence of volume-preserving maps on the energies of Figure 3, beside its longest chains."""
    from nfbench.evaluation.volume_preserving import least_divergence
    from nfbench.targets.build import target

    frame = nfbench.results(ROOT / "results" / "reference").frame
    frame = frame[frame["experiment"] == "figure3"]
    frame = frame[frame["K"] == frame["K"].max()]
    rows = []
    for spec, on_target in frame.groupby("target", sort=False):
        least = least_divergence(target(str(spec))).kl
        for posterior, seeds in on_target.groupby("posterior", sort=False):
            if registry.posteriors.choose(str(posterior)).facts["volume_preserving"]:
                numbers = (least, seeds["kl"].min(), seeds["kl"].median(), seeds["kl"].max())
                label = f"{seeds['label'].iloc[0]}, K = {seeds['K'].iloc[0]:.0f}"
                rows.append((seeds["target_label"].iloc[0], label, *(f"{value:.3f}" for value in numbers)))
    return table(("target", "posterior", "least possible (nats)", "best seed", "median", "worst seed"), rows)
