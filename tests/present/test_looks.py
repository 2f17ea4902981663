"""Colours, marks and lines of families: their own, told apart by everybody, the same in every picture."""

import subprocess
import sys

import numpy as np
import pytest

from nfbench.present.plots.looks import HUES, hue, kind_of, look, looks
from nfbench.specification.choices import KINDS
from nfbench.specification.registry import posteriors

FAMILIES = ["gaussian", "planar", "radial", "nice:mixing=permutation", "nice:mixing=orthogonal"]


def test_colours_do_not_depend_on_order():
    """A family has one colour and mark whatever the order of rows, and no two share both."""
    names = ["radial", "planar", "nice:mixing=orthogonal", "nice:mixing=permutation", *"abcdefgh"]
    assert looks(names) == looks(reversed(names))
    assert len(set(looks(names).values())) == len(names)


def test_a_family_looks_the_same_whatever_else_is_shown():
    """Colour, mark and line are a family's own: they do not change when others join it or leave."""
    every = looks(FAMILIES)
    for name in FAMILIES:
        assert looks([name])[name] == every[name]
        assert looks(["another:n=3", *FAMILIES[1:], name])[name] == every[name]


def test_every_registered_family_can_be_told_apart():
    """No two variants of registered families share colour and mark; the hue of each is that of its registered kind."""
    variants = {variant: entry.declared.kind for entry in posteriors for variant in entry.variants()}
    assert len(variants) > 40
    drawn = {variant: look(variant) for variant in variants}
    assert len({(each.colour, each.mark) for each in drawn.values()}) == len(variants)
    assert all(kind_of(variant) == kind for variant, kind in variants.items())
    for kind in set(variants.values()):
        shades = {drawn[variant].colour for variant in variants if variants[variant] == kind}
        assert len(shades) <= 2
        assert hue(kind) in shades


def test_families_that_nobody_registers_have_looks():
    """Forty of them have the hue of `other` and looks of their own, the same in any process."""
    strangers = [f"family-{number}" for number in range(40)]
    drawn = looks(strangers)
    assert len({(each.colour, each.mark) for each in drawn.values()}) >= 28  # two shades of 14 marks
    assert len(set(drawn.values())) >= 38
    assert {kind_of(name) for name in strangers} == {"other"}
    assert hue("other") in {each.colour for each in drawn.values()}
    code = "from nfbench.present.plots.looks import look; print([look(f'family-{n}') for n in range(40)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([look(name) for name in strangers])


SEEN = {  # linear red, green and blue as a reader without one kind of cone sees them (Machado et al. 2009)
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colours, cones):
    """CIELAB of colours (N, 3) from 0 to 1 as seen with these cones."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    parts = np.clip(linear @ np.array(cones).T, 0, 1) @ np.array(xyz).T / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(parts > 0.008856, np.cbrt(parts), 7.787 * parts + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("cones", SEEN.values(), ids=SEEN)
def test_kinds_have_colours_that_everybody_can_tell_apart(cones):
    """Any two hues are at least 25 apart in CIELAB (2 can just be seen), with any cones; every kind has one."""
    assert set(HUES) == set(KINDS)
    seen = lab(np.array([hue(kind) for kind in KINDS]), cones)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert apart[np.triu_indices(len(KINDS), 1)].min() >= 25


def test_options_of_a_family_change_its_mark_only():
    """An option that is no choice of words changes the mark; its default, written out or not, changes nothing."""
    first, second = look("realnvp:hidden=32"), look("realnvp:hidden=64")
    assert (first.colour, first.line) == (second.colour, second.line)
    assert first.mark != second.mark
    assert first == look("realnvp")
    assert look("nice:mixing=permutation,hidden=32") == look("nice") != look("nice:mixing=orthogonal")
