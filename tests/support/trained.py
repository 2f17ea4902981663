"""Small trainings, and a density that a seed may fall into."""

from collections.abc import Iterable

import torch

from nfbench.specification.config import Training
from nfbench.targets.contract import Target
from nfbench.training.objective import Inference, initial_model

SHORT = Training(learning_rate=0.02, updates=60, draws=16, batch=20, anneal_updates=20, schedule="one-cycle")
CASES = ["u1", "digits:dim=3,hidden=4"]


def models_of(spec: str, target_spec: str, seeds: Iterable[int]) -> list[Inference]:
    """One model for each seed, with the parameters that it starts from."""
    return [initial_model(spec, target_spec, seed) for seed in seeds]


def state_of(model: Inference) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


class Trap(Target):
    """Standard normal, but undefined for draws beyond a threshold: some seeds fall in, others do not."""

    dim = 2

    def __init__(self, edge: float) -> None:
        super().__init__()
        self.register_buffer("edge", torch.tensor(edge))

    def log_joint(self, z, batch=None):
        value = -0.5 * z.square().sum(-1)
        return value * torch.where(z[..., 0] > self.edge, torch.nan, 1.0)
