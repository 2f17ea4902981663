"""What the metrics of records are called and what they mean."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]  # of two values of a metric
FLOOR = "_floor"  # behind a distance: the same number for two halves of the reference draws


@dataclass(frozen=True)
class Measure:
    """A metric of a record: how to print it and what it is.

    Attributes:
        label: short name, for the head of a table.
        unit: such as ``nats``; empty for a pure number.
        meaning: what it measures, in a sentence or two.
        better: which values are the better ones; None where neither are, or where nobody knows.
        formula: how it is computed; empty where `meaning` says so.
        source: where it comes from.
        blind: what it cannot see.
    """

    label: str
    unit: str
    meaning: str
    better: Better | None = None
    formula: str = ""
    source: str = ""
    blind: str = ""

    @property
    def title(self) -> str:
        """Label with its unit, for a table's head or an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


RESULTS = {
    "kl": Measure(
        "KL",
        "nats",
        "KL(q||p) = F + ln Z, the divergence of the approximation from the normalised target; at least 0, and 0 "
        "only where both agree. Given where ln Z is exactly known.",
        better="lower",
    ),
    "forward_kl": Measure(
        "forward KL",
        "nats",
        "KL(p||q), estimated with exact draws of the target: it is large where q misses a part of the target.",
        better="lower",
    ),
    "box_kl": Measure(
        "KL in the box",
        "nats",
        "KL of the pair truncated to [-4, 4]^2, for energies that no constant normalises; read it with the mass.",
        better="lower",
    ),
    "box_mass": Measure("mass in the box", "probability", "The probability that q gives to the box [-4, 4]^2."),
    "free_energy": Measure(
        "free energy",
        "nats",
        "F = E_q[ln q(z|x) - ln p(x, z)], the negative evidence lower bound. Lower is better; for a model of data, the "
        "mean over data points that were not trained on.",
        better="lower",
    ),
    "nll": Measure(
        "-ln p(x)",
        "nats",
        "Negative log-likelihood by importance sampling with q; at most F in expectation.",
        better="lower",
    ),
    "gap": Measure(
        "gap",
        "nats",
        "F + ln p(x), with -ln p(x) by importance sampling: what the bound loses because q is not the exact posterior. "
        "It is the KL(q||p(z|x)) of the paper's Figure 4, too small by as much as that estimate is too large.",
        better="lower",
    ),
    "nll_long": Measure(
        "-ln p(x), long",
        "nats",
        "The same estimate of -ln p(x) with many more draws, which comes closer to it from above; where the table says "
        "so, over some of the test points only, evenly spaced, and then not to be subtracted from the others.",
        better="lower",
    ),
    "ess": Measure(
        "ESS",
        "draws",
        "Effective sample size of the importance weights behind -ln p(x), (sum w)^2 / sum w^2, mean over test points: "
        "as many as there are draws if q is the exact posterior, 1 if one draw has all the weight.",
        better="higher",
    ),
    "khat_bad": Measure(
        "k-hat above 0.7",
        "share",
        "Share of test points whose importance weights have so heavy a tail (Pareto shape above 0.7) that their "
        "estimate of -ln p(x) cannot be relied on.",
        better="lower",
    ),
    "best_step": Measure(
        "best update",
        "updates",
        "Number of updates after which F on the validation data was lowest; the last one "
        "where the model does not overfit.",
    ),
    "entropy": Measure("entropy", "nats", "Entropy of the distribution after the last map."),
    "log_det": Measure(
        "log-determinant", "nats", "Mean of the summed ln|det| of the maps: below 0 where they contract on average."
    ),
}
