"""The colour, mark and line of every family: fixed by its name, whatever else is in a picture or a report."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import seaborn as sns

from nfbench.specification.spec import parse

Line = str | tuple[int, tuple[float, ...]]  # matplotlib's name of a line style, or an offset and lengths on and off
_DARKER = 0.6  # factor on red, green and blue of the second ten colours
_COLOURS = 20
_MARKS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "h", "d", "*", "8")
_LINES: tuple[Line, ...] = ("-", (0, (6, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (2, 1)), (0, (8, 1.5, 2, 1.5)), (0, (1, 1)))

# Colour, mark and line by number. A line is a kind's: single-unit maps, Gaussian-like, couplings, autoregressive maps,
# continuous and Hamiltonian ones; options that differ change the mark. A family keeps its numbers for ever.
_LISTED = {
    "gaussian": (0, 0, 1),
    "nice:mixing=orthogonal": (1, 1, 2),
    "nice:mixing=permutation": (2, 2, 2),
    "nice": (2, 2, 2),
    "planar": (3, 3, 0),
    "radial": (4, 4, 0),
    "full-covariance": (5, 1, 1),
    "low-rank": (6, 2, 1),
    "mixture": (7, 3, 1),
    "student-t": (8, 4, 1),
    "householder": (9, 5, 0),
    "sylvester": (10, 6, 0),
    "linear-iaf": (11, 7, 3),
    "realnvp": (12, 8, 2),
    "nsf": (13, 9, 2),
    "glow": (14, 10, 2),
    "iaf": (15, 11, 3),
    "maf": (16, 12, 3),
    "bnaf": (17, 13, 3),
    "umnn": (18, 0, 3),
    "naf": (19, 1, 3),
    "cnf": (0, 6, 4),
    "ffjord": (1, 7, 4),
    "hvi": (2, 8, 5),
    "uha": (3, 9, 5),
    "mcd": (4, 10, 5),
    "ldvi": (5, 11, 5),
    "semi-implicit": (6, 12, 5),
    "residual": (7, 13, 0),
    "convex-potential": (8, 0, 4),
}
_USUAL = {("hidden", "32")}  # options that change no mark


class Look(NamedTuple):
    """How a family is drawn, in every figure of every report alike.

    Attributes:
        colour: red, green and blue, each from 0 to 1; the first ten are safe for colour-blind readers.
        mark: a marker of matplotlib.
        line: a line style of matplotlib, for pictures in which the line has no other meaning.
    """

    colour: tuple[float, float, float]
    mark: str
    line: Line


def look(family: str) -> Look:
    """The look of one family, from its name alone.

    Families of `nfbench` and those planned have a place in a list. Any other has colour, mark and line by a hash of its
    spec, and so has the mark of a listed family whose options the list does not name.

    Args:
        family: canonical spec without K.

    Returns:
        One of 20 colours, 14 marks and 6 lines.

    >>> look("planar").mark, look("planar") == look("radial"), look("mine") == look("mine")
    ('^', False, True)
    """
    spec = parse(family)
    digest = hashlib.sha256(str(spec).encode()).digest()
    colour, mark, line = (int.from_bytes(digest[at : at + 4]) for at in (0, 4, 8))
    for listed, numbers in _LISTED.items():  # the most special ones first
        known = parse(listed)
        if known.name == spec.name and set(known.options) <= set(spec.options):
            more = set(spec.options) - set(known.options) - _USUAL
            colour, listed_mark, line = numbers
            mark = mark if more else listed_mark
            break
    return Look(_palette()[colour % _COLOURS], _MARKS[mark % len(_MARKS)], _LINES[line % len(_LINES)])


def looks(families: Iterable[str]) -> dict[str, Look]:
    """The looks of several families.

    Args:
        families: canonical specs without K, in any order, repeated or not.

    Returns:
        The look of each family by its spec; that of one does not depend on the others.
    """
    return {name: look(name) for name in sorted(set(families))}


def _palette() -> list[tuple[float, float, float]]:
    """Ten colours that colour-blind readers can tell apart, then the same ten darker."""
    first: list[Any] = list(sns.color_palette("colorblind", _COLOURS // 2))
    darker = [tuple(_DARKER * part for part in colour) for colour in first]
    return [*first, *darker]
