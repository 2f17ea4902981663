"""One standardized training: E seeds of one model as one program, with its curves and checkpoints."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nfbench.specification.config import Training
from nfbench.training.objective import Inference
from nfbench.training.program import Program, Trained
from nfbench.training.update import PLAIN, Acceleration

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
    rounding, on which others run beside it. A seed whose bound is no longer finite is marked and left alone.

    Args:
        models: one for each seed, alike but for their numbers; they are moved, cast and trained in place.
        seeds: E of them.
        config: the recipe.
        device: where to run.
        acceleration: how to run; the numbers do not depend on it beyond rounding.
        checkpoint: file that keeps the state; resumed from if it is there. The caller removes it when what follows the
            training is done too.
        report: called with (updates done, mean bound of the seeds alive) about 100 times.

    Raises:
        InputError: the device has not got what `acceleration` asks for.
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
    except KeyboardInterrupt:
        if checkpoint is not None and program.settled:
            program.save(checkpoint)
        raise
    if checkpoint is not None:
        program.save(checkpoint)
    return program.outcome()
