"""Rows keep the servers' own words of why a model stopped; what they mean is the same however they are spelled."""

import pytest

from jobs.core.finish_reason import is_cut_off


@pytest.mark.parametrize(
    ("reason", "cut"),
    [
        *((reason, True) for reason in ("length", "MAX_TOKENS", "FINISH_REASON_MAX_TOKENS", "FinishReason.MAX_TOKENS")),
        *((reason, True) for reason in ("incomplete", "num_predict", "ERROR_LIMIT", "max_output_tokens")),
        *((reason, True) for reason in ("model_length", "maxTokens", "StopReason.max-tokens")),
        *((reason, False) for reason in (None, "", "stop", "eos_token", "content_filter", "FINISH_REASON_STOP")),
    ],
)
def test_an_answer_that_was_cut_off_is_known_in_every_spelling(reason: str | None, cut: bool) -> None:
    assert is_cut_off(reason) is cut
