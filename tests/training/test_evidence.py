"""Stopping on evidence: exact standard deviations, honest reasons, resumable, whatever trains beside."""

import math

import pytest
import torch

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.records.glossary import STOPPING
from nfbench.specification.config import Training
from nfbench.training.fit import fit_seeds
from nfbench.training.loop import train
from nfbench.training.objective import initial_model
from nfbench.training.program import Program
from nfbench.training.watch import Watch

RECIPE = Training(learning_rate=0.05, updates=6000, draws=32, anneal_updates=0, stop="evidence", dtype="float64")
OBSERVED = torch.tensor([[1.2, -0.3, 4.0], [0.4, 0.1, 5.0], [0.8, -0.4, 4.4], [1.9, 0.2, 5.2]])
NOISE = torch.tensor([0.5, 1.0, 0.2])
EXACT_SD = 1 / (1 + 4 / NOISE**2).sqrt()  # of z ~ N(0, 1), x | z ~ N(z, NOISE^2), four times


@pytest.fixture
def lenient(monkeypatch):
    """Evidence that is had after a few hundred updates."""
    monkeypatch.setattr("nfbench.training.watch.LOSS", 1e-3)
    monkeypatch.setattr("nfbench.training.watch.BIAS", 1.0)


def conjugate(z):
    """Normal means with a normal prior and four observations each."""
    return -0.5 * z.square().sum(-1) - 0.5 * ((OBSERVED - z.unsqueeze(-2)) / NOISE).square().sum((-1, -2))


def sds(fitted):
    """Standard deviations of a diagonal Gaussian."""
    return fitted.posterior.source.base.detach().flatten()[3:].exp()


def models(seeds):
    """Diagonal Gaussians for U1."""
    return [initial_model("gaussian", "u1", seed) for seed in seeds]


def test_standard_deviations_of_a_conjugate_model_are_right_to_one_percent():
    """With `stop: evidence` every exact posterior sd is met to 1 %; Adam at the same constant rate is off by more."""
    settings = {"dim": 3, "learning_rate": 0.05, "draws": 64}
    stopped = fit_seeds("gaussian", conjugate, [0, 1], updates=10_000, stop="evidence", **settings)
    for fitted in stopped:
        assert fitted.evidence.reason == "evidence"
        assert fitted.evidence.updates < 10_000
        assert (sds(fitted) / EXACT_SD - 1).abs().max() < 0.01
    constant = fit_seeds("gaussian", conjugate, [0, 1], updates=1000, schedule="constant", **settings)
    assert all((sds(fitted) / EXACT_SD - 1).abs().max() > 0.02 for fitted in constant)


def watched(bias, variance, updates, seeds=64):
    """A watch of independent iterates about optima of F = 2 x^2 that the rate moves by `bias`."""
    generator = torch.Generator().manual_seed(0)
    watch = Watch(torch.zeros(seeds, 1, dtype=torch.float64), 1, lambda params, step: 2 * params.square().sum(1))
    for step in range(1, updates + 1):
        scale = torch.tensor([1.0 if each is None else 0.5 for each in watch.halved]).unsqueeze(1)
        noise = torch.randn(seeds, 1, generator=generator, dtype=torch.float64)
        params = bias * scale + math.sqrt(variance) * noise
        watch.add(params, 2 * params.square().sum(1), step, [True] * seeds)
    return watch


def test_the_loss_by_averaging_is_that_of_a_parabola(monkeypatch):
    """The average of n independent iterates with variance v costs 2 v / n: mean of 64 seeds, each with 7 degrees."""
    monkeypatch.setattr("nfbench.training.watch.LOSS", 0.0)
    averaged, losses = watched(0.0, 0.003, 400).numbers[:, 3:5].T
    ratios = losses / (2 * 0.003 / averaged)
    assert float(ratios.mean()) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 7 / 64))


def test_the_cost_of_the_bias_is_that_of_a_parabola(monkeypatch):
    """A bias of 0.1 at the full rate is 0.05 at half of it, which costs 2 * 0.05^2; within 4 standard errors."""
    monkeypatch.setattr("nfbench.training.watch.LOSS", 1.0)
    watch = watched(0.1, 0.003, 600)
    biases = watch.numbers[:, 5]
    assert all(watch.ended)
    assert float(biases.mean()) == pytest.approx(2 * 0.05**2, abs=4 * float(biases.std()) / 8)
    assert watch.conclude(0, 600, diverged=False)[0].reason == "bias"


def test_iterates_that_still_move_are_not_averaged():
    """A drift of the parameters, or of F alone, is no stationary window."""
    watch = Watch(torch.zeros(2, 1, dtype=torch.float64), 1, lambda params, step: params.square().sum(1))
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 801):
        noise = torch.randn(2, generator=generator, dtype=torch.float64)
        moved = torch.tensor([0.01, 0.0]) * step
        watch.add((noise + moved).unsqueeze(1), torch.tensor([0.0, -0.01]) * step + 0.1 * noise, step, [True, True])
    assert [watch.window(0), watch.window(1)] == [None, None]
    assert watch.halved == [None, None]


def test_a_seed_ends_as_alone_whatever_trains_beside_it(lenient):
    """Each of three seeds ends after the same number of updates with the same parameters as alone, to rounding."""
    together = train(models([0, 1, 2]), [0, 1, 2], RECIPE)
    ends = [evidence.updates for evidence in together.evidence]
    assert len(set(ends)) > 1
    alone = train(models([1]), [1], RECIPE)
    assert alone.evidence[0].updates == ends[1]
    assert alone.evidence[0].reason == together.evidence[1].reason == "evidence"
    assert alone.curves[0]["step"][-1] == ends[1] <= together.curves[1]["step"][-1]
    assert set(alone.curves[0]["learning_rate"]) == set(together.curves[1]["learning_rate"]) == {0.05, 0.025}
    for name, value in alone.models[0].state_dict().items():
        assert torch.allclose(value, together.models[1].state_dict()[name], rtol=1e-6, atol=1e-8), name


def test_resumes_to_the_same_numbers(lenient, tmp_path):
    """Stored before and after the first seed halves its rate, and resumed: the same numbers bit by bit."""
    whole = Program(models([0, 2]), [0, 2], RECIPE)
    list(whole.run())
    halved = min(each for each in whole.stopping.watch.halved if each is not None)
    expected = whole.outcome()
    for place in (halved - 40, halved + 110):
        broken = Program(models([0, 2]), [0, 2], RECIPE)
        while broken.step < place:
            if broken.counted and broken.step % (RECIPE.updates // 100) == 0:
                broken._mark()
            broken.advance()
        broken.save(tmp_path / "state")
        resumed = train(models([0, 2]), [0, 2], RECIPE, checkpoint=tmp_path / "state")
        assert resumed.curves == expected.curves
        assert resumed.evidence == expected.evidence
        for left, right in zip(resumed.models, expected.models, strict=True):
            assert all(torch.equal(value, right.state_dict()[name]) for name, value in left.state_dict().items())


def test_a_budget_that_is_too_small_says_what_is_lacking():
    """The reason, a slope below 0 with its error, and how many updates are lacking at least."""
    (fitted,) = fit_seeds(
        "gaussian", conjugate, [0], dim=3, updates=300, stop="evidence", learning_rate=0.003, draws=64, anneal_updates=0
    )
    evidence = fitted.evidence
    assert (evidence.reason, evidence.updates, evidence.averaged) == ("budget", 300, 0)
    assert evidence.slope < -3 * evidence.slope_se < 0
    assert evidence.needed > 100
    assert "without evidence" in evidence.sentence
    assert f"{evidence.needed:,} more" in evidence.sentence


def test_a_seed_that_diverges_leaves_the_others_alone(lenient):
    """One of two seeds starts at infinity: its reason is divergence, the other has its evidence."""
    pair = models([0, 1])
    with torch.no_grad():
        next(pair[0].posterior.parameters()).fill_(math.inf)
    trained = train(pair, [0, 1], RECIPE)
    assert [evidence.reason for evidence in trained.evidence] == ["diverged", "evidence"]


def test_a_seed_that_ended_does_not_diverge_afterwards(lenient):
    """Where its company's bound is infinite later on, and so is its own, which alone it would not have computed."""
    program = Program(models([0, 2]), [0, 2], RECIPE)
    while not any(program.stopping.finished):
        program.advance()
    program.update.total.fill_(math.inf)
    program._mark()
    assert {evidence.reason for evidence in program.outcome().evidence} == {"evidence", "diverged"}
    assert [at is None for at in program.diverged] == program.stopping.finished


def test_the_reason_is_stored_with_a_fit_and_with_a_record(tmp_path):
    """`Fitted.save` keeps it; a record has it as a text and its numbers as metrics, and its training says so."""
    fitted = nfbench.fit("gaussian", "u1", updates=300, stop="evidence")
    again = nfbench.load(fitted.save(tmp_path / "q.safetensors"))
    assert again.evidence.as_data() == fitted.evidence.as_data()  # which may have numbers that are none
    assert again.evidence.sentence == fitted.evidence.sentence
    overrides = {"training.stop": "evidence", "training.schedule": "constant", "training.updates": 300}
    run = nfbench.run(
        "figure3", "smoke", targets=["u1"], posteriors=["gaussian"], overrides=overrides, results=tmp_path / "r"
    )
    row = run.results.frame.iloc[0]
    assert set(STOPPING) - {"updates_needed", "averaging_loss", "rate_bias"} <= set(run.results.frame)
    assert row["updates_made"] == 300
    assert "ended by evidence" in row["training"]
    text = next((tmp_path / "r" / "figure3").glob("*.json")).read_text()
    assert "ended by the budget of 300 updates" in text


def test_a_schedule_that_ends_by_itself_is_refused():
    """One cycle of the rate needs to know the number of updates: one line says so; nothing is stored by default."""
    with pytest.raises(InputError, match="stop=evidence needs schedule=constant, got schedule=one-cycle"):
        nfbench.fit("gaussian", "u1", stop="evidence", schedule="one-cycle")
    with pytest.raises(InputError, match="stop='never'"):
        nfbench.fit("gaussian", "u1", stop="never")
    assert "stop" not in Training(learning_rate=0.1, updates=10, anneal_updates=0).model_dump()


def test_what_is_delivered_is_what_the_numbers_are_of():
    """Stationary at half the rate once but not at the end: the average of that window is delivered, and named."""
    generator = torch.Generator().manual_seed(0)
    watch = Watch(torch.zeros(1, 1, dtype=torch.float64), 1, lambda params, step: params.square().sum(1) / 2)

    seen, averages = [], []

    def feed(param):
        seen.append(float(param))
        bound = param.square().sum(1) / 2 + 0.01 * torch.randn(1, generator=generator, dtype=torch.float64)
        before = str(watch.numbers[0])  # NaN at first, which is not equal to itself
        watch.add(param, bound, len(seen), [True])
        if str(watch.numbers[0]) != before:
            window = seen[-int(watch.numbers[0, 3]) :]
            averages.append(sum(window) / len(window))

    while watch.halved[0] is None:
        feed(0.3 + 0.01 * torch.randn(1, 1, generator=generator, dtype=torch.float64))
    slow, of_full_rate = torch.zeros(1, 1, dtype=torch.float64), len(averages)
    for _ in range(25 * 14):
        slow = 0.9 * slow + 0.2 * torch.randn(1, 1, generator=generator, dtype=torch.float64)
        feed(0.15 + slow)
    for further in range(25 * 6):
        feed(torch.full((1, 1), 0.15 + 0.02 * further, dtype=torch.float64))
    evidence, delivered = watch.conclude(0, len(seen), diverged=False)
    assert watch.window(0) is None
    assert len(averages) > of_full_rate
    assert evidence.averaged == int(watch.numbers[0, 3])
    assert float(delivered) == pytest.approx(averages[-1])
