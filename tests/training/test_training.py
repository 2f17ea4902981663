"""Training: it learns, seeds are independent of their company, one may diverge, and a stopped run resumes exactly."""

import math
import signal

import pytest
import torch

from nfbench import posterior, target
from nfbench.foundation.interrupts import Interrupt, interruptible
from nfbench.specification.config import Training
from nfbench.targets.contract import Target
from nfbench.training import loop, optimizers
from nfbench.training.checkpoint import read, write
from nfbench.training.loop import train
from nfbench.training.objective import Inference
from nfbench.training.program import Program
from nfbench.training.update import Update

SHORT = Training(learning_rate=0.02, updates=60, draws=16, batch=20, anneal_updates=20, schedule="one-cycle")
CASES = ["u1", "digits:dim=3,hidden=4"]


def _models(spec: str, target_spec: str, seeds: list[int]) -> list[Inference]:
    models = []
    for seed in seeds:
        torch.manual_seed(seed)
        built = target(target_spec)
        features = getattr(built, "num_features", None)
        models.append(Inference(built, posterior(spec, built.dim, features, seed=seed)))
    return models


def _state(model: Inference) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_learns_a_gaussian_exactly():
    """A Gaussian posterior of a standard normal target reaches F = -ln Z = 0 from a start that is 2 nats away."""
    (model,) = _models("gaussian", "normal:dim=2", [0])
    with torch.no_grad():
        model.posterior.source.base.copy_(torch.tensor([1.5, -1.0, 0.5, -0.5]))
    config = Training(learning_rate=0.05, updates=400, draws=1024, anneal_updates=0, schedule="one-cycle")
    out = train([model], [0], config)
    assert out.curves[0]["free_energy"][0] > 0.5
    assert torch.allclose(model.posterior.source.base, torch.zeros(4), atol=0.02)
    assert abs(out.curves[0]["free_energy"][-1]) < 0.01


@pytest.mark.parametrize("spec", ["planar:K=4", "hvi:steps=2", "mcd:steps=2"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("target_spec", CASES)
def test_seed_alone_agrees_with_seed_in_company(optimizer, target_spec, spec):
    """Seed 3 alone and seed 3 among four end at the same numbers, to float64's rounding over 60 updates."""
    config = SHORT.model_copy(update={"optimizer": optimizer, "learning_rate": 0.002, "dtype": "float64"})
    alone = train(_models(spec, target_spec, [3]), [3], config)
    company = train(_models(spec, target_spec, [0, 1, 3, 7]), [0, 1, 3, 7], config)
    for name, value in _state(alone.models[0]).items():
        assert torch.allclose(value, company.models[2].state_dict()[name], rtol=1e-8, atol=1e-8), name
    assert alone.curves[0]["free_energy"] == pytest.approx(company.curves[2]["free_energy"], rel=1e-8, abs=1e-8)
    assert company.curves[0]["free_energy"] != company.curves[1]["free_energy"]


def _by_hand(model: Inference, seed: int, config: Training) -> None:
    """Eq. 20 in a plain loop over one model, with torch's own optimizers."""
    if config.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, betas=(config.momentum, 0.999))
    else:
        optimizer = torch.optim.RMSprop(model.parameters(), lr=config.learning_rate, momentum=config.momentum)
    program = Program([model], [seed], config, "cpu")
    for t in range(config.updates):
        batch = None if program.batches is None else program.batches(t)[0]
        log_q, log_p = model(program.noise(t)[0], batch)
        beta = min(1, 0.05 + t / 8)
        optimizer.zero_grad()
        (log_q - beta * log_p).mean().backward()
        optimizer.step()


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("target_spec", CASES)
def test_agrees_with_a_plain_loop(optimizer, target_spec):
    """Twelve updates of two seeds are those of eq. 20 written out for each, with the momentum and beta asked for."""
    config = Training(
        optimizer=optimizer, learning_rate=0.003, momentum=0.8, updates=12, draws=8, batch=20,
        anneal_start=0.05, anneal_updates=8, dtype="float64",
    )  # fmt: skip
    out = train(_models("planar:K=2", target_spec, [2, 3]), [2, 3], config)
    for e, (seed, model) in enumerate(zip([2, 3], _models("planar:K=2", target_spec, [2, 3]), strict=True)):
        model.double()
        _by_hand(model, seed, config)
        for name, value in _state(model).items():
            assert torch.allclose(out.models[e].state_dict()[name], value, rtol=1e-9, atol=1e-9), name


@pytest.mark.parametrize("spec", ["nice:K=2", "hvi:steps=2"])
@pytest.mark.parametrize("target_spec", CASES)
def test_resumes_to_the_same_numbers(target_spec, spec, tmp_path, monkeypatch):
    """A run stopped in the middle and taken up again ends at exactly the numbers of one that ran through."""
    straight = train(_models(spec, target_spec, [0, 1]), [0, 1], SHORT)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = tmp_path / "run.pt"

    def stop(done: int, bound: float) -> None:
        if done == 31:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_models(spec, target_spec, [0, 1]), [0, 1], SHORT, checkpoint=checkpoint, report=stop)
    assert checkpoint.exists()
    seen: list[int] = []
    resumed = train(
        _models(spec, target_spec, [0, 1]),
        [0, 1],
        SHORT,
        checkpoint=checkpoint,
        report=lambda done, _: seen.append(done),
    )
    assert seen[0] == 32
    assert resumed.curves == straight.curves
    for ours, theirs in zip(resumed.models, straight.models, strict=True):
        for name, value in _state(ours).items():
            assert torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.parametrize("damage", ["empty", "flipped", "truncated"])
def test_a_damaged_checkpoint_is_not_resumed(damage, tmp_path):
    """A file that is empty, short, or has one other byte is named; the training starts at its beginning."""
    checkpoint = tmp_path / "run.pt"
    program = Program(_models("gaussian", "u1", [0]), [0], SHORT)
    program.advance()
    program.save(checkpoint)
    whole = checkpoint.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    checkpoint.write_bytes({"empty": b"", "flipped": bytes(flipped), "truncated": whole[:-1]}[damage])
    with pytest.warns(UserWarning, match=r"run\.pt .* starts over"):
        out = train(_models("gaussian", "u1", [0]), [0], SHORT, checkpoint=checkpoint)
    fresh = train(_models("gaussian", "u1", [0]), [0], SHORT)
    assert out.curves == fresh.curves


def test_a_checkpoint_beyond_the_end_is_not_resumed(tmp_path):
    """A number of updates that the training does not have would let it run without end; it starts over."""
    checkpoint = tmp_path / "run.pt"
    program = Program(_models("gaussian", "u1", [0]), [0], SHORT)
    program.step = 10**9
    program.save(checkpoint)
    with pytest.warns(UserWarning, match="1000000000 updates"):
        out = train(_models("gaussian", "u1", [0]), [0], SHORT, checkpoint=checkpoint)
    assert out.curves[0]["step"][-1] == SHORT.updates


def test_torn_checkpoint_is_named_and_starts_over(tmp_path):
    """A checkpoint that cannot be read is a warning that names it, and the training starts at its beginning."""
    checkpoint = tmp_path / "run.pt"
    checkpoint.write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"run\.pt cannot be read .* starts over"):
        out = train(_models("gaussian", "u1", [0]), [0], SHORT, checkpoint=checkpoint)
    assert out.curves[0]["step"][0] == 1


def test_interrupt_within_an_update_is_not_stored(tmp_path, monkeypatch):
    """Interrupted between an optimizer's step and its count, a run resumes from before it and ends as if it had not."""
    straight = train(_models("planar:K=2", "u1", [0]), [0], SHORT)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    update, updates = optimizers.Adam.update, iter(range(60))

    def interrupted(self, *arguments):
        update(self, *arguments)
        if next(updates) == 31:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optimizers.Adam, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(_models("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=tmp_path / "run.pt")
    resumed = train(_models("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=tmp_path / "run.pt")
    assert resumed.curves == straight.curves
    for name, value in _state(resumed.models[0]).items():
        assert torch.equal(value, straight.models[0].state_dict()[name]), name


def test_a_signal_within_an_update_waits_for_its_end(tmp_path, monkeypatch):
    """SIGTERM within an optimizer's step loses nothing: the checkpoint holds the whole update, and the end is equal."""
    straight = train(_models("planar:K=2", "u1", [0]), [0], SHORT)
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
            train(_models("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=file)
    assert whole == list(range(32))
    assert read(file)["step"] == 32
    resumed = train(_models("planar:K=2", "u1", [0]), [0], SHORT, checkpoint=file)
    assert resumed.curves == straight.curves
    for name, value in _state(resumed.models[0]).items():
        assert torch.equal(value, straight.models[0].state_dict()[name]), name


def test_interrupt_between_two_points_of_the_curve(tmp_path, monkeypatch):
    """Updates since the last point of the curve are part of what is stored: the next point is the straight run's."""
    config = SHORT.model_copy(update={"updates": 220})
    straight = train(_models("gaussian", "u1", [0]), [0], config)
    gradient, calls = Update.gradient, iter(range(220))

    def interrupted(update, *arguments):
        if next(calls) == 51:
            raise KeyboardInterrupt
        return gradient(update, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Update, "gradient", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(_models("gaussian", "u1", [0]), [0], config, checkpoint=tmp_path / "run.pt")
    resumed = train(_models("gaussian", "u1", [0]), [0], config, checkpoint=tmp_path / "run.pt")
    assert resumed.curves == straight.curves
    assert [step for step in straight.curves[0]["step"] if 49 < step < 53] == [50, 52]
    assert straight.curves[0]["step"][-1] == 220


def test_curve_points_are_means_since_the_last(monkeypatch):
    """A point of the curve is the mean bound of the updates since the point before, the last one of those left."""
    bounds: list[float] = []
    gradient = Update.gradient

    def listening(update, *arguments):
        bound, grads = gradient(update, *arguments)
        bounds.append(bound.item())
        return bound, grads

    monkeypatch.setattr(Update, "gradient", listening)
    curve = train(_models("gaussian", "u1", [0]), [0], SHORT.model_copy(update={"updates": 203})).curves[0]
    assert curve["step"] == [*map(float, range(2, 203, 2)), 203]
    expected = [sum(bounds[i : i + 2]) / len(bounds[i : i + 2]) for i in range(0, 203, 2)]
    assert curve["free_energy"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("change", ["rate", "seed", "depth", "part"])
def test_foreign_checkpoint_is_named_and_starts_over(change, tmp_path):
    """A checkpoint of another recipe, seed or model, or one that lacks a part, leaves no trace in the training."""
    checkpoint = tmp_path / "run.pt"
    recipe = SHORT.model_copy(update={"learning_rate": 0.03}) if change == "rate" else SHORT
    models = _models("planar:K=3" if change == "depth" else "planar:K=2", "u1", [0])
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
            _models("planar:K=2", "u1", [0]),
            [0],
            SHORT,
            checkpoint=checkpoint,
            report=lambda done, _: seen.append(done),
        )
    assert seen[0] == 1
    assert out.curves == train(_models("planar:K=2", "u1", [0]), [0], SHORT).curves


@pytest.mark.parametrize("beta", [0.01, 1.0])
def test_curve_holds_the_bound_whatever_beta(beta):
    """The first point of the curve is the mean of ln q - ln p over the update's own noise: the bound, not F^beta."""
    config = SHORT.model_copy(update={"anneal_start": beta})
    out = train(_models("planar:K=2", "u1", [5]), [5], config)
    (model,) = _models("planar:K=2", "u1", [5])
    noise = Program([model], [5], config).noise(0)[0]
    log_q, log_p = model(noise)
    assert out.curves[0]["free_energy"][0] == pytest.approx((log_q - log_p).mean().item(), rel=1e-5)


class _Trap(Target):
    """Standard normal, but undefined for draws beyond a threshold: some seeds fall in, others do not."""

    dim = 2

    def __init__(self, edge: float) -> None:
        super().__init__()
        self.register_buffer("edge", torch.tensor(edge))

    def log_joint(self, z, batch=None):
        value = -0.5 * z.square().sum(-1)
        return value * torch.where(z[..., 0] > self.edge, torch.nan, 1.0)


def test_one_seed_diverges_alone():
    """A seed whose bound becomes NaN is marked with the update; its neighbour ends as if it had been alone."""
    edges = [math.inf, 2.5]
    models = [Inference(_Trap(edge), posterior("planar:K=2", 2, seed=e)) for e, edge in enumerate(edges)]
    alone = train([Inference(_Trap(math.inf), posterior("planar:K=2", 2, seed=0))], [0], SHORT)
    out = train(models, [0, 1], SHORT)
    assert out.diverged[0] is None
    assert out.diverged[1] is not None
    assert out.curves[1]["free_energy"][-1] is None
    assert out.curves[0]["free_energy"] == pytest.approx(alone.curves[0]["free_energy"], rel=1e-4, abs=1e-4)


def test_divergence_outlives_an_interrupt(tmp_path):
    """Which seed diverged, and when, is in the checkpoint; what is reported is the mean over the others."""
    edges, bounds = [math.inf, -math.inf], []

    def models() -> list[Inference]:
        return [Inference(_Trap(edge), posterior("gaussian", 2, seed=e)) for e, edge in enumerate(edges)]

    def stop(done: int, bound: float) -> None:
        bounds.append(bound)
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(models(), [0, 1], SHORT, checkpoint=tmp_path / "run.pt", report=stop)
    assert all(math.isfinite(bound) for bound in bounds)
    assert train(models(), [0, 1], SHORT, checkpoint=tmp_path / "run.pt").diverged == [None, 1]


def test_stops_when_all_seeds_diverged():
    """When no seed is left the program ends at once, with a curve up to there."""
    out = train([Inference(_Trap(-math.inf), posterior("gaussian", 2))], [0], SHORT)
    assert out.diverged == [1]
    assert out.curves[0]["step"] == [1.0]


def test_one_cycle_and_annealing_are_in_the_curves():
    """Beta starts at 0.01 and reaches 1; the rate peaks at the one asked for."""
    out = train(_models("gaussian", "u1", [0]), [0], SHORT)
    curve = out.curves[0]
    assert curve["beta"][0] == pytest.approx(0.01)
    assert curve["beta"][-1] == 1
    assert max(curve["learning_rate"]) == pytest.approx(0.02, rel=1e-3)
    assert curve["learning_rate"][-1] < 1e-4


def test_minibatches_are_of_the_training_images():
    """What a model learns from is the training split, not the images that its bound is reported on."""
    program = Program(_models("gaussian", "digits:dim=2,hidden=2", [0]), [0], SHORT)
    assert torch.equal(program.batches.rows, program.models[0].target.splits().train)


def test_autocast_trains():
    """bfloat16 matrix products leave the bound finite and near the float32 one."""
    exact = train(_models("nice:K=2", CASES[1], [0]), [0], SHORT)
    coarse = train(_models("nice:K=2", CASES[1], [0]), [0], SHORT.model_copy(update={"autocast": True}))
    ours, theirs = coarse.curves[0]["free_energy"][-1], exact.curves[0]["free_energy"][-1]
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.05)
