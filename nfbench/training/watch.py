"""When a training may stop: its iterates are stationary, their average is known well enough, and its bias is bounded.

A constant learning rate never converges: the iterates wander about the optimum for ever, which makes posteriors too
wide or too narrow by chance, and their mean is off in proportion to the rate. Averaging removes the first; a second run
at half the rate shows the second (Dhaka et al. 2020, Robust, accurate stochastic optimization for VI, arXiv:2009.00666;
Welandawe et al. 2022, arXiv:2203.15945). What an error of parameters means differs between families.
All errors are therefore measured by what they cost in nats.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nfbench.training.evidence import Evidence, Reason
from nfbench.training.trace import Trace, rhat, slope

Cost = Callable[[Tensor, int], Tensor]

LOSS = 2e-5  # nats a dimension that averaging may leave: an sd that is off by 0.3 %
BIAS = 1e-4  # nats a dimension that the rate's bias may cost: an sd that is off by 1 %
RHAT = 1.1
_GROUPS = 8  # parts of a window whose averages are compared; a window has a multiple of as many blocks
ERRORS_OF_LOSS = 2.0  # standard errors that are added to an estimated loss: the first lucky one must not end it
_SHARE = 0.95  # of the parameters, whose R-hat must be small: flows have directions that nothing depends on
_ERRORS = 3.0  # standard errors by which F falls significantly
_FEWEST = 4  # blocks of a slope
_THIRDS = 3
_NUMBERS = 7


class _Window(NamedTuple):
    """A stationary window of a seed's last blocks."""

    blocks: int
    rhat: float
    groups: Tensor  # (G, P) averages of the parameters over its parts


class Watch:
    """Watches E seeds that train together, and says of each when to average, to halve its rate and to stop.

    Args:
        params: of each seed, (E, P), float64.
        dim: D.
        cost: parameters (E, P) and the number of an update -> F of each seed in nats (E,), with the same draws for the
            same number.

    Attributes:
        scale: by which each seed's steps are multiplied: 1, 1/2 after halving, 0 once it has ended.
        ended: for each seed the number of updates after which it ended; None where it trains.
        halved: for each seed the number of updates after which its rate was halved; None before.
    """

    def __init__(self, params: Tensor, dim: int, cost: Cost) -> None:
        seeds = len(params)
        self.trace, self.dim, self.cost = Trace(torch.cat([params, params.new_zeros(seeds, 1)], 1)), dim, cost
        # Of an estimate of the loss, relatively, for as many independent directions as there are parameters.
        self._error = math.sqrt(2 / (_GROUPS - 1) / params.shape[1])
        self.scale = [1.0] * seeds
        self.start = [0] * seeds  # update of the trace from which on a seed's rate is as it is
        self.ended: list[int | None] = [None] * seeds
        self.halved: list[int | None] = [None] * seeds
        self.average = params.clone()  # of each seed's last stationary window at the full rate
        self.newest = params.clone()  # likewise, at any rate: what `numbers` are of
        self.numbers = torch.full((seeds, _NUMBERS), math.nan, dtype=torch.float64)  # as of `_judge`

    def add(self, params: Tensor, bounds: Tensor, step: int, alive: Sequence[bool]) -> dict[int, Tensor]:
        """Take the parameters after an update in.

        Args:
            params: (E, P).
            bounds: F of the update in nats, (E,).
            step: number of updates made.
            alive: which seeds have not diverged.

        Returns:
            A seed's place -> parameters (P,) that it goes on from, or ends with.
        """
        if not self.trace.add(torch.cat([params, bounds.unsqueeze(1)], 1)):
            return {}
        windows = {
            e: window
            for e in range(len(params))
            if alive[e] and self.ended[e] is None and (window := self.window(e)) is not None
        }
        return self._judge(windows, params, step) if windows else {}

    def window(self, e: int) -> _Window | None:
        """The longest stationary window of a seed at its present rate.

        Args:
            e: the seed's place.

        Returns:
            The window, of a multiple of 8 blocks; None where none is stationary.
        """
        available = self.trace.blocks_since(self.start[e]) // _GROUPS * _GROUPS
        for blocks in range(available, 0, -_GROUPS):
            value, falls = self._rhat(e, blocks), self._falls(e, blocks)
            if value < RHAT and not falls:
                return _Window(blocks, value, self.trace.means(e, blocks, _GROUPS)[0][:, :-1])
        return None

    def _rhat(self, e: int, blocks: int) -> float:
        """The larger one of R-hat of F and of 95 % of the parameters."""
        means, variances = self.trace.means(e, blocks, 2)
        values = rhat(means, variances, self.trace.length * blocks // 2)
        return max(float(torch.quantile(values[:-1], _SHARE, interpolation="higher")), float(values[-1]))

    def _slope(self, e: int, blocks: int) -> tuple[float, float]:
        """The slope of F over the last blocks, in nats a thousand updates, with its standard error."""
        return slope(self.trace.means(e, blocks, blocks)[0][:, -1], self.trace.length)

    def _falls(self, e: int, blocks: int) -> bool:
        """Whether F falls significantly over a window, and by more than what averaging may cost."""
        value, error = self._slope(e, blocks)
        return value < -_ERRORS * error and -value * self.trace.length * blocks / 1000 > LOSS * self.dim

    def _judge(self, windows: dict[int, _Window], params: Tensor, step: int) -> dict[int, Tensor]:
        """Average the seeds that are stationary; halve the rate, or end, where the average is known well enough.

        `numbers` of a seed: slope, its error, R-hat, updates averaged, loss, bias, and the loss at the full rate.
        """
        losses = self._losses(windows, params, step)
        changes = {}
        for e, window in windows.items():
            average = window.groups.mean(0)
            count = window.blocks * self.trace.length
            self.newest[e] = average
            self.numbers[e, :5] = torch.tensor([*self._slope(e, window.blocks), window.rhat, count, losses[e]])
            enough = losses[e] * (1 + ERRORS_OF_LOSS * self._error) <= LOSS * self.dim
            if self.halved[e] is None:
                self.average[e], self.numbers[e, 6] = average, losses[e]
                if enough:
                    self.halved[e], self.start[e], self.scale[e] = step, self._updates(), 0.5
                    changes[e] = average
            elif enough:
                self.ended[e], self.scale[e] = step, 0.0
                self.numbers[e, 5] = self._bias(e, average, losses[e], params, step)
                changes[e] = average
        return changes

    def _updates(self) -> int:
        """Updates of the trace so far."""
        return self.trace.complete * self.trace.length + self.trace.filled

    def _losses(self, windows: dict[int, _Window], params: Tensor, step: int) -> list[float]:
        """What the Monte-Carlo error of each average costs in nats.

        F is curved, so the averages of G parts have a larger mean F than the average of all. Both have the same draws,
        and the first order cancels: what is left is (G - 1) times the cost that is asked for.
        """
        parts = torch.zeros(len(params), dtype=torch.float64, device=params.device)
        for group in range(_GROUPS):
            parts += self.cost(_replaced(params, {e: each.groups[group] for e, each in windows.items()}), step)
        whole = self.cost(_replaced(params, {e: each.groups.mean(0) for e, each in windows.items()}), step)
        losses: list[float] = ((parts / _GROUPS - whole) / (_GROUPS - 1)).clamp_min(0.0).tolist()
        return losses

    def _bias(self, e: int, average: Tensor, loss: float, params: Tensor, step: int) -> float:
        """What the bias of the halved rate costs, in nats.

        The bias is in proportion to the rate, so the average at the full rate is as far from that at half of it as that
        from the optimum: delta. F is curved, and 4 ((F_1 + F_2) / 2 - F at the middle) = delta' H delta / 2, to which
        the errors of both averages add what they cost.
        """
        places = self.average[e], average, (self.average[e] + average) / 2
        full, half, middle = (float(self.cost(_replaced(params, {e: each}), step)[e]) for each in places)
        return max(4 * ((full + half) / 2 - middle) - float(self.numbers[e, 6]) - loss, 0.0)

    def conclude(self, e: int, updates: int, *, diverged: bool) -> tuple[Evidence, Tensor | None]:
        """Say why a seed ended, and with which parameters.

        Args:
            e: the seed's place.
            updates: number of updates made.
            diverged: whether its bound was not finite.

        Returns:
            The evidence; and the parameters (P,) to deliver, None for the last ones.
        """
        ended, window = self.ended[e], None
        value, error, ratio, averaged, loss, bias, _ = (float(number) for number in self.numbers[e])
        if ended is None:
            window = None if diverged else self.window(e)
            blocks = self.trace.blocks_since(self.start[e]) // 2 * 2
            if blocks >= _FEWEST:
                (value, error), ratio = self._slope(e, blocks), self._rhat(e, blocks)
        reason: Reason = "diverged" if diverged else "budget"
        if ended is not None:
            reason = "evidence" if bias <= BIAS * self.dim else "bias"
        needed = self._needed(e, window, loss) if reason == "budget" else None
        deliver = None
        if not diverged and not math.isnan(averaged):
            deliver = self.newest[e] if window is None else window.groups.mean(0)
        made = updates if ended is None else ended
        count = 0 if math.isnan(averaged) else int(averaged)
        return Evidence(reason, made, value, error, ratio, count, loss, bias, needed), deliver

    def _needed(self, e: int, window: _Window | None, loss: float) -> int | None:
        """Further updates, roughly: the error of an average falls with their number, and half the rate takes twice."""
        if window is not None and math.isfinite(loss):
            present = window.blocks * self.trace.length
            target = present * max(loss / (LOSS * self.dim), 1.0)
            return int(target - present + (2 * target if self.halved[e] is None else 0))
        blocks = self.trace.blocks_since(self.start[e]) // _THIRDS * _THIRDS
        if not blocks:
            return None
        first, second, third = self.trace.means(e, blocks, _THIRDS)[0][:, -1].tolist()
        length = blocks // _THIRDS * self.trace.length
        if not first > second > third:
            return _THIRDS * length
        ratio = (second - third) / (first - second)
        if not 0 < ratio < 1:
            return None
        left = (second - third) * ratio / (1 - ratio)  # that F will still fall, if it falls exponentially
        return max(length, int(length * math.log(max(left / (LOSS * self.dim), 1.0)) / -math.log(ratio)))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps.

        Returns:
            Name -> tensor.
        """
        missing = [[-1 if each is None else each for each in values] for values in (self.ended, self.halved)]
        places = torch.tensor([self.start, *missing])
        scale = torch.tensor(self.scale, dtype=torch.float64)
        averages = {"average": self.average, "newest": self.newest}
        own = averages | {"numbers": self.numbers, "places": places, "scale": scale}
        return {f"evidence.{name}": value for name, value in (self.trace.state() | own).items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take a state up.

        Args:
            state: as `state` returned it, among others.
        """
        own = {name: state[f"evidence.{name}"] for name in ("average", "newest", "numbers", "places", "scale")}
        self.trace.restore({name: state[f"evidence.{name}"] for name in self.trace.state()})
        self.average.copy_(own["average"])
        self.newest.copy_(own["newest"])
        self.numbers.copy_(own["numbers"])
        self.start, ended, halved = own["places"].tolist()
        self.ended, self.halved = ([None if each < 0 else each for each in values] for values in (ended, halved))
        self.scale = own["scale"].tolist()


def _replaced(params: Tensor, rows: dict[int, Tensor]) -> Tensor:
    """The parameters (E, P) with some seeds' replaced."""
    copy = params.clone()
    for e, row in rows.items():
        copy[e] = row
    return copy
