"""Numbers that a target's formula needs, such as data, in the precision and on the device of the draws."""

import torch
from torch import Tensor

_CPU = torch.device("cpu")


class Constants:
    """Tensors by name, kept in float64 and handed out as the draws are.

    They are no buffers of a module, which a cast to float32 and back would round for good.

    Args:
        tensors: of any shapes.

    >>> constants = Constants(x=[1.0, 2.0])
    >>> constants.like(torch.zeros(3, dtype=torch.float32))["x"].dtype
    torch.float32
    """

    def __init__(self, **tensors: object) -> None:
        exact = {name: torch.as_tensor(value, dtype=torch.float64, device=_CPU) for name, value in tensors.items()}
        single = {name: value.float() for name, value in exact.items()}
        self._cast = {(_CPU, torch.float64): exact, (_CPU, torch.float32): single}

    def like(self, z: Tensor) -> dict[str, Tensor]:
        """The tensors as z is.

        Args:
            z: draws, of any shape.

        Returns:
            Name -> tensor of z's dtype and on its device.
        """
        key = (z.device, z.dtype)
        if key not in self._cast:
            exact = self._cast[(_CPU, torch.float64)]
            self._cast[key] = {name: value.to(device=z.device, dtype=z.dtype) for name, value in exact.items()}
        return self._cast[key]
