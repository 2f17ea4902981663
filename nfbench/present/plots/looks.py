"""The colour, mark and line of every family: the hue is its kind's, the rest is its place among those of its kind."""

import functools
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from nfbench.specification.choices import KINDS, Kind
from nfbench.specification.registrations import Registration, registrations
from nfbench.specification.spec import Spec, parse

Colour = tuple[float, float, float]
Line = str | tuple[int, tuple[float, ...]]  # matplotlib's name of a line style, or an offset and lengths on and off
_CONTRAST = 4.5  # of text, what WCAG 2 asks for at level AA
MARKS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "h", "d", "*", "8")
LINES: tuple[Line, ...] = ("-", (0, (6, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (2, 1)), (0, (8, 1.5, 2, 1.5)), (0, (1, 1)))
HUES: dict[Kind, str] = {  # at least 25 apart in CIELAB for every kind of colour vision, see the tests
    "gaussian": "#181818",
    "heavy-tailed": "#946b00",
    "mixture": "#8cb96a",
    "linear": "#a256e3",
    "residual": "#262feb",
    "coupling": "#e6a00e",
    "autoregressive": "#1f7f51",
    "continuous": "#ba4392",
    "auxiliary": "#711700",
    "other": "#46bae6",
}
_BRIGHT, _DARKER, _LIGHTER = 0.25, 0.55, 0.4  # luminance above which the second shade is darker; factors of both ways
_SHADES = 2
_STRANGERS = len(MARKS) * len(LINES)


class Look(NamedTuple):
    """How a family is drawn, in every figure of every report alike.

    Attributes:
        colour: red, green and blue, each from 0 to 1: one of two shades of the hue of its kind.
        mark: a marker of matplotlib.
        line: a line style of matplotlib, for pictures in which the line has no other meaning.
    """

    colour: Colour
    mark: str
    line: Line


def kind_of(family: str) -> Kind:
    """The kind of a family, by which pictures group and colour it.

    Args:
        family: spec, with or without K.

    Returns:
        What its registration says; ``other`` for a family that nobody registers.

    >>> kind_of("nice:mixing=permutation,K=8"), kind_of("zuko:nsf"), kind_of("mine")
    ('coupling', 'autoregressive', 'other')
    """
    registered = registrations().get(parse(family).name)
    return registered.kind if registered else "other"


def hue(kind: Kind) -> Colour:
    """The colour of a kind, that of its first family too.

    Args:
        kind: one of `nfbench.specification.choices.KINDS`.

    Returns:
        Red, green and blue, each from 0 to 1.
    """
    text = HUES[kind]
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def look(family: str) -> Look:
    """The look of one family, from its name and the registrations alone.

    The families of a kind take its looks in turn, a family with a choice of words in its options (such as ``mixing``)
    one for each. Other options that are not at their defaults change the mark. A family that nobody registers has the
    hue of ``other``, shade, mark and line by a hash of its spec.

    Args:
        family: canonical spec without K.

    Returns:
        Its colour, mark and line.

    >>> look("planar").colour == look("radial").colour, look("mine") == look("mine")
    (False, True)
    """
    spec = parse(family)
    digest = int.from_bytes(hashlib.sha256(str(spec).encode()).digest()[:8])
    registered = registrations().get(spec.name)
    if registered is None:
        return _in_turn("other", len(_turns()["other"]) + digest % _STRANGERS, digest)
    options = {**registered.defaults, **dict(spec.options)}
    variant = str(Spec(spec.name, tuple((name, options[name]) for name in registered.choices)))
    turns = _turns()[registered.kind]
    place = turns.index(variant) if variant in turns else digest % len(turns)
    changed = any(options[name] != registered.defaults.get(name) for name in set(options) - set(registered.choices))
    return _in_turn(registered.kind, place, 1 + digest % (len(MARKS) - 1) if changed else 0)


def looks(families: Iterable[str]) -> dict[str, Look]:
    """The looks of several families, no two alike.

    Args:
        families: canonical specs without K, in any order, repeated or not.

    Returns:
        The look of each family by its spec. That of one does not depend on the others, but where a hash gave two the
        same look: then the later one by name has the next mark that is free.
    """
    shown: dict[str, Look] = {}
    for name in sorted(set(families)):
        own = look(name)
        first = MARKS.index(own.mark)
        tries = (own._replace(mark=MARKS[(first + step) % len(MARKS)]) for step in range(len(MARKS)))
        taken = {(each.colour, each.mark) for each in shown.values()}
        shown[name] = next((each for each in tries if (each.colour, each.mark) not in taken), own)
    return shown


def ink(colour: Colour) -> Colour:
    """A shade of a colour in which text can be read on white: its contrast is at least 4.5.

    Args:
        colour: red, green and blue, each from 0 to 1.

    Returns:
        The colour itself where it is dark enough.

    >>> ink((0.0, 0.0, 0.0)), all(part < 1 for part in ink((1.0, 0.8, 0.0)))
    ((0.0, 0.0, 0.0), True)
    """
    share = 1.0
    while 1.05 / (_luminance(share, colour) + 0.05) < _CONTRAST:
        share -= 0.02
    red, green, blue = (share * part for part in colour)
    return red, green, blue


def _luminance(share: float, colour: Colour) -> float:
    """Of the colour whose parts are so large a share, as WCAG 2 defines it."""
    parts = [share * part for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@functools.cache
def _turns() -> dict[Kind, list[str]]:
    """By kind the variants of its families in the order in which they take looks."""
    turns: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for registered in registrations().values():
        turns[registered.kind] += _usual_first(registered)
    return turns


def _usual_first(registered: Registration) -> list[str]:
    """The variants of a family, that of the default options first."""
    usual = str(Spec(registered.name, tuple((name, registered.defaults[name]) for name in registered.choices)))
    return sorted(registered.variants(), key=lambda variant: variant != usual)


def _in_turn(kind: Kind, place: int, more: int) -> Look:
    """The look of a place among the families of a kind, its mark moved on by `more`."""
    shade, turn = place % _SHADES, place // _SHADES
    mark = KINDS.index(kind) + place + place // len(MARKS) + more
    return Look(_shades(kind)[shade], MARKS[mark % len(MARKS)], LINES[turn % len(LINES)])


@functools.cache
def _shades(kind: Kind) -> tuple[Colour, Colour]:
    """The hue of a kind, and a shade that is seen beside it: darker of a bright one, lighter of a dark one."""
    first = hue(kind)
    red, green, blue = first
    bright = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > _BRIGHT
    red, green, blue = (_DARKER * part if bright else part + _LIGHTER * (1 - part) for part in first)
    return first, (red, green, blue)
