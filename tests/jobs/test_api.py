"""The producer's side from Python: submit_folder, batch_status, iter_results."""

import dataclasses
from pathlib import Path

import pytest
from support.producer import Producer
from support.stack import draw_charts

from jobs import batch_status, iter_results, submit_folder
from jobs.core.errors import InputError, SettingsError, UnknownIdError


def test_a_folder_goes_in_and_answers_come_out(user: Producer) -> None:
    charts = draw_charts(user.folder / "charts", 3)
    submitted = submit_folder(str(charts), "Up?", model="org/model", parameters={"max_tokens": 5}, name="mine")
    told = {"total": 3, "queued": 3, "cached": 0, "rejected": [], "shrunk": 0}
    assert submitted == {"batch_id": submitted["batch_id"], **told}

    batch_id = submitted["batch_id"]
    status = batch_status(batch_id)
    assert (status["status"], status["name"], status["model"]) == ("in_progress", "mine", "org/model")
    user.answer(batch_id)
    assert batch_status(batch_id)["status"] == "completed"
    assert [row["text"] for row in iter_results(batch_id)] == ["up"] * 3
    assert list(iter_results(batch_id, status="failed")) == []
    assert user.submit(charts, "-m", "org/model", "--param", "max_tokens=5")["cached"] == 3


def test_several_paths_and_settings_may_be_given(user: Producer) -> None:
    charts = draw_charts(user.folder / "charts", 11)
    settings = dataclasses.replace(user.settings, chartq_home=user.folder / "elsewhere")
    paths: list[str | Path] = [charts / "group-01", str(charts / "group-00" / "chart-0003.png")]
    batch_id = submit_folder(paths, "Up?", recursive=False, settings=settings)["batch_id"]
    ids = [row["custom_id"] for row in iter_results(batch_id, settings=settings)]
    assert ids == ["group-01/chart-0010.png", "chart-0003.png"]
    assert batch_status(batch_id, settings=settings)["request_counts"]["total"] == 2
    with pytest.raises(UnknownIdError):
        batch_status(batch_id)


def test_results_are_read_as_they_are_taken_and_can_be_left(user: Producer) -> None:
    batch_id = submit_folder(draw_charts(user.folder / "charts", 3), "Up?")["batch_id"]
    rows = iter_results(batch_id)
    assert next(rows)["custom_id"] == "group-00/chart-0000.png"
    rows.close()  # type: ignore[attr-defined]  # it is a generator


def test_what_cant_be_done_is_an_error_with_words(user: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = submit_folder(user.folder / "missing", "Up?")
    assert nothing["batch_id"] is None
    assert "no such file" in nothing["rejected"][0]["error"]
    with pytest.raises(InputError, match="prompt is empty"):
        submit_folder(user.folder, " ")
    with pytest.raises(InputError, match="501 characters"):
        submit_folder(user.folder, "Up?", name="n" * 501)
    with pytest.raises(InputError, match="no path"):
        submit_folder([], "Up?")
    with pytest.raises(InputError, match="no path"):
        submit_folder("", "Up?")  # for Python that is the working directory
    with pytest.raises(InputError, match="chartq's own"):
        submit_folder(user.folder, "Up?", parameters={"messages": []})
    with pytest.raises(UnknownIdError):
        next(iter_results("b000000-000000"))
    with pytest.raises(InputError, match="no state"):
        next(iter_results("b000000-000000", status="done"))
    monkeypatch.setenv("HF_API", "telepathy")
    with pytest.raises(SettingsError, match="HF_API=telepathy"):
        batch_status("b000000-000000")
