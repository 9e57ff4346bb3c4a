"""Text that is masked while it comes."""

import pytest

from accounting.masking import Masker
from llmgateway.playground.live_mask import LiveMask

SECRET = "planted-credential-0123456789"
SHAPED = "sk-or-v1-0123456789abcdef0123456789abcdef"


def through(text: str, size: int, *, secrets=(SECRET,)) -> tuple[str, list[str]]:
    mask = LiveMask(Masker((), secrets))
    shown = [mask.feed(text[at : at + size]) for at in range(0, len(text), size)]
    shown.append(mask.finish())
    return "".join(shown), shown


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 11, 1000])
@pytest.mark.parametrize("secret", [SECRET, SHAPED], ids=["known", "shaped"])
def test_a_secret_is_not_seen_however_it_is_cut(size, secret):
    text, pieces = through(f"It is {secret} – keep it. Ä ö 漢字 end", size)

    assert secret not in text
    assert "[masked]" in text
    assert text.startswith("It is ")
    assert text.endswith("– keep it. Ä ö 漢字 end")
    for at in range(len(pieces)):
        assert secret[:12] not in "".join(pieces[: at + 1])


@pytest.mark.parametrize("size", [1, 5, 100])
def test_plain_text_comes_whole_and_most_of_it_at_once(size):
    said = "The quick brown fox jumps over 漢字 and more. " * 3
    text, pieces = through(said, size)

    assert text == said
    assert len("".join(pieces[:-1])) >= len(said) - 8
