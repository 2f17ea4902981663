"""What a paper claims in words, and which stored results speak for or against it."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from nfbench.foundation.yaml_model import read_yaml
from nfbench.specification.config import Strict

_FOLDER = Path(__file__).parent / "papers"


class Falls(Strict):
    """A metric falls with every step in K of some families.

    Attributes:
        families: specs without K; the options that they name must agree with a record's.
        metric: its name.
    """

    kind: Literal["falls"]
    families: list[str] = Field(min_length=1)
    metric: str


class Below(Strict):
    """A metric of one family lies below that of another.

    Attributes:
        family: spec without K.
        than: spec of the other family without K.
        metric: its name.
        at: the other family's K; None: both have the same.
    """

    kind: Literal["below"]
    family: str
    than: str
    metric: str
    at: int | None = None


class Alike(Strict):
    """A metric of two families differs by less than a margin at equal K.

    Attributes:
        family: spec without K.
        other: spec of the other family without K.
        metric: its name.
        margin: in the metric's unit.
        longest: whether only the largest K that both have is compared.
    """

    kind: Literal["alike"]
    family: str
    other: str
    metric: str
    margin: PositiveFloat
    longest: bool = False


class Smaller(Strict):
    """A family is as good as the other's best with fewer learned numbers.

    Attributes:
        family: spec without K.
        than: spec of the other family without K.
        metric: by which as good is meant.
    """

    kind: Literal["smaller"]
    family: str
    than: str
    metric: str


class Values(Strict):
    """The values of a published table or figure are reproduced.

    Attributes:
        source: its name.
        families: specs without K of the rows that are meant.
        metric: its name.
    """

    kind: Literal["values"]
    source: str
    families: list[str] = Field(min_length=1)
    metric: str


Test = Annotated[Falls | Below | Alike | Smaller | Values, Field(discriminator="kind")]


class Claim(Strict):
    """One claim of a paper.

    Attributes:
        text: the claim, in a sentence of ours.
        place: where the paper makes it.
        experiment: whose records speak for or against it.
        figure: the published table or figure that has the paper's own numbers on it; None where none has.
        test: what must be so of the records.
    """

    text: str
    place: str
    experiment: str
    figure: str | None = None
    test: Test


class Paper(Strict):
    """A paper and its claims.

    Attributes:
        name: of its file.
        title: authors and year.
        claims: in the paper's order.
    """

    name: str
    title: str
    claims: list[Claim] = Field(min_length=1)


@cache
def papers() -> list[Paper]:
    """The papers whose claims are written down.

    Returns:
        By the names of their files.

    >>> [paper.title for paper in papers()]
    ['Rezende & Mohamed 2015']
    """
    return [read_yaml(file, Paper, {"name": file.stem}) for file in sorted(_FOLDER.glob("*.yaml"))]
