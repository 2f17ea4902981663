"""A computation recorded once as a CUDA graph and replayed: one launch instead of one for every operation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_WARM_UP = 3  # runs before the recording, in which libraries and the allocator set themselves up

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def record(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """`run` as a graph: what replays it, and the tensor that every replay writes its result to."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    return graph.replay, found


class Captured:
    """A function of tensors that changes a state, as a graph: calling it copies the arguments in and replays.

    Args:
        run: what is recorded; its arguments are then always the same tensors, so numbers that change come as tensors.
        given: arguments like those of later calls, in shape, dtype and device; None stays None.
        state: every tensor that `run` changes; the runs before the recording leave no trace in them.
        record: what makes the graph.
    """

    def __init__(
        self,
        run: Callable[..., Tensor],
        given: Sequence[Tensor | None],
        state: Sequence[Tensor],
        record: Record = record,
    ) -> None:
        self.inputs = [None if value is None else value.clone() for value in given]
        before = [value.clone() for value in state]
        self._warm_up(run)
        self.replay, self.result = record(lambda: run(*self.inputs))
        with torch.no_grad():
            for value, kept in zip(state, before, strict=True):
                value.copy_(kept)

    def __call__(self, *given: Tensor | float | None) -> Tensor:
        """The result for these arguments, in a tensor that the next call overwrites."""
        for place, value in zip(self.inputs, given, strict=True):
            if place is not None and isinstance(value, Tensor):
                place.copy_(value)
            elif place is not None and value is not None:
                place.fill_(value)
        self.replay()
        return self.result

    def _warm_up(self, run: Callable[..., Tensor]) -> None:
        """Run on a stream of its own, as recording asks for."""
        if not torch.cuda.is_available():
            for _ in range(_WARM_UP):
                run(*self.inputs)
            return
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                run(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
