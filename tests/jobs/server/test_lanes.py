"""Lanes by HTTP: paused, limited and resumed as by the commands; where there are keys, by the commands alone."""

from typing import Any

from fastapi.testclient import TestClient
from support.http_api import error_of, png
from support.producer import Producer


def submitted(user: Producer) -> tuple[str, str]:
    """Batch id and model."""
    (user.folder / "a.png").write_bytes(png())
    batch_id = user.submit(user.folder / "a.png")["batch_id"]
    return batch_id, user.status(batch_id)["model"]


def test_a_models_lane_is_paused_limited_and_resumed(user: Producer, api: TestClient) -> None:
    batch_id, model = submitted(user)
    [paused] = api.post("/lanes/pause", params={"model": model}).json()["data"]
    assert (paused["state"], paused["reason"]) == ("on_hold", "paused")
    assert user.status(batch_id)["hold"]["reason"] == "paused"
    assert api.post("/lanes/resume", params={"model": model}).status_code == 200
    assert user.status(batch_id)["hold"] is None
    limited: Any = api.post("/lanes/limit", params={"model": model, "rate": "30/m"}).json()
    assert [(lane["model"], lane["budget"][0]["limit"]) for lane in limited["data"]] == [(model, 30)]
    assert api.post("/lanes/limit", params={"model": model, "rate": "often"}).status_code == 400
    assert api.post("/lanes/pause", params={"model": "no/model"}).status_code == 404


def test_one_key_does_not_stop_everybody(user: Producer, api: TestClient) -> None:
    batch_id, model = submitted(user)
    ann = user.new_key("ann")
    for action in ("pause", "resume", "limit"):
        answer = api.post(f"/lanes/{action}", params={"model": model}, headers=ann)
        assert answer.status_code == 403
        assert "every key" in error_of(answer)["message"]
    assert user.status(batch_id)["hold"] is None
