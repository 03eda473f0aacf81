"""GET: which models are served, in the router's and the classic format."""

from typing import Any

from worker.rehearsal.behaviour import Behaviour
from worker.rehearsal.reply import Reply, error_reply, json_reply

#: Listed when the behaviour names no models.
_SHOWN = ("Qwen/Qwen3-VL-30B-A3B-Instruct", "Qwen/Qwen2.5-VL-72B-Instruct", "meta-llama/Llama-3.1-8B-Instruct")
_TEXT_ONLY = ("meta-llama/Llama-3.1-8B-Instruct",)


def list_models(behaviour: Behaviour) -> Reply:
    names = _SHOWN if behaviour.models is None else behaviour.models
    return json_reply({"object": "list", "data": [_entry(name) for name in names]})


def router_model(name: str, behaviour: Behaviour) -> Reply:
    model_id = name.partition(":")[0]
    if not is_served(model_id, behaviour):
        return error_reply(404, f"The model '{model_id}' does not exist", "model_not_found")
    return json_reply(_entry(model_id))


def task_model(model_id: str, behaviour: Behaviour) -> Reply:
    """The classic status of a model."""
    if not is_served(model_id, behaviour):
        return json_reply({"error": "Not Found: Model not found"}, 404)
    return json_reply({"id": model_id, "loaded": True, "state": "Loaded", "framework": "rehearsal"})


def is_served(model_id: str, behaviour: Behaviour) -> bool:
    return behaviour.models is None or model_id in behaviour.models


def _entry(model_id: str) -> dict[str, Any]:
    return {
        "id": model_id,
        "object": "model",
        "created": 1767225600,
        "owned_by": model_id.partition("/")[0],
        "architecture": {
            "input_modalities": ["text"] if model_id in _TEXT_ONLY else ["text", "image"],
            "output_modalities": ["text"],
        },
        "providers": [
            {
                "provider": "rehearsal",
                "status": "live",
                "context_length": 131072,
                "pricing": {"input": 0.15, "output": 0.6},
                "supports_tools": False,
                "supports_structured_output": True,
                "is_model_author": False,
            }
        ],
    }
