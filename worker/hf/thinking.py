"""What a model thinks aloud is no part of its answer. Pure."""

_THINK, _THINK_END = "<think>", "</think>"


def without_thinking(text: str) -> str:
    """`text` without its `<think>...</think>` parts.

    A `</think>` that was never opened ends a leading part (templates open it in the prompt); a leading part
    that is never closed was cut off, and nothing follows it. Linear, whatever a server makes up.
    """
    kept, position = [], 0
    first_end, first_start = text.find(_THINK_END), text.find(_THINK)
    if first_end >= 0 and not 0 <= first_start < first_end:
        position = first_end + len(_THINK_END)
    while (start := text.find(_THINK, position)) >= 0:
        end = text.find(_THINK_END, start)
        if end < 0:
            break
        kept.append(text[position:start])
        position = end + len(_THINK_END)
    kept.append(text[position:])
    answer = "".join(kept)
    return "" if answer.lstrip().startswith(_THINK) else answer
