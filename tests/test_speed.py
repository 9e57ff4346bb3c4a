"""CPU of a request and of an event, as a ratio to the bare pass-through's in the same run: not above its bar.

The bars are what was measured, and a fifth: 100 us more for each small request are seen. On a machine on which other things
run it takes more rounds until both have had one that was left alone; docs/contributors/performance.md says how to tighten them.
"""

import pytest

from benchmarks import ratios

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

ROUNDS_MIN, ROUNDS_MAX = 3, 60
SCALE = 0.15

BARS = {
    "small, whole": 2.4,
    "100 events, converted": 2.8,
    "100 events, same dialect": 2.2,
    "150 kB Claude Code body": 5.0,
}


@pytest.fixture(scope="module")
def beside():
    with ratios.all_servers(limits=True, litellm=False) as running:
        yield running


@pytest.mark.parametrize("name", BARS)
def test_cpu_beside_the_pass_through_is_within_its_bar(beside, name):
    [case] = [case for case in ratios.cases(SCALE) if case.name == name]

    figure = beside.run(case, ROUNDS_MIN)
    # What others do on the machine can only add: more rounds come nearer to what it takes alone.
    while figure.ratio > BARS[name] and len(figure.gateway.cpu_us) < ROUNDS_MAX:
        beside.add_round(figure)

    print(figure)  # noqa: T201  (pytest -rP shows it, to tighten the bars by)
    assert figure.ratio <= BARS[name], str(figure)
