"""What is fuzzed holds for all seeds, and for some chance bytes; ``make fuzz`` looks longer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.__main__ import NAMES
from fuzz.seeds import seeds_of
from fuzz.targets import TARGETS


def test_every_target_can_be_run():
    assert tuple(TARGETS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_for_all_seeds(name):
    seeds = list(seeds_of(name))
    assert seeds
    for seed in seeds:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_it_holds_for_seeds_with_damage(name, data):
    seed = data.draw(st.sampled_from(list(seeds_of(name))[:40]))
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(len(seed), start + 40)))
    TARGETS[name](seed[:start] + data.draw(st.binary(max_size=20)) + seed[end:])
