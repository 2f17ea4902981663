"""Why the training of a seed ended, where evidence may end it."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from nfbench.records.cells import Metric

Reason = Literal["evidence", "bias", "budget", "diverged"]


@dataclass(frozen=True)
class Evidence:
    """Why the training of a seed ended, with what is known of the parameters that it delivered.

    Attributes:
        reason: ``evidence``: stationary, averaged, and the bias of the rate is small; ``bias``: the same, but it is not
            small; ``budget``: all updates were made before; ``diverged``.
        updates: number of updates made.
        slope: of F over the last window, in nats a thousand updates.
        slope_se: its standard error.
        rhat: the larger one of R-hat of F and of the parameters (95 % of them) over the last window.
        averaged: updates whose parameters were averaged; 0 where none were stationary.
        loss: what the Monte-Carlo error of the average costs, in nats; NaN without an average.
        bias: what the bias of the halved rate costs, in nats; NaN where it was not reached.
        needed: further updates that the evidence would have needed at least, roughly; None where there is no telling.
    """

    reason: Reason
    updates: int
    slope: float
    slope_se: float
    rhat: float
    averaged: int
    loss: float
    bias: float
    needed: int | None

    def as_data(self) -> dict[str, Any]:
        """All attributes, as JSON can hold them.

        Returns:
            Name -> value; None in place of a number that is not finite.
        """
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> "Evidence":
        """Undo `as_data`; every number that is missing is NaN.

        Args:
            data: as `as_data` returned it.

        Returns:
            The evidence.
        """
        numbers = {name: math.nan for name in ("slope", "slope_se", "rhat", "loss", "bias") if data.get(name) is None}
        return cls(**{**data, **numbers})

    def metrics(self) -> dict[str, Metric]:
        """The numbers as metrics of a record.

        Returns:
            Name -> metric; those that are not known are left out.
        """
        metrics = {
            "updates_made": (self.updates, None),
            "slope": (self.slope, self.slope_se),
            "averaging_loss": (self.loss, None),
            "rate_bias": (self.bias, None),
            "updates_needed": (math.nan if self.needed is None else self.needed, None),
        }
        return {
            name: Metric(value=value, se=se)
            for name, (value, se) in metrics.items()
            if math.isfinite(value) and math.isfinite(se or 0.0)
        }

    @property
    def sentence(self) -> str:
        """The reason in words, with its numbers."""
        moved = f"F moves by {self.slope:.2g} ± {self.slope_se:.1g} nats in a thousand updates"
        if self.reason == "diverged":
            return f"diverged within {self.updates:,} updates"
        if self.reason == "budget":
            more = "" if self.needed is None else f"; at least about {self.needed:,} more are needed"
            state = f"R-hat {self.rhat:.3g}" if not self.averaged else f"the average of {self.averaged:,} updates"
            cost = "" if not self.averaged else f" costs {self.loss:.1g} nats"
            return f"ended by the budget of {self.updates:,} updates without evidence: {state}{cost}, {moved}{more}"
        start = f"stopped on evidence after {self.updates:,} updates: R-hat {self.rhat:.3g}, {moved}"
        numbers = f"the error of the average of {self.averaged:,} costs {self.loss:.1g} nats, the bias of the rate"
        end = "; a lower learning rate is needed" if self.reason == "bias" else ""
        return f"{start}, {numbers} {self.bias:.1g}{end}"
