import pytest

from conversion.usage import Usage


@pytest.mark.parametrize(
    ("usage", "uncached"),
    [
        (Usage(), None),
        (Usage(cache_read_tokens=5), None),
        (Usage(prompt_tokens=100), 100),
        (Usage(prompt_tokens=100, cache_read_tokens=60, cache_write_tokens=30), 10),
        (Usage(prompt_tokens=10, cache_read_tokens=60), 0),
    ],
)
def test_uncached_prompt_is_what_is_left(usage, uncached):
    assert usage.uncached_prompt_tokens == uncached
