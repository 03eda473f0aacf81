"""The token that `hf auth login` saved, where huggingface_hub keeps it. For workers only: producers need none."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: A token has some forty characters; who names a disk image by accident is spared reading it.
_MOST_BYTES = 64 * 1024

_YES = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True, kw_only=True)
class SavedToken:
    """What stands in the file; at most one of `value` and `problem` is there."""

    path: Path
    value: str | None = field(default=None, repr=False)
    #: Why what is there can't be used, without a word of it.
    problem: str | None = None


def saved_token(environment: Mapping[str, str] | None = None) -> SavedToken:
    """HF_TOKEN_PATH, else `$HF_HOME/token`, else `~/.cache/huggingface/token` (XDG_CACHE_HOME). Never raises.

    By the process's own environment, not by `.env`: a folder's file must not say which of its reader's files is sent.
    """
    env = os.environ if environment is None else environment
    path = _path(env)
    if env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").strip().lower() in _YES:
        return SavedToken(path=path, problem="is not looked at: HF_HUB_DISABLE_IMPLICIT_TOKEN says so")
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return SavedToken(path=path)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = error.strerror if isinstance(error, OSError) else None
        return SavedToken(path=path, problem=f"can't be read: {reason or 'its name can be no path'}")
    return _read(path, data)


def _path(env: Mapping[str, str]) -> Path:
    cache = env.get("XDG_CACHE_HOME") or "~/.cache"
    home = env.get("HF_HOME") or os.path.join(cache, "huggingface")
    told = env.get("HF_TOKEN_PATH") or os.path.join(home, "token")
    return Path(os.path.expandvars(os.path.expanduser(told)))


def _read(path: Path, data: bytes) -> SavedToken:
    try:
        lines = data.decode("utf-8-sig").split()
    except UnicodeDecodeError:
        return SavedToken(path=path, problem="is not UTF-8 text")
    if not lines:
        return SavedToken(path=path)
    token = lines[0]
    if len(lines) > 1 or len(data) > _MOST_BYTES or not (token.isascii() and token.isprintable()):
        return SavedToken(path=path, problem="holds more than a token: run hf auth login again")
    return SavedToken(path=path, value=token)
