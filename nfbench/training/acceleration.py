"""How the updates of a training are run: as they are, compiled, or captured as a CUDA graph."""

from dataclasses import dataclass

from nfbench.foundation.errors import InputError


@dataclass(frozen=True)
class Acceleration:
    """How an update is run; its numbers do not depend on it beyond float rounding.

    Attributes:
        compile: the gradient is compiled by ``torch.compile``.
        cuda_graph: a whole update is captured once as a CUDA graph and replayed.
    """

    compile: bool = False
    cuda_graph: bool = False

    @classmethod
    def on(cls, device: str, *, compile: bool = False, cuda_graph: bool | None = None) -> "Acceleration":
        """How updates are run on a device unless a user says otherwise.

        Small updates on a GPU are mostly launches: one of the image model of Table 2 with two seeds took 4.0 ms without
        and 0.46 ms with a captured graph on an H200.

        Args:
            device: torch device, such as ``cpu`` or ``cuda:0``.
            compile: whether ``torch.compile`` is asked for.
            cuda_graph: whether a CUDA graph is asked for; None: wherever the device is CUDA.

        Returns:
            The acceleration.

        Raises:
            InputError: a CUDA graph is asked for on a device that is not CUDA.
        """
        made = cls(compile, device.startswith("cuda") if cuda_graph is None else cuda_graph)
        made.check(device)
        return made

    def check(self, device: str) -> None:
        """Refuse a device that cannot run updates in this way.

        Args:
            device: torch device, such as ``cpu`` or ``cuda:0``.

        Raises:
            InputError: a CUDA graph is asked for on a device that is not CUDA.
        """
        if self.cuda_graph and not device.startswith("cuda"):
            raise InputError(f"a CUDA graph on device {device!r}: expected cuda or cuda:N")


PLAIN = Acceleration()
