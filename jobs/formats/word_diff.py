"""Where two answers differ, word by word."""

import re
from difflib import SequenceMatcher

#: Words and signs, each with the white space behind it.
_WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")

#: Longer answers are shown unmarked: the comparison's cost grows with the product of both lengths.
_MOST_WORDS = 500

#: Less alike than this, marking nearly everything helps nobody.
_LEAST_ALIKE = 0.3

#: A piece of an answer, and whether the other one lacks it.
Piece = tuple[str, bool]


def pieces(a: str, b: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut into pieces; joined they are the texts again."""
    a_words, b_words = _WORD.findall(a), _WORD.findall(b)
    if max(len(a_words), len(b_words)) > _MOST_WORDS:
        return [(a, False)], [(b, False)]
    matcher = SequenceMatcher(None, _folded(a_words), _folded(b_words), autojunk=False)
    if matcher.ratio() < _LEAST_ALIKE:
        return [(a, False)], [(b, False)]
    a_pieces: list[Piece] = []
    b_pieces: list[Piece] = []
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        _add(a_pieces, a_words[a_from:a_to], tag != "equal")
        _add(b_pieces, b_words[b_from:b_to], tag != "equal")
    return a_pieces, b_pieces


def _folded(words: list[str]) -> list[str]:
    return [word.casefold().strip() for word in words]


def _add(pieces: list[Piece], words: list[str], differs: bool) -> None:
    text = "".join(words)
    marked = text.rstrip()
    pieces += [piece for piece in ((marked, differs), (text[len(marked) :], False)) if piece[0]]
