"""Checks of what every posterior promises: shapes, noise as an argument, draws and data points that do not mix."""

import torch
from torch import Tensor

from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.verification.check import PASS, Effort, Outcome, check, fails, skips
from nfbench.verification.subject import Subject

F = 3  # width of the features of amortized posteriors
ROUNDING = 1e-10


def _differs(ours: Tensor, theirs: Tensor, tolerance: float = ROUNDING) -> bool:
    """Whether two tensors of one shape differ by more than rounding; NaN equals NaN."""
    return not torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)


@check(
    "shapes",
    proves="draws are (S, B, D) and densities (S, B) in the dtype of the parameters, for no, one and several draws",
    tolerance="none",
)
def _shapes(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build()
    for draws, points in ((1, 1), (4, 3), (0, 3)):
        noise = subject.noise(q, draws, points)
        z, log_q = q(noise)
        expected = (draws, points, subject.dim), (draws, points)
        actual = tuple(z.shape), tuple(log_q.shape)
        if actual != expected or z.dtype != noise.dtype or log_q.dtype != noise.dtype:
            detail = (
                f"z {actual[0]} {z.dtype} and ln q {actual[1]} {log_q.dtype}: expected {expected[0]} and {expected[1]}"
            )
            return fails(detail, "start", 0, noise, "z, log_q = q(noise)", "print(z.shape, log_q.shape)")
        if q.has_density and (at_points := q.log_prob(z)).shape != expected[1]:
            detail = f"log_prob {tuple(at_points.shape)}: expected {expected[1]}"
            return fails(detail, "start", 0, noise, "print(q.log_prob(q(noise)[0]).shape)")
    return PASS


@check(
    "noise is an argument",
    proves="two calls with the same noise give the same draws, and no call uses torch's own generator",
    tolerance="none: bit by bit",
)
def _noise_argument(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build("trained-like")
    noise = subject.noise(q, 5)
    first, state = q(noise), torch.get_rng_state()
    second = q(noise)
    lines = "print(q(noise))", "print(q(noise))  # expected: the same"
    if not all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True)):
        return fails("two calls with the same noise differ", "trained-like", 0, noise, *lines)
    if not torch.equal(state, torch.get_rng_state()):
        return fails("a call draws from torch's own generator", "trained-like", 0, noise, *lines)
    return PASS


@check(
    "draws are separate",
    proves="a draw, and its ln q, do not depend on the draws and data points beside it",
    tolerance="1e-10 relative: the order of sums in float64",
)
def _separate(subject: Subject, effort: Effort) -> Outcome:
    q = subject.build("trained-like")
    noise = subject.noise(q, 4, 3)
    together = q(noise)
    for draw in range(4):
        for point in range(3):
            alone = q(noise[draw : draw + 1, point : point + 1])
            for name, one, all_of_them in zip(("z", "ln q"), alone, together, strict=True):
                if _differs(one[0, 0], all_of_them[draw, point]):
                    among = all_of_them[draw, point].tolist()
                    detail = f"{name} of a draw alone is {one[0, 0].tolist()}, among others {among}"
                    show = f"print(q(noise[{draw}:{draw + 1}, {point}:{point + 1}]))"
                    return fails(
                        detail,
                        "trained-like",
                        0,
                        noise,
                        "z, log_q = q(noise)",
                        f"print(z[{draw}, {point}], log_q[{draw}, {point}])",
                        show,
                    )
    return PASS


@check(
    "one row serves all",
    proves="theta with one row gives what theta repeated for every data point gives, in both directions",
    tolerance="1e-10 relative: the order of sums in float64",
)
def _one_row(subject: Subject, effort: Effort) -> Outcome:
    if not isinstance(subject.build(), FlowPosterior):
        return skips("the family is no flow with a theta")
    one = subject.build("trained-like")
    many = subject.build("trained-like", points=3)
    many.load_state_dict({name: _rows(value, one.state_dict()[name]) for name, value in many.state_dict().items()})
    noise = subject.noise(one, 4, 3)
    z = one(noise)[0].detach()
    pairs = [("z", one(noise)[0], many(noise)[0]), ("ln q", one(noise)[1], many(noise)[1])]
    if one.has_density:
        pairs.append(("log_prob", one.log_prob(z), many.log_prob(z)))
    for name, ours, theirs in pairs:
        if ours.shape != theirs.shape or _differs(ours, theirs, 1e-8 if name == "log_prob" else ROUNDING):
            detail = f"{name} with theta (1, P) is not that with theta repeated to (3, P)"
            lines = (
                "base, theta = q.source(None)",
                "print(q.flow.draw(noise, base, theta))",
                "print(q.flow.draw(noise, base.repeat(3, 1), theta.repeat(3, 1)))",
            )
            return fails(detail, "trained-like", 0, noise, *lines)
    return PASS


def _rows(of_many: Tensor, of_one: Tensor) -> Tensor:
    return of_one if of_many.shape == of_one.shape else of_one.expand_as(of_many)


@check(
    "same seed, same draw",
    proves="the seed alone decides the start, and building leaves torch's own generator as it was",
    tolerance="none: bit by bit",
)
def _same_seed(subject: Subject, effort: Effort) -> Outcome:
    state = torch.get_rng_state()
    first, second = (subject.build(start_seed=4) for _ in range(2))
    noise = subject.noise(first, 5)
    lines = "print(q(noise))  # run this twice"
    if not torch.equal(state, torch.get_rng_state()):
        return fails("building moves torch's own generator", "start", 0, None, "print(torch.rand(1))  # run this twice")
    if not all(torch.equal(ours, theirs) for ours, theirs in zip(first(noise), second(noise), strict=True)):
        return fails("two posteriors of one seed draw differently", "start", 0, noise, lines)
    return PASS


@check(
    "amortized equals free",
    proves="an amortized posterior with constant features is a free one with the numbers that its head gives",
    tolerance="1e-10 relative: the order of sums in float64",
)
def _amortized(subject: Subject, effort: Effort) -> Outcome:
    if not subject.takes_features:
        return skips("the family takes no features")
    q = subject.build("trained-like", features=F)
    features = torch.ones(1, F, dtype=torch.float64, device=subject.device)
    noise = subject.noise(q, 4)
    one, several = q(noise, features), q(noise.expand(-1, 3, -1), features.expand(3, -1))
    for name, ours, theirs in zip(("z", "ln q"), one, several, strict=True):
        if _differs(ours.expand_as(theirs), theirs):
            return fails(
                f"{name} of data points with the same features and noise differ", "trained-like", 0, None, *_SHOW
            )
    if isinstance(q, FlowPosterior):
        free = subject.build()
        base, theta = q.source(features)
        state = q.flow.state_dict(prefix="flow.") | {"source.base": base, "source.theta": theta}
        free.load_state_dict({name: state[name].detach() for name in free.state_dict()})
    else:
        q, free = subject.build(features=F), subject.build()
        one = q(noise, 0 * features)
    for name, ours, theirs in zip(("z", "ln q"), one, free(noise), strict=True):
        if _differs(ours, theirs):
            return fails(f"{name} amortized is not that of the free posterior", "trained-like", 0, None, *_SHOW)
    return PASS


_SHOW = (f"# amortized with features of width {F}, all 1, and free with the numbers of its head", "print(q)")
