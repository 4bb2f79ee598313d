"""Normalisation of texts for comparison."""

import unicodedata


class _Folding(dict[int, str]):
    """A map of invisible format characters to nothing, and of punctuation, white space and controls to a space."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        category = unicodedata.category(character)
        self[codepoint] = "" if category == "Cf" else " " if category[0] in "PZC" else character
        return self[codepoint]


_FOLDING = _Folding()


def normalise(text: str) -> str:
    """Return the text with normalised compatibility forms, case and white space, without punctuation."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING).split())
