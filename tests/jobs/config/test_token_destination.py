"""A token goes where its owner said, not where a stranger's folder says."""

from pathlib import Path

import pytest
from support.producer import unset_settings

from jobs.config.settings import load_settings, producer_settings
from jobs.config.token_destination import is_hugging_face_or_loopback
from jobs.core.errors import SettingsError

EVIL = "https://evil.example/v1"


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "charts").mkdir()
    monkeypatch.chdir(tmp_path / "charts")
    unset_settings(monkeypatch)


@pytest.mark.parametrize(
    ("url", "may"),
    [
        (None, True),
        ("https://router.huggingface.co/v1", True),
        ("https://huggingface.co/api", True),
        ("https://abc.us-east-1.aws.endpoints.huggingface.cloud/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.2:8000", True),
        ("http://[::1]:8000", True),
        ("http://router.huggingface.co/v1", False),
        ("https://router.huggingface.co.evil.example", False),
        ("https://evilhuggingface.cloud", False),
        ("https://someone.hf.space", False),
        ("https://someone.huggingface.co", False),
        ("http://localhost.evil.example", False),
        ("http://192.168.0.4:8000", False),
        ("https://[::1", False),
        (EVIL, False),
    ],
)
def test_hugging_face_and_this_machine_are_known(url: str | None, may: bool) -> None:
    assert is_hugging_face_or_loopback(url) is may


def test_the_env_file_of_a_strangers_folder_gets_no_token_of_its_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    Path(".env").write_text(f"HF_BASE_URL={EVIL}\n")
    with pytest.raises(SettingsError, match="set HF_BASE_URL in the environment") as caught:
        load_settings()
    assert "hf_mine" not in str(caught.value)
    assert producer_settings().hf_base_url == EVIL, "who makes no call sends no token"

    monkeypatch.setenv("HF_BASE_URL", EVIL)
    assert load_settings().hf_base_url == EVIL, "said by the user"


def test_nor_by_naming_a_file_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_mine")
    for named in (str(tmp_path / "token"), "link"):
        Path("link").unlink(missing_ok=True)
        Path("link").symlink_to(tmp_path / "token")
        Path(".env").write_text(f"HF_BASE_URL={EVIL}\nHF_TOKEN_FILE={named}\n")
        with pytest.raises(SettingsError, match="stands elsewhere"):
            load_settings()


@pytest.mark.parametrize(
    "line",
    [
        "HF_TOKEN=${MY_SECRET}",
        "VISION_MODEL=${MY_SECRET}",
        "HF_BILL_TO=org-${MY_SECRET}",
        "CHARTQ_WEBHOOK_URL=https://evil.example/${MY_SECRET}",
        "REDIS_URL=redis://u:${MY_SECRET}@evil.example",
        "A=${MY_SECRET}\nVISION_MODEL=${A}",
        "VISION_MODEL='${MY_SECRET}'",
    ],
)
def test_nor_anything_of_their_environment(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "hf_mine")
    Path(".env").write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=r"uses \$\{MY_SECRET\}, which doesn't stand in that file") as caught:
        load_settings()
    assert "hf_mine" not in str(caught.value)


@pytest.mark.parametrize("name", ["HF_TOKEN", "HF_API_KEY", "SECRET", "PATH", "USER"])
def test_nor_what_everybody_has_there_but_their_home(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hf_mine")
    Path(".env").write_text(f"VISION_MODEL=org/${{{name}}}\n")
    with pytest.raises(SettingsError, match=f"{name}}}, which doesn't stand in that file") as caught:
        load_settings()
    assert "hf_mine" not in str(caught.value)


@pytest.mark.parametrize("variable", ["VISION_MODEL", "HF_BILL_TO", "HF_BASE_URL"])
def test_nor_a_file_of_theirs_as_anything_that_is_sent(variable: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_mine")
    Path(".env").write_text(f"{variable}_FILE={tmp_path / 'token'}\n")
    with pytest.raises(SettingsError, match=f"{variable}_FILE=.* leads out of the folder") as caught:
        load_settings()
    assert "hf_mine" not in str(caught.value)


def test_an_env_file_fills_in_what_it_sets_itself_and_the_readers_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("ORG", "hf_mine")
    lines = [
        "VISION_MODEL=${ORG}/${NAME:-vision}",
        "ORG=org",
        "CHARTQ_HOME=${HOME}/charts",
        "HF_BILL_TO=${NONE}",
        "NONE=",
    ]
    Path(".env").write_text("\n".join([*lines, "OTHERS=${SOMETHING}", "A=${B}", "B=${A}"]))
    settings = load_settings()
    assert settings.vision_model == "org/vision"
    assert settings.chartq_home == Path("/home/ann/charts")
    assert settings.hf_bill_to is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "https://router.huggingface.co/v1"])
def test_an_env_file_may_name_hugging_face_and_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    Path(".env").write_text(f"HF_BASE_URL={url}\n")
    assert load_settings().hf_base_url == url


@pytest.mark.parametrize("line", ["HF_TOKEN=hf_theirs", "HF_API_KEY=hf_theirs", "HF_TOKEN_FILE=secret"])
def test_a_server_and_its_token_in_one_env_file_belong_together(line: str) -> None:
    Path("secret").write_text("hf_theirs")
    Path(".env").write_text(f"HF_BASE_URL={EVIL}\n{line}\n")
    assert load_settings().hf_token is not None
