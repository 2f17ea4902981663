"""A stopped training resumes to the same numbers; checkpoints that are torn, damaged or foreign do not count."""

import math
import signal

import pytest
import torch
from support.trained import CASES, SHORT, Trap, models_of, state_of

from nfbench import posterior
from nfbench.foundation.interrupts import Interrupt, interruptible
from nfbench.training import loop, optimizers
from nfbench.training.checkpoint import read, write
from nfbench.training.loop import train
from nfbench.training.objective import Inference
from nfbench.training.program import Program
from nfbench.training.update import Update


@pytest.mark.parametrize("spec", ["nice:K=2", "hvi:steps=2"])
@pytest.mark.parametrize("target_spec", CASES)
def test_resumes_to_the_same_numbers(target_spec, spec, tmp_path, monkeypatch):
    """A run stopped in the middle and taken up again ends at exactly the numbers of one that ran through."""
    straight = train(models_of(spec, target_spec, [0, 1]), [0, 1], SHORT)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = tmp_path / "run.pt"

    def stop(done: int, bound: float) -> None:
        if done == 31:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(models_of(spec, target_spec, [0, 1]), [0, 1], SHORT, checkpoint=checkpoint, report=stop)
    assert checkpoint.exists()
    seen: list[int] = []
    resumed = train(
        models_of(spec, target_spec, [0, 1]),
        [0, 1],
        SHORT,
        checkpoint=checkpoint,
        report=lambda done, _: seen.append(done),
    )
    assert seen[0] == 32
    assert resumed.curves == straight.curves
    for ours, theirs in zip(resumed.models, straight.models, strict=True):
        for name, value in state_of(ours).items():
            assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize("damage", ["empty", "flipped", "truncated"])
def test_a_damaged_checkpoint_is_not_resumed(damage, tmp_path):
    """A file that is empty, short, or has one other byte is named; the training starts at its beginning."""
    checkpoint = tmp_path / "run.pt"
    program = Program(models_of("gaussian", "u1", [0]), [0], SHORT)
    program.advance()
    program.save(checkpoint)
    whole = checkpoint.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    checkpoint.write_bytes({"empty": b"", "flipped": bytes(flipped), "truncated": whole[:-1]}[damage])
    with pytest.warns(UserWarning, match=r"run\.pt .* starts over"):
        out = train(models_of("gaussian", "u1", [0]), [0], SHORT, checkpoint=checkpoint)
    fresh = train(models_of("gaussian", "u1", [0]), [0], SHORT)
    assert out.curves == fresh.curves


def test_a_checkpoint_beyond_the_end_is_not_resumed(tmp_path):
    """A number of updates that the training does not have would let it run without end; it starts over."""
    checkpoint = tmp_path / "run.pt"
    program = Program(models_of("gaussian", "u1", [0]), [0], SHORT)
    program.step = 10**9
    program.save(checkpoint)
    with pytest.warns(UserWarning, match="1000000000 updates"):
        out = train(models_of("gaussian", "u1", [0]), [0], SHORT, checkpoint=checkpoint)
    assert out.curves[0]["step"][-1] == SHORT.updates


def test_torn_checkpoint_is_named_and_starts_over(tmp_path):
    """A checkpoint that cannot be read is a warning that names it, and the training starts at its beginning."""
    checkpoint = tmp_path / "run.pt"
    checkpoint.write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"run\.pt cannot be read .* starts over"):
        out = train(models_of("gaussian", "u1", [0]), [0], SHORT, checkpoint=checkpoint)
    assert out.curves[0]["step"][0] == 1


def test_interrupt_within_an_update_is_not_stored(tmp_path, monkeypatch):
    """Interrupted between an optimizer's step and its count, a run resumes from before it and ends as if it had not."""
    straight = train(models_of("planar:K=2", "u1", [0]), [0], SHORT)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    update, updates = optimizers.Adam.update, iter(range(60))

    def interrupted(self, *arguments):
        update(self, *arguments)
        if next(updates) == 31:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optimizers.Adam, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(models_of("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=tmp_path / "run.pt")
    resumed = train(models_of("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=tmp_path / "run.pt")
    assert resumed.curves == straight.curves
    for name, value in state_of(resumed.models[0]).items():
        assert torch.equal(value, straight.models[0].state_dict()[name]), name


def test_a_signal_within_an_update_waits_for_its_end(tmp_path, monkeypatch):
    """SIGTERM within an optimizer's step loses nothing: the checkpoint holds the whole update, and the end is equal."""
    straight = train(models_of("planar:K=2", "u1", [0]), [0], SHORT)
    file, update, updates, whole = tmp_path / "run.pt", optimizers.Adam.update, iter(range(60)), []

    def signalled(self, *arguments):
        number = next(updates)
        if number == 31:
            signal.raise_signal(signal.SIGTERM)
        update(self, *arguments)
        whole.append(number)

    with monkeypatch.context() as patch, interruptible():
        patch.setattr(optimizers.Adam, "update", signalled)
        with pytest.raises(Interrupt, match="SIGTERM"):
            train(models_of("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=file)
    assert whole == list(range(32))
    assert read(file)["step"] == 32
    resumed = train(models_of("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=file)
    assert resumed.curves == straight.curves
    for name, value in state_of(resumed.models[0]).items():
        assert torch.equal(value, straight.models[0].state_dict()[name]), name


def test_interrupt_between_two_points_of_the_curve(tmp_path, monkeypatch):
    """Updates since the last point of the curve are part of what is stored: the next point is the straight run's."""
    config = SHORT.model_copy(update={"updates": 220})
    straight = train(models_of("gaussian", "u1", [0]), [0], config)
    gradient, calls = Update.gradient, iter(range(220))

    def interrupted(update, *arguments):
        if next(calls) == 51:
            raise KeyboardInterrupt
        return gradient(update, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Update, "gradient", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(models_of("gaussian", "u1", [0]), [0], config, checkpoint=tmp_path / "run.pt")
    resumed = train(models_of("gaussian", "u1", [0]), [0], config, checkpoint=tmp_path / "run.pt")
    assert resumed.curves == straight.curves
    assert [step for step in straight.curves[0]["step"] if 49 < step < 53] == [50, 52]
    assert straight.curves[0]["step"][-1] == 220


@pytest.mark.parametrize("change", ["rate", "seed", "depth", "part"])
def test_foreign_checkpoint_is_named_and_starts_over(change, tmp_path):
    """A checkpoint of another recipe, seed or model, or one that lacks a part, leaves no trace in the training."""
    checkpoint = tmp_path / "run.pt"
    recipe = SHORT.model_copy(update={"learning_rate": 0.03}) if change == "rate" else SHORT
    models = models_of("planar:K=3" if change == "depth" else "planar:K=2", "u1", [0])
    program = Program(models, [1 if change == "seed" else 0], recipe, "cpu")
    for _ in zip(range(10), program.run(), strict=False):
        pass
    program.save(checkpoint)
    if change == "part":
        state = read(checkpoint)
        del state["counted"]
        write(checkpoint, state)
    seen: list[int] = []
    with pytest.warns(UserWarning, match=r"run\.pt cannot be read \(it is of another training\); .* starts over"):
        out = train(
            models_of("planar:K=2", "u1", [0]),
            [0],
            SHORT,
            checkpoint=checkpoint,
            report=lambda done, _: seen.append(done),
        )
    assert seen[0] == 1
    assert out.curves == train(models_of("planar:K=2", "u1", [0]), [0], SHORT).curves


def test_divergence_outlives_an_interrupt(tmp_path):
    """Which seed diverged, and when, is in the checkpoint; what is reported is the mean over the others."""
    edges, bounds = [math.inf, -math.inf], []

    def models() -> list[Inference]:
        return [Inference(Trap(edge), posterior("gaussian", 2, seed=e)) for e, edge in enumerate(edges)]

    def stop(done: int, bound: float) -> None:
        bounds.append(bound)
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(models(), [0, 1], SHORT, checkpoint=tmp_path / "run.pt", report=stop)
    assert all(math.isfinite(bound) for bound in bounds)
    assert train(models(), [0, 1], SHORT, checkpoint=tmp_path / "run.pt").diverged == [None, 1]
