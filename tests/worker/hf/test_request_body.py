"""What is sent: JSON around an image that is encoded while it leaves."""

import base64
import json
import tracemalloc

import pytest

from worker.hf.request_body import Body, ImageToSend, chat_body, task_body

#: Sizes around the padding of base64 and the pieces that it is made in.
SIZES = (1, 2, 3, 4, 29_999, 30_000, 30_001, 100_000)


@pytest.mark.parametrize("size", SIZES)
def test_a_body_is_json_of_the_length_it_says(size: int) -> None:
    image = bytes(range(256)) * (size // 256 + 1)
    to_send = ImageToSend(lambda: image[:size])
    body = chat_body(model="org/model", prompt='say "up"', pictures=[to_send], parameters={"temperature": 0})
    sent = b"".join(body)
    assert len(sent) == len(body)
    url = json.loads(sent)["messages"][0]["content"][1]["image_url"]["url"]
    assert base64.b64decode(url.partition(",")[2], validate=True) == image[:size]


def test_a_body_may_be_sent_twice() -> None:
    times = 0

    def make() -> bytes:
        nonlocal times
        times += 1
        return b"\xff\xd8\xff" * 99

    image = ImageToSend(make)
    body = task_body(task="visual-question-answering", prompt="up?", image=image, parameters=None)
    assert list(body) == list(body)
    assert times == 2  # for the first time it was there already


def test_an_image_on_its_way_is_held_once() -> None:
    """A hundred calls that go out with images of 1 MB: no second copy of each, be it as base64."""
    data = b"\x89PNG\r\n\x1a\n" + bytes(3_000_000)
    image = ImageToSend(lambda: data)
    tracemalloc.start()
    try:
        body = chat_body(model="org/model", prompt="up?", pictures=[image], parameters=None)
        sent = sum(len(piece) for piece in body)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent == len(body) > 4_000_000
    assert peak_bytes < 1_000_000


def test_a_body_without_an_image_is_its_head() -> None:
    assert b"".join(Body([b"{}"])) == b"{}"
    assert len(Body([b"{}"])) == 2
