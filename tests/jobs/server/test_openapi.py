"""`/openapi.json` says what is: schemathesis finds nothing against it in a bounded number of examples."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.http_api import client_of, png
from support.producer import producer_in

from jobs.config.settings import Settings
from jobs.server import create_app, waiting


def no_fault_of_ours(_context: Any, response: Any, _case: Any) -> None:
    """503 and 502 are answers: a lane may be closed, a provider may have none."""
    assert response.status_code != 500


_CHECKS: Any = [no_fault_of_ours, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def api_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The schema of an app that has one batch, and waits for nobody."""
    with pytest.MonkeyPatch.context() as patch, producer_in(tmp_path_factory.mktemp("openapi"), patch) as user:
        patch.setattr(waiting, "_QUEUE_S", 0.0)
        (user.folder / "a.png").write_bytes(png())
        of_user = dataclasses.replace(
            user.settings, chart_root=user.folder, vision_timeout_s=0.01, reasoning_timeout_s=0.01
        )
        app = create_app(dataclasses.replace(of_user, max_retries=0))
        try:
            yield schemathesis.openapi.from_asgi("/openapi.json", app)
        finally:
            app.state.backend.close()


#: Streams that never end.
ENDLESS = {"/batches/events"}

#: Making an app opens nothing.
OPERATIONS = [
    (path, method)
    for path, methods in create_app(Settings()).openapi()["paths"].items()
    for method in methods
    if path not in ENDLESS
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_one_that_the_schema_tells_of(api_schema: Any, path: str, method: str) -> None:
    operation = api_schema[path][method.upper()]

    @given(case=operation.as_strategy())
    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def try_out(case: Any) -> None:
        case.call_and_validate(checks=_CHECKS)

    try_out()


def test_the_schema_tells_of_every_endpoint_with_its_errors_and_of_keys(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, producer_in(tmp_path, patch) as user, client_of(user.settings) as api:
        document = api.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    paths = document["paths"]
    assert {
        "/health",
        "/analyze",
        "/jobs/{job_id}",
        "/lanes",
        "/batches",
        "/batches/{batch_id}",
        "/batches/{batch_id}/results",
        "/batches/{batch_id}/events",
        "/batches/{batch_id}/cancel",
        "/batches/{batch_id}/retry",
        "/batches/{batch_id}/resume",
        "/v1/files",
        "/v1/files/{file_id}",
        "/v1/files/{file_id}/content",
        "/v1/batches",
        "/v1/batches/{batch_id}",
        "/v1/batches/{batch_id}/cancel",
        "/v1/models",
        "/v1/chat/completions",
    } <= set(paths)
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation["description"], (path, method)
            assert "503" in operation["responses"], (path, method)
            assert "422" not in operation["responses"], "what does not fit is answered with 400"
            assert (operation.get("security") == []) == (path == "/health"), (path, method)
    assert "ValidationError" not in str(document)
