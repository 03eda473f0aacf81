"""worker.engine.shared_pictures: several models are shown one picture, and each its question's own."""

import base64
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.executions import job_about, started_job, task_of
from support.hf_server import Scripted, ScriptedServer, chat_reply
from support.stack import PATIENCE_S

from jobs.core.errors import ImageError
from jobs.core.job import Question, subject_of
from jobs.core.places import join_pictures
from jobs.ledger import StartedJob
from worker.engine.execute import ChartChangedError
from worker.engine.shared_pictures import Made, PictureKey, SharedPictures
from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig

MB = 1_000_000

#: Bytes that a picture may have, by the model that is asked.
LIMITS = {"org/a": 3 * MB, "org/b": 9_000, "org/c": 3 * MB}


def key(name: str, max_side: int = 2048) -> PictureKey:
    return PictureKey(name, max_side, 3 * MB)


def made(size: int = 100, *, changed: bool = True) -> Made:
    return bytes(size), {"changed": changed}


def shared() -> SharedPictures:
    """Two models have asked about a chart: so it shows that they share."""
    pictures = SharedPictures()
    for question in ("first", "second"):
        pictures.get(key("a"), question, made)
    return pictures


def kept_bytes(pictures: SharedPictures) -> int:
    return sum(len(entry.made[0]) for entry in pictures._entries.values() if entry.made)


def never() -> Made:
    raise AssertionError("it was made before")


def test_those_who_ask_while_it_is_made_wait_for_it_and_it_is_made_once() -> None:
    pictures, all_ask, times = shared(), threading.Barrier(5, timeout=PATIENCE_S), []

    def slowly() -> Made:
        times.append(1)
        time.sleep(0.1)
        return made()

    def ask(model: int) -> Made:
        all_ask.wait()
        return pictures.get(key("b"), f"model {model}", slowly)

    with ThreadPoolExecutor(5) as pool:
        assert len({id(one) for one in pool.map(ask, range(5))}) == 1
    assert times == [1]


def test_others_dont_wait_for_it() -> None:
    pictures = SharedPictures()
    pictures.get(key("a"), "first", lambda: pictures.get(key("b"), "second", made))


def test_what_one_model_asks_about_is_not_kept_however_often() -> None:
    pictures = SharedPictures()
    for number in range(200):
        pictures.get(key(str(number)), "model", made)
        pictures.get(key(str(number)), "model", made)  # the connection had broken
        assert kept_bytes(pictures) == 0


def test_a_second_model_finds_what_was_made_for_the_first() -> None:
    pictures = shared()
    first = [pictures.get(key(str(number)), "first", made) for number in range(10)]
    assert [pictures.get(key(str(number)), "second", never) for number in range(10)] == first


def test_other_limits_or_another_file_are_another_picture() -> None:
    pictures = shared()
    assert pictures.get(key("a", 1024), "second", lambda: made(7)) == made(7)
    assert pictures.get(key("b"), "second", lambda: made(8)) == made(8)


@pytest.mark.parametrize("size", [100_000, 3 * MB, 20 * MB])
def test_what_is_kept_is_bounded_in_bytes(size: int) -> None:
    pictures = SharedPictures()
    for number in range(100):
        for question in ("first", "second"):
            assert len(pictures.get(key(str(number)), question, lambda: made(size))[0]) == size
            assert kept_bytes(pictures) <= 8 * MB


def test_all_goes_once_one_model_is_left() -> None:
    pictures = shared()
    for number in range(70):
        pictures.get(key(str(number)), "first", made)
    assert kept_bytes(pictures) == 0


def test_what_goes_out_as_it_came_is_not_kept() -> None:
    pictures = SharedPictures()
    for question in ("first", "second"):
        pictures.get(key("a"), question, lambda: made(changed=False))
    assert kept_bytes(pictures) == 0


@pytest.mark.parametrize("error", [ImageError("damaged"), MemoryError()])
def test_where_one_fails_the_next_one_tries(error: Exception) -> None:
    def fails() -> Made:
        raise error

    pictures = SharedPictures()
    with pytest.raises(type(error)):
        pictures.get(key("a"), "first", fails)
    assert pictures.get(key("a"), "second", made) == made()


# With the task ----------------------------------------------------------------------------------------------


def draw(path: Path, colour: str) -> StartedJob:
    Image.new("RGB", (300, 200), colour).save(path)
    return job_about(path, job_id=path.name)


@contextmanager
def asking() -> Iterator[tuple[Callable[..., Any], ScriptedServer]]:
    """How to ask a model about a job's chart, and the server that hears it."""
    with (
        ScriptedServer(Scripted(chat_reply())) as server,
        HuggingFaceClient(HFConfig(api_key=None, base_url=server.url)) as client,
    ):
        task = task_of(client)

        def ask(job: StartedJob, model: str, max_side: int = 64, max_bytes: int = 3 * MB) -> Any:
            question = Question(
                prompt="Up?", model=model, parameters={}, image_max_side=max_side, image_max_bytes=max_bytes
            )
            return task.perform(replace(job, question_id=question.id, execution_id=f"{job.job_id} {model}"), question)

        yield ask, server


def shown(server: ScriptedServer) -> Sequence[tuple[str, tuple[int, int], Any]]:
    """Model, size and colour of each picture that went out."""
    found = []
    for seen in server.seen:
        for part in seen.json["messages"][0]["content"][1:]:
            with Image.open(BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2]))) as image:
                found.append((seen.json["model"], image.size, image.convert("RGB").getpixel((5, 5))))
    return found


def test_whatever_comes_at_once_each_model_is_shown_its_own_questions_picture(tmp_path: Path) -> None:
    colours = [(number * 20, 255 - number * 20, 7) for number in range(8)]
    charts = [draw(tmp_path / f"{number}.png", "rgb({},{},{})".format(*rgb)) for number, rgb in enumerate(colours)]
    sides = {"org/a": 64, "org/b": 64, "org/c": 30}
    with asking() as (ask, server), ThreadPoolExecutor(12) as pool:
        ended = list(
            pool.map(lambda one: ask(*one), [(chart, model, sides[model]) for chart in charts for model in sides])
        )
    assert all(one.answer is not None and one.sent["width"] in (64, 30) for one in ended)
    wanted = [(model, (side, round(side * 2 / 3)), rgb) for rgb in colours for model, side in sides.items()]
    assert sorted(shown(server)) == sorted(wanted)


def test_a_chart_that_changed_fails_uncalled_although_its_picture_was_made_before(tmp_path: Path) -> None:
    chart = draw(tmp_path / "chart.png", "red")
    with asking() as (ask, server):
        for model in ("org/a", "org/b"):
            assert ask(chart, model).answer is not None
        now = draw(tmp_path / "chart.png", "blue")
        changed = ask(chart, "org/c")
        assert isinstance(changed.error, ChartChangedError)
        assert not changed.called
        assert ask(now, "org/c").answer is not None
    assert [colour for _, _, colour in shown(server)] == [(255, 0, 0), (255, 0, 0), (0, 0, 255)]


def test_models_that_share_the_pictures_of_a_job_are_each_shown_all_of_them_in_their_order(tmp_path: Path) -> None:
    red, blue = draw(tmp_path / "red.png", "red"), draw(tmp_path / "blue.png", "blue")
    both = started_job(
        join_pictures([red.image, blue.image]), image_sha256=subject_of([red.image_sha256, blue.image_sha256])
    )
    models = ("org/a", "org/b", "org/c")
    with asking() as (ask, server):
        sent = [ask(both, model).sent for model in models]
    assert shown(server) == [(model, (64, 43), colour) for model in models for colour in ((255, 0, 0), (0, 0, 255))]
    assert [[(one["width"], one["height"]) for one in told] for told in sent] == [[(64, 43)] * 2] * 3


def test_a_question_that_takes_fewer_bytes_is_not_shown_the_picture_of_one_that_takes_more(tmp_path: Path) -> None:
    Image.effect_noise((300, 200), 90).save(tmp_path / "noise.png")
    chart = job_about(tmp_path / "noise.png")
    with asking() as (ask, server):
        sent = [ask(chart, model, 200, max_bytes).sent["bytes"] for model, max_bytes in LIMITS.items()]
    assert sent[0] == sent[2] > 9_000 >= sent[1] > 0
    assert len(server.seen) == len(sent)
