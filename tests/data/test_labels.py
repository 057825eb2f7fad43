"""Targets from names: patterns as a regular expression would match them, and the order of classes."""

from __future__ import annotations

import re
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiofeed.data.listing.labels import NamePattern
from audiofeed.data.targets.classes import index_classes

LITERAL = st.text("ab_", max_size=2)


@given(
    st.lists(LITERAL, min_size=2, max_size=6).map(
        lambda texts: (
            texts[0] + "".join(f"{{{name}}}{text}" for name, text in zip(["target", *"bcde"], texts[1:], strict=False))
        )
    ),
    st.text("ab_", max_size=14),
)
def test_a_pattern_splits_a_name_as_lazy_groups_do(pattern, stem):
    expression = "".join(
        re.escape(text) + ("" if name is None else f"(?P<{name}>.+?)") for text, name, *_ in Formatter().parse(pattern)
    )
    found = re.fullmatch(expression, stem, re.DOTALL)
    assert NamePattern(pattern).match(stem) == (None if found is None else found.groupdict())


class CountedStem(str):
    """A name that counts the searches in it."""

    searches = 0

    def find(self, *arguments):
        type(self).searches += 1
        return super().find(*arguments)


@pytest.mark.parametrize(
    ("pattern", "stem", "found"),
    [
        ("{target}_{a}_{b}_{c}_{d}_x", "_" * 250, False),
        ("{target}_{a}_{b}_{c}_{d}-{e}", "a_" * 120, False),
        ("{target}{a}{b}{c}{d}", "x" * 250, True),
        ("{target}ab{a}ab{b}ab{c}abb{d}", "ab" * 125, False),
    ],
)
def test_a_long_name_is_searched_once_for_each_literal(pattern, stem, found):
    CountedStem.searches = 0
    assert (NamePattern(pattern).match(CountedStem(stem)) is not None) == found
    assert CountedStem.searches <= 5


def test_names_of_digits_sort_as_numbers_however_long():
    assert index_classes(["10", "9", "-1"])[1] == ["-1", "9", "10"]
    long = "9" * 5000
    assert index_classes(["10", "9", long])[1] == ["10", "9", long]  # as text: an integer of 5000 digits is refused
