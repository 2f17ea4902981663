"""A computation recorded once as a CUDA graph and replayed: one launch instead of one for every operation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_WARM_UP = 3  # runs before the capture, in which libraries and the allocator initialise

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def record(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture a computation as a CUDA graph.

    Args:
        run: the computation, on CUDA tensors that stay in place between replays.

    Returns:
        The function that replays the graph, and the tensor that every replay writes its result to.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    return graph.replay, result


class Captured:
    """A function of tensors that changes a state, as a CUDA graph: a call copies its arguments in and replays.

    Args:
        run: the captured function; it always reads the same tensors, so numbers that change must come as tensors.
        arguments: examples of later calls' arguments, of the same shape, dtype and device; None stays None.
        state: every tensor that `run` changes; their values before the warm-up and the capture are restored.
        record: captures a computation without arguments, as `record` does.
    """

    def __init__(
        self,
        run: Callable[..., Tensor],
        arguments: Sequence[Tensor | None],
        state: Sequence[Tensor],
        record: Record = record,
    ) -> None:
        self.inputs = [None if value is None else value.clone() for value in arguments]
        saved = [value.clone() for value in state]
        try:
            self._warm_up(run)
            self.replay, self.result = record(lambda: run(*self.inputs))
        finally:
            with torch.no_grad():
                for value, earlier in zip(state, saved, strict=True):
                    value.copy_(earlier)

    def __call__(self, *arguments: Tensor | float | None) -> Tensor:
        """The result for these arguments, in a tensor that the next call overwrites."""
        for buffer, value in zip(self.inputs, arguments, strict=True):
            if buffer is not None and isinstance(value, Tensor):
                buffer.copy_(value)
            elif buffer is not None and value is not None:
                buffer.fill_(value)
        self.replay()
        return self.result

    def _warm_up(self, run: Callable[..., Tensor]) -> None:
        """Run a few times on a side stream, as CUDA graphs require before a capture."""
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
