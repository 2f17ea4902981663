"""One standardized training: E seeds of one model as one program, with its curves and checkpoints."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nfbench.foundation.interrupts import Withdrawn
from nfbench.specification.config import Training
from nfbench.training.acceleration import PLAIN, Acceleration
from nfbench.training.objective import Inference
from nfbench.training.program import Program, Trained

CHECKPOINT_SECONDS = 60.0

Report = Callable[[int, float], None]


def train(
    models: Sequence[Inference],
    seeds: Sequence[int],
    config: Training,
    *,
    device: str = "cpu",
    acceleration: Acceleration = PLAIN,
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Minimise the annealed free energy of every model, all in one program.

    Noise and minibatch order come from each seed's own streams, so a seed's numbers do not depend, beyond float
    rounding, on which others run beside it. A seed whose bound is no longer finite is marked as diverged.

    Args:
        models: one for each seed, of the same architecture; they are moved, cast and trained in place.
        seeds: E distinct seeds of noise and minibatch order.
        config: the recipe: optimizer, learning rate, number of updates, draws, annealing, dtype.
        device: torch device.
        acceleration: how updates are run; numbers do not depend on it beyond rounding.
        checkpoint: file of the state, resumed from if it exists. The caller removes it once the evaluation that
            follows is stored too.
        report: called with (updates done, mean bound in nats over the seeds that have not diverged) about 100 times.

    Returns:
        The trained models with their curves and the updates at which seeds diverged.

    Raises:
        InputError: `acceleration` asks for something that the device does not have.
        KeyboardInterrupt: interrupted; the state is in `checkpoint` if there is one.
        Withdrawn: `report` raised it; the state in `checkpoint` is that of another process.
    """
    program = Program(models, seeds, config, device, acceleration)
    if checkpoint is not None and checkpoint.exists():
        program.restore(checkpoint)
    saved = time.monotonic()
    try:
        for done in program.run():
            if report is not None:
                report(done, program.latest())
            if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                program.save(checkpoint)
                saved = time.monotonic()
    except Withdrawn:
        raise
    except KeyboardInterrupt:
        if checkpoint is not None and program.settled:
            program.save(checkpoint)
        raise
    if checkpoint is not None:
        program.save(checkpoint)
    return program.outcome()
