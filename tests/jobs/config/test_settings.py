"""Settings: where they come from, what is refused and how that is said."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support.producer import unset_settings
from support.repository import ROOT

from jobs.config.environment import look_up
from jobs.config.settings import ACCEPTED, Settings, load_settings, producer_settings, variables
from jobs.core.errors import SettingsError


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and none of our variables set."""
    monkeypatch.chdir(tmp_path)
    unset_settings(monkeypatch)


def problems() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.__context__ is None, "the caught error's frames hold the values"
    return str(caught.value).splitlines()


def token(settings: Settings) -> str | None:
    return settings.hf_token.get_secret_value() if settings.hf_token else None


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.hf_token is None
    assert settings.hf_base_url is None
    assert (settings.hf_api, settings.hf_task) == ("chat", "visual-question-answering")
    assert settings.vision_model == "Qwen/Qwen3-VL-30B-A3B-Instruct"
    assert (settings.vision_timeout_s, settings.max_retries, settings.retry_delay_s) == (120, 2, 2)
    assert settings.chartq_home == tmp_path / ".chartq"
    assert (settings.image_max_side, settings.image_max_bytes) == (2048, 3_000_000)
    assert (settings.log_level, settings.log_format, settings.rehearsal) == ("INFO", "text", False)


def test_variable_beats_file_beats_env_file_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HF_TOKEN=from_env_file\n")
    (tmp_path / "secret").write_text("  from_secret\n")
    assert token(load_settings()) == "from_env_file"
    monkeypatch.setenv("HF_TOKEN_FILE", str(tmp_path / "secret"))
    assert token(load_settings()) == "from_secret"
    monkeypatch.setenv("HF_API_KEY", "from_variable")
    assert token(load_settings()) == "from_variable"
    monkeypatch.setenv("HF_TOKEN", "from_first_name")
    assert token(load_settings()) == "from_first_name"
    assert token(load_settings(hf_token="from_caller")) == "from_caller"
    assert token(load_settings(hf_token=None)) == "from_first_name"


def test_a_secret_file_may_be_named_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:pw@host/1\n")
    (tmp_path / ".env").write_text(f"REDIS_URL_FILE={tmp_path}/url\n")
    settings = load_settings()
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:pw@host/1"


def test_an_empty_string_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HF_TOKEN=hf_abc\n")
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("VISION_TIMEOUT", " ")
    monkeypatch.setenv("HF_RATE_LIMIT", "")
    settings = load_settings()
    assert token(settings) == "hf_abc"
    assert settings.vision_timeout_s == 120


def test_the_env_file_is_not_put_into_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HF_TOKEN=hf_abc\nexport LOG_LEVEL=debug # loud\nOTHER='x y'\n")
    assert load_settings().log_level == "DEBUG"
    assert "HF_TOKEN" not in os.environ
    assert load_settings(env_file=None).hf_token is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv("RESULTS_URL_FILE", str(tmp_path / "binary"))
    assert problems() == [
        f"HF_TOKEN_FILE={tmp_path}/nothing can't be read: No such file or directory",
        f"REDIS_URL_FILE={tmp_path} can't be read: Is a directory",
        f"RESULTS_URL_FILE={tmp_path}/binary can't be read: it is not UTF-8 text",
    ]


def test_all_problems_are_told_at_once_each_with_variable_value_and_what_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("RETRY_DELAY=soon\n")
    monkeypatch.setenv("HF_API", "rest")
    monkeypatch.setenv("VISION_TIMEOUT", "-1")
    assert problems() == [
        "HF_API=rest can't be used: write chat or task",
        "VISION_TIMEOUT=-1 can't be used: seconds above 0, at most 86400",
        ".env: RETRY_DELAY=soon can't be used: seconds, from 0 to 86400",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HF_BASE_URL", "router.huggingface.co"),
        ("HF_BASE_URL", "ftp://host"),
        ("HF_BASE_URL", "http://"),
        ("HF_BASE_URL", "http://host:port"),
        ("HF_BASE_URL", "http://host/?a=b"),
        ("HF_BASE_URL", "http://ho st"),
        ("HF_API", "rest"),
        ("HF_TASK", "text-generation"),
        ("HF_BILL_TO", "my org"),
        ("VISION_MODEL", "a b"),
        ("REASONING_MODEL", "a\tb"),
        ("VISION_TIMEOUT", "0"),
        ("VISION_TIMEOUT", "inf"),
        ("REASONING_TIMEOUT", "nan"),
        ("REASONING_TIMEOUT", "1e300"),
        ("MAX_RETRIES", "-1"),
        ("MAX_RETRIES", "1.5"),
        ("RETRY_DELAY", "-0.1"),
        ("HF_RATE_LIMIT", "30"),
        ("HF_MAX_CONCURRENCY", "0"),
        ("IMAGE_MAX_SIDE", "15"),
        ("IMAGE_MAX_BYTES", "1023"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("CHARTQ_HOME", "~nobody-of-this-name/x"),
        ("CHARTQ_REHEARSAL", "perhaps"),
        ("HF_RATE_LIMIT", "9" * 5000 + "/h"),
    ],
)
def test_an_unusable_value_is_shown_with_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (problem,) = problems()
    assert problem.startswith(f"{variable}=")
    assert value[:9].split()[0] in problem
    assert len(problem) < 500


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HF_TOKEN", "hf_sesame sesame"),
        ("HF_API_KEY", "hf_sesame\x7fx"),
        ("HF_TOKEN", "hf_sesame\u200b"),
        ("HF_TOKEN", "hf_sesame\nLOG=1"),
        ("HF_BASE_URL", "https://me:sesame@host"),
        ("REDIS_URL", "http://:sesame@host"),
        ("REDIS_URL", "redis://:se/sesame@host"),
        ("REDIS_URL", "redis://:sesame@host/one"),
        ("REDIS_URL", "redis://:sesame@"),
        ("REDIS_URL", "unix://:sesame@"),
        ("RESULTS_URL", "mysql://me:sesame@host/db"),
        ("RESULTS_URL", "postgres://me:sesame@host/db"),
    ],
)
def test_an_unusable_secret_is_told_without_showing_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (problem,) = problems()
    assert problem.startswith(f"{variable} can't be used (value not shown): ")
    assert "sesame" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:1/2?health_check_interval=5",
        "rediss://me:p%2Fw@host/0",
        "redis://[::1]:6379/",
        "unix:///run/redis.sock",
        "unix://:pw@/run/redis.sock?db=1",
    ],
)
def test_the_urls_that_redis_takes_are_taken(url: str) -> None:
    settings = load_settings(redis_url=url)
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


def test_nothing_secret_is_in_repr_str_or_dump() -> None:
    settings = load_settings(
        hf_token="hf_sesame", redis_url="redis://:sesame@host", results_url="postgresql://me:sesame@host/db"
    )
    assert "sesame" not in f"{settings!r} {settings} {dataclasses.asdict(settings)}"


def test_what_was_looked_up_is_shown_by_its_place_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HF_TOKEN=hf_sesame\n")
    found, _ = look_up({"hf_token": ("HF_TOKEN",)}, env_file=tmp_path / ".env")
    assert found["hf_token"].value == "hf_sesame"
    assert "sesame" not in repr(found)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ({"max_retries": 1.5}, "MAX_RETRIES=1.5 can't be used: a whole number from 0 to 100"),
        ({"max_retries": True}, "MAX_RETRIES=True can't be used: a whole number from 0 to 100"),
        ({"vision_model": 7}, "VISION_MODEL=7 can't be used: a model id such as org/name"),
        ({"hf_rate_limit": 30}, "HF_RATE_LIMIT=30 can't be used: write 30/h or 5/s,30/h"),
        ({"redis_url": 6379}, f"REDIS_URL can't be used (value not shown): {ACCEPTED['redis_url']}"),
        ({"nonsense": "x"}, "NONSENSE=x can't be used: no such setting"),
    ],
)
def test_what_a_program_gives_is_checked_as_well(override: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(**override)
    assert str(caught.value) == problem


def test_a_whole_number_may_be_written_with_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_RETRIES", "3.0")
    assert load_settings().max_retries == 3


def test_where_the_working_directory_is_gone_only_what_needs_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    [problem] = problems()
    assert problem.startswith("CHARTQ_HOME=.chartq can't be used: ")
    monkeypatch.setenv("CHARTQ_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert load_settings().chartq_home == tmp_path


def test_producers_need_no_token_that_can_be_read_or_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN_FILE", "/nowhere")
    monkeypatch.setenv("HF_API_KEY", "hf_with a gap")
    assert producer_settings().hf_token is None
    with pytest.raises(SettingsError):
        load_settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings().log_level = "DEBUG"  # type: ignore[misc]


def test_values_are_brought_into_one_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_BASE_URL", "http://127.0.0.1:8000/v1/")
    monkeypatch.setenv("HF_API", "Task")
    monkeypatch.setenv("HF_RATE_LIMIT", "30/h,5/s")
    monkeypatch.setenv("CHARTQ_REHEARSAL", "1")
    (tmp_path / "charts").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "charts")
    monkeypatch.setenv("CHART_ROOT", "link")
    settings = load_settings()
    assert settings.hf_base_url == "http://127.0.0.1:8000/v1"
    assert settings.hf_api == "task"
    assert str(settings.hf_rate_limit) == "5/s,30/h"
    assert settings.rehearsal
    assert settings.chart_root == (tmp_path / "charts").resolve()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"\n\nHF_TOKEN='hf_sesame\nLOG_LEVEL=INFO\n",
            ".env, line 3, is not NAME=value (are the quotes closed?)",
        ),
        (b"# ok\nhf_sesame\n", ".env, line 2, is not NAME=value (are the quotes closed?)"),
        (b"LOG_LEVEL=INFO\nHF_TOKEN hf_sesame\n", ".env, line 2, is not NAME=value (are the quotes closed?)"),
        (b"A=1\n\xff\xfe\n", ".env, line 2, is not UTF-8 text: save the file as UTF-8"),
        ("HF_TOKEN=hf_sesame".encode("utf-16"), ".env, line 1, is not UTF-8 text: save the file as UTF-8"),
    ],
)
def test_a_broken_env_file_is_told_with_its_line_and_without_its_content(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    assert problems() == [problem]


def test_windows_line_ends_a_byte_order_mark_and_a_folder_named_env_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfHF_TOKEN=hf_abc\r\nLOG_FORMAT=json\r\n")
    assert token(load_settings()) == "hf_abc"
    assert load_settings().log_format == "json"
    path.unlink()
    path.mkdir()
    assert load_settings().hf_token is None


def test_every_setting_stands_in_the_example_with_its_default(tmp_path: Path) -> None:
    # The base URL's default depends on the kind of API; the other three are examples.
    no_defaults = r"^(HF_TOKEN|HF_BASE_URL|REDIS_URL|RESULTS_URL)=.*"
    text = (ROOT / ".env.example").read_text()
    documented = set(re.findall(r"^#?([A-Z_]+)=", text, flags=re.MULTILINE))
    assert documented == {variables(field)[0] for field in ACCEPTED}
    taken = re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(re.sub(no_defaults, "", taken, flags=re.MULTILINE))
    assert load_settings() == load_settings(env_file=None)
