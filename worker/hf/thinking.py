"""What a model thinks aloud is no part of its answer. Pure."""

_THINK = ("<think>", "</think>")

#: Models' own words for it; only what an answer begins with is taken for such.
_OTHERS = (
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),  # Gemini
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<seed:think>", "</seed:think>"),
)


def without_thinking(text: str) -> str:
    """`text` without its `<think>...</think>` parts, or those of another model's kind.

    A `</think>` that was never opened ends a leading part (templates open it in the prompt); a leading part
    that is never closed was cut off, and nothing follows it. Linear, whatever a server makes up.
    """
    begins = text.lstrip()
    think, think_end = next((pair for pair in _OTHERS if begins.startswith(pair[0])), _THINK)
    kept, position = [], 0
    first_end, first_start = text.find(think_end), text.find(think)
    if first_end >= 0 and not 0 <= first_start < first_end:
        position = first_end + len(think_end)
    while (start := text.find(think, position)) >= 0:
        end = text.find(think_end, start)
        if end < 0:
            break
        kept.append(text[position:start])
        position = end + len(think_end)
    kept.append(text[position:])
    answer = "".join(kept)
    return "" if answer.lstrip().startswith(think) else answer
