"""What a chart's tokens cost, by the server's catalogue. Who can't be told goes on without."""

from collections.abc import Sequence
from dataclasses import replace

from jobs.config.settings import Settings
from jobs.core.job import Question
from jobs.core.money import Price
from worker.hf.catalogue import ModelInfo
from worker.hf.client import HuggingFaceClient
from worker.hf.errors import HFAPIError
from worker.hf.from_settings import client_config

#: Seconds for one look at the catalogue: a plan is worth no more waiting.
_TIMEOUT_S = 3.0


def prices_of(settings: Settings, question: Question) -> Sequence[Price]:
    """The prices of those who may answer; empty if nobody tells. One look at the catalogue, no retries."""
    if settings.rehearsal or question.api == "task":  # a stand-in's prices are made up, classic pages have none
        return ()
    try:
        with HuggingFaceClient(replace(client_config(settings), timeout=_TIMEOUT_S)) as client:
            return chargeable(client.model_info(question.model), question.model)
    except HFAPIError:
        return ()


def chargeable(info: ModelInfo, model: str) -> list[Price]:
    """The prices of the live providers that the router may choose for `model`: of a pinned one only its own."""
    choice = model.rpartition(":")[2]
    live = info.live_providers
    pinned = [provider for provider in live if provider.name == choice]
    prices = [
        Price(input_usd_per_m=provider.input_usd_per_m, output_usd_per_m=provider.output_usd_per_m)
        for provider in pinned or live
        if provider.input_usd_per_m is not None and provider.output_usd_per_m is not None
    ]
    if choice == "cheapest" and prices:
        return [min(prices, key=lambda price: (price.input_usd_per_m, price.output_usd_per_m))]
    return prices
