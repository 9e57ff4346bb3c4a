"""Lists in forms, written as people write them: with commas, spaces or lines between the words."""

import re
from typing import Any

import orjson
from django import forms


class WordsField(forms.CharField):
    """A list of words. JSON is read too, for who pastes it."""

    def prepare_value(self, value: Any) -> Any:
        """The list as a person writes it."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The words as a list."""
        text = str(value or "").strip()
        if text.startswith("["):
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise forms.ValidationError("Write words with commas between them.") from error
        return [word for word in re.split(r"[\s,;]+", text) if word]


class PercentField(WordsField):
    """A list of whole percentages."""

    def to_python(self, value: Any) -> Any:
        """The percentages as numbers."""
        words = [str(word).removesuffix("%") for word in super().to_python(value)]
        words = [word for word in words if word]
        if not all(re.fullmatch(r"[0-9]{1,4}", word) for word in words):
            raise forms.ValidationError("Enter whole percentages, such as 50, 80, 100.")
        return [int(word) for word in words]
