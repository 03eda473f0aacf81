"""Where a variable's text comes from: the environment, a file that `NAME_FILE` names, or `.env`.

Texts are stripped, empty ones count as not set. Nothing is written to `os.environ`. A folder's `.env` may be a
stranger's, and say where things are sent: it gets nothing of its reader's environment and files into its values.
"""

import io
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotenv.parser import Binding


#: What `.env` may fill in of the environment.
_FOR_EVERYBODY = ("HOME",)

#: A variable's file holds a token or a URL; who names a disk image by accident hears so.
_FILE_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Found:
    """A variable's text, and what to call its place: `HF_TOKEN`, `HF_TOKEN_FILE`, `.env: HF_TOKEN`."""

    value: str = field(repr=False)
    origin: str
    #: It stands in `.env`, or in a file beside it that `.env` names: whoever wrote the one wrote the other.
    in_env_file: bool = False


#: What its variables' origins begin with, the variables, and the file that they stand in.
_Layer = tuple[str, Mapping[str, str], Path | None]


def look_up(
    wanted: Mapping[str, tuple[str, ...]], *, env_file: Path | None, secret: Collection[str] = ()
) -> tuple[dict[str, Found], list[str]]:
    """For each key of `wanted` the first of its variables that is set, and a line for each problem met.

    `secret`: keys whose values are sent nowhere but where they belong: only theirs may stand in files outside `.env`'s
    folder.
    """
    lines, problems = _read_env_file(env_file) if env_file else ({}, [])
    layers: tuple[_Layer, ...] = (("", os.environ, None), (f"{env_file}: ", lines, env_file))
    found: dict[str, Found] = {}
    for key, names in wanted.items():
        try:
            first = next(_candidates(names, layers, is_secret=key in secret), None)
        except ValueError as error:
            problems.append(str(error))
        else:
            found |= {key: first} if first else {}
    return found, problems


def _candidates(names: tuple[str, ...], layers: tuple[_Layer, ...], *, is_secret: bool) -> Iterator[Found]:
    """All places where one of `names` is set, strongest first. Lazy: a file that isn't needed isn't read."""
    for prefix, layer, env_file in layers:
        for name in names:
            if value := _filled_in(layer, name, env_file).strip():
                yield Found(value=value, origin=prefix + name, in_env_file=env_file is not None)
        for name in names:
            if path := _filled_in(layer, f"{name}_FILE", env_file).strip():
                origin = f"{prefix}{name}_FILE"
                beside = env_file is not None and _is_beside(env_file, Path(path))
                if not is_secret and env_file is not None and not beside:
                    raise ValueError(f"{origin}={path} leads out of the folder: write {name}=... instead")
                if value := _read_secret(Path(path), origin):
                    yield Found(value=value, origin=origin, in_env_file=beside)


def _filled_in(layer: Mapping[str, str], name: str, env_file: Path | None) -> str:
    """A variable's text; in `.env` with `${NAME}` filled in. Raises ValueError with the line for the user."""
    text = layer.get(name, "")
    if env_file is None or "${" not in text:
        return text
    from dotenv.variables import Variable, parse_variables

    def one(atom: Any) -> str:
        if not isinstance(atom, Variable):
            return str(atom.resolve({}))
        if atom.name in layer and atom.name != name:
            return _filled_in({**layer, name: ""}, atom.name, env_file)
        if atom.name in _FOR_EVERYBODY:
            return os.environ.get(atom.name, "")
        if atom.default is not None:
            return str(atom.default)
        raise ValueError(
            f"{env_file}: {name} uses ${{{atom.name}}}, which doesn't stand in that file; of the environment only "
            f"{', '.join(_FOR_EVERYBODY)} is filled in there"
        )

    return "".join(map(one, parse_variables(text)))


def _is_beside(env_file: Path, named: Path) -> bool:
    """Links resolved: one that leads out of `.env`'s folder is no file of that folder's author."""
    return named.expanduser().resolve().is_relative_to(env_file.resolve().parent)


def _read_secret(path: Path, origin: str) -> str:
    """The file's text, stripped. Raises ValueError with the line for the user."""
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_FILE_MAX_BYTES + 1)
        if len(data) > _FILE_MAX_BYTES:
            raise ValueError(f"it is larger than {_FILE_MAX_BYTES} bytes")
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"  # the decoder's own words would show what is in it
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, RuntimeError) as error:  # NUL in the path, ~nobody, too large
        reason = str(error)
    raise ValueError(f"{origin}={path} can't be read: {reason}")


def _read_env_file(path: Path) -> tuple[dict[str, str], list[str]]:
    """The assignments in `.env`, and a line for each that is none."""
    try:
        if path.is_dir():  # some keep their virtual environment under this name
            return {}, []
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        return {}, [f"{path} can't be read: {error.strerror}"]
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return {}, [f"{path}, line {line}, is not UTF-8 text: save the file as UTF-8"]
    from dotenv import dotenv_values  # who has no such file waits for no parser
    from dotenv.parser import parse_stream

    # The library would only log these, and the setting would silently be missing.
    broken = [binding for binding in parse_stream(io.StringIO(text)) if _is_broken(binding)]
    if broken:
        # Not the line itself: it may hold a token.
        return {}, [f"{path}, line {_line_number(b)}, is not NAME=value (are the quotes closed?)" for b in broken]
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value or "" for name, value in values.items()}, []


def _is_broken(binding: "Binding") -> bool:
    return binding.error or (binding.key is not None and binding.value is None)


def _line_number(binding: "Binding") -> int:
    """A binding begins after its leading blank lines, which the parser counts as its own."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(blank.splitlines())
