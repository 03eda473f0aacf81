"""The Hugging Face client on its own, without the queue.

    HF_TOKEN=hf_... python docs/examples/hf_client.py chart.png

Any other server will do: set HF_BASE_URL to an Inference Endpoint, a local server, or the rehearsal server.
"""

import io
import sys
from pathlib import Path

from PIL import Image

from jobs.config.settings import Settings, load_settings
from worker.hf_client import (
    HFAPIError,
    HFAuthenticationError,
    HFConfig,
    HFCreditsError,
    HFModelLoadingError,
    HFModelNotFoundError,
    HFRateLimitError,
    HuggingFaceClient,
    create_text_client,
    create_vision_client,
)

PROMPT = "Describe the technical indicators in this trading chart"


def picture() -> bytes:
    """For those who have no chart at hand."""
    data = io.BytesIO()
    Image.linear_gradient("L").save(data, "PNG")
    return data.getvalue()


def four_ways(settings: Settings) -> list[HuggingFaceClient]:
    """All of them ask HF_BASE_URL if that is set, and Hugging Face's router if not (only 4 looks into `.env`)."""
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    # 1. Convenience functions, with default models that are served today.
    vision = create_vision_client(token)
    # 2. A configuration of your own.
    config = HFConfig(api_key=token, model_id=settings.vision_model, timeout=45, max_retries=3, retry_delay=2)
    custom = HuggingFaceClient(config)
    # 3. Another model is another argument; a provider may be pinned, or the cheapest taken.
    swapped = create_vision_client(token, "Qwen/Qwen2.5-VL-72B-Instruct:cheapest")
    # 4. chartq's own settings: the environment, and `.env` in the working directory.
    from_settings = create_vision_client(
        token,
        settings.vision_model,
        base_url=settings.hf_base_url,
        timeout=settings.vision_timeout_s,
        max_retries=settings.max_retries,
        retry_delay=settings.retry_delay_s,
        bill_to=settings.hf_bill_to,
    )
    return [vision, custom, swapped, from_settings]


def show_status(client: HuggingFaceClient) -> None:
    status = client.check_model_status()
    print(f"{status['model_id']}: {'available' if status['available'] else status['error']}")


def show_vision(client: HuggingFaceClient, image: bytes) -> None:
    reply = client.query_vision_model(image, PROMPT, parameters={"max_tokens": 300, "temperature": 0})
    print(f"vision: {reply['generated_text']}")
    print(f"usage: {reply.get('usage')}")


def show_text(settings: Settings) -> None:
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    with create_text_client(token, settings.reasoning_model, base_url=settings.hf_base_url) as client:
        text = client.query_text_model(
            "What does a rising wedge suggest?",
            parameters={"max_new_tokens": 500, "temperature": 0.7, "top_p": 0.9},
        )
    print(f"text: {text}")


def show_errors(settings: Settings) -> None:
    """Each kind of trouble has a class; `str()` of it is meant for people."""
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    with create_vision_client(token, "no-such/model", base_url=settings.hf_base_url, max_retries=0) as client:
        try:
            client.query_text_model("Hello?")
        except HFAuthenticationError as error:
            print(f"check the token: {error}")
        except HFCreditsError as error:
            print(f"add credits: {error}")
        except HFModelNotFoundError as error:
            print(f"take another model: {error}")
        except (HFRateLimitError, HFModelLoadingError) as error:
            print(f"again in {error.hint_s or 'some'} seconds: {error}")
        except HFAPIError as error:
            print(f"{type(error).__name__}: {error}")
        else:
            print("this server answers for any model")


def main(arguments: list[str]) -> int:
    settings = load_settings()
    image = Path(arguments[0]).read_bytes() if arguments else picture()
    clients = four_ways(settings)
    try:
        for client in clients:
            show_status(client)
        show_vision(clients[-1], image)
        show_text(settings)
        show_errors(settings)
    except HFAPIError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    finally:
        for client in clients:
            client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
