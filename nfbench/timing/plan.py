"""Which cases are timed: every registered family at the sizes of a profile, which are the same for all families."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.foundation.yaml_model import read_yaml
from nfbench.records.timings import Case, identity
from nfbench.specification.choices import Mode
from nfbench.specification.config import Strict
from nfbench.specification.entry import Choice
from nfbench.specification.registry import posteriors, targets
from nfbench.specification.spec import Spec, expand
from nfbench.targets.build import target
from nfbench.timing.contenders.contract import contenders, versus
from nfbench.timing.measure.clock import Protocol

_FILE = Path(__file__).parent / "profiles.yaml"

CUSTOM = "custom"  # the profile of cases whose sizes a user gave
Count = Annotated[int, Field(ge=1)]


class Sizes(Strict):
    """A product of sizes that every family is timed at, or, with `posteriors`, that those specs are.

    Attributes:
        dims: of a step these are the target's own.
        depths: K, for families that have it and specs that leave it open.
        vs: names or groups of contenders beside nfbench itself.
        posteriors: specs; every variant of every registered family if None.
        target: of steps.
    """

    modes: list[Mode] = Field(min_length=1)
    dims: list[Count] = Field(default=[2], min_length=1)
    depths: list[Annotated[int, Field(ge=0)]] = Field(default=[8], min_length=1)
    draws: list[Annotated[int, Field(ge=0)]] = Field(default=[1000], min_length=1)
    batches: list[Count] = Field(default=[1], min_length=1)
    seeds: list[Count] = Field(default=[1], min_length=1)
    amortized: bool = False
    vs: list[str] = Field(default=[])
    posteriors: list[str] | None = Field(default=None, min_length=1)
    target: str | None = None


class Profile(Strict):
    """How thoroughly is measured, and what."""

    protocol: Protocol = Protocol()
    sizes: list[Sizes] = Field(min_length=1)


class Profiles(Strict):
    """The packaged file."""

    profiles: dict[str, Profile] = Field(min_length=1)


class Where(NamedTuple):
    """Profile, torch device, dtype and threads of torch: the same for all cases of a run.

    Attributes:
        profile: its name.
        device: of torch.
        dtype: ``float32`` or ``float64``.
        threads: of torch.
    """

    profile: str
    device: str
    dtype: str
    threads: int


class Planned(NamedTuple):
    """A case, the family it is of, and the contenders to run on it.

    Attributes:
        case: what is timed.
        choice: the family with its options.
        versus: names of contenders, nfbench first.
    """

    case: Case
    choice: Choice
    versus: list[str]


def profile(name: str) -> Profile:
    """A packaged profile.

    Args:
        name: such as ``quick``.

    Returns:
        How thoroughly is measured, and at which sizes.

    Raises:
        InputError: there is none of that name.
    """
    known = read_yaml(_FILE, Profiles).profiles
    if name not in known:
        raise unknown("timing profile", name, known)
    return known[name]


def narrowed(sizes: Iterable[Sizes], modes: Sequence[Mode]) -> list[Sizes]:
    """The sizes with those modes only; all modes if none is named.

    Args:
        sizes: of a profile.
        modes: that are wanted.

    Returns:
        Those sizes that have such a mode.

    Raises:
        InputError: nothing is left.
    """
    sizes = list(sizes)
    rest = [
        product.model_copy(update={"modes": left})
        for product in sizes
        if (left := [mode for mode in product.modes if not modes or mode in modes])
    ]
    if not rest:
        known = dict.fromkeys(mode for product in sizes for mode in product.modes)
        raise InputError(f"no case of mode {', '.join(modes)} in this profile; it has: {', '.join(known)}")
    return rest


def plan(
    sizes: Iterable[Sizes], where: Where, *, specs: Sequence[str] | None = None, vs: Sequence[str] | None = None
) -> list[Planned]:
    """The cases in order, each once.

    Args:
        sizes: of the profile, or a user's own.
        where: what the cases have in common.
        specs: posteriors in place of all those that `sizes` mean.
        vs: contenders in place of those that `sizes` name.

    Returns:
        Each case with its contenders.

    Raises:
        InputError: unknown posterior, target or contender.
    """
    planned: dict[str, Planned] = {}
    for product in sizes:
        names = versus(product.vs if vs is None else vs)
        for case, choice in _cases(product, where, specs):
            key = identity(case, "")
            earlier = planned[key].versus if key in planned else []
            planned[key] = Planned(case, choice, [name for name in contenders() if name in {*earlier, *names}])
    return list(planned.values())


def _cases(sizes: Sizes, where: Where, specs: Sequence[str] | None) -> list[tuple[Case, Choice]]:
    target_spec = None
    if "step" in sizes.modes:
        if sizes.target is None:
            raise InputError("a timed step needs a target, got none; expected e.g. u1")
        target_spec = str(targets.choose(sizes.target))
    cases = []
    for mode in sizes.modes:
        step = mode == "step"
        for dim, draws, batch, seeds in _product(sizes, target(target_spec).dim if step and target_spec else None):
            for choice in _choices(sizes, specs):
                case = Case(
                    mode=mode,
                    posterior=str(choice),
                    dim=dim,
                    draws=draws,
                    batch=batch,
                    amortized=sizes.amortized,
                    target=target_spec if step else None,
                    seeds=seeds if step else 1,
                    **where._asdict(),
                )
                cases.append((case, choice))
    return cases


def _product(sizes: Sizes, dim: int | None) -> list[tuple[int, int, int, int]]:
    """(D, S, B, E); D is `dim` where a target has it."""
    return [
        (size, draws, batch, seeds)
        for size in (sizes.dims if dim is None else [dim])
        for draws in sizes.draws
        for batch in sizes.batches
        for seeds in (sizes.seeds if dim is not None else [1])
    ]


def _choices(sizes: Sizes, specs: Sequence[str] | None) -> list[Choice]:
    """The posteriors at every depth, without repetition: a family without depth comes once."""
    every = [variant for entry in posteriors if entry.library is None for variant in entry.variants()]
    asked = [spec for text in specs or sizes.posteriors or every for spec in expand(text)]
    chosen = [posteriors.choose(spec) for depth in sizes.depths for spec in (_at(spec, depth) for spec in asked)]
    return list({str(choice): choice for choice in chosen}.values())


def _at(spec: Spec, depth: int) -> Spec:
    """The spec with K, where the family has a depth and the spec leaves it open."""
    if not posteriors[spec.name].has_depth or "K" in dict(spec.options):
        return spec
    return Spec(spec.name, (*spec.options, ("K", str(depth))))
