"""The form in which texts are compared: two copies of one sentence have the same."""

from __future__ import annotations

import unicodedata


class _Folding(dict[int, str]):
    """Per character: nothing for invisible format characters, a space for punctuation, white space and controls."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        category = unicodedata.category(character)
        self[codepoint] = "" if category == "Cf" else " " if category[0] in "PZC" else character
        return self[codepoint]


_FOLDING = _Folding()


def normalise(text: str) -> str:
    """Return the text without differences in compatibility forms, case, punctuation and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING).split())
