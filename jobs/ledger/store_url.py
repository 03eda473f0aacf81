"""RESULTS_URL, taken apart: which database, where, and what may be said of it. No driver is loaded for that."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from jobs.core.errors import SettingsError
from jobs.ledger.statements import Dialect

#: As the variable may begin; `+psycopg` names the driver, which there is one of.
_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True)
class StoreUrl:
    """A results store. `repr` leaves out what may hold a password."""

    dialect: Dialect
    #: The store without its password, for people.
    label: str
    #: SQLite's file.
    path: Path | None = None
    #: SQLite: seconds to wait for another's lock, if the URL says so.
    timeout_s: float | None = None
    #: PostgreSQL's connection URI, as libpq reads it.
    uri: str = field(default="", repr=False)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """An SQLite file; whatever characters its path has, they are the path's."""
        return cls(dialect="sqlite", label=str(path), path=path)

    @classmethod
    def parse(cls, url: str) -> Self:
        """`sqlite:///relative`, `sqlite:////absolute`, `postgresql://...`. Raises SettingsError."""
        scheme, found, rest = url.partition("://")
        if not found:
            raise SettingsError("RESULTS_URL is no URL of a database, like sqlite:////data/ledger.db")
        if scheme == "sqlite" or scheme.startswith("sqlite+"):
            return cls._sqlite(rest)
        if scheme in _POSTGRESQL:
            return cls._postgresql(rest)
        raise SettingsError(f"RESULTS_URL starts with {scheme[:40]!r}; sqlite and postgresql are known")

    @classmethod
    def _sqlite(cls, rest: str) -> Self:
        place, _, options = rest.partition("?")
        if not place.startswith("/") or place in ("/", "/:memory:"):
            raise SettingsError("RESULTS_URL=sqlite://... needs a file: several processes share it")
        path = Path(place[1:])
        return cls(dialect="sqlite", label=str(path), path=path, timeout_s=_timeout_s(str(path), options))

    @classmethod
    def _postgresql(cls, rest: str) -> Self:
        uri = f"postgresql://{rest}"
        try:
            parts = urlsplit(uri)
            # An option of the URL wins over its host, as libpq has it.
            options = dict(parse_qsl(parts.query))
            host, port = parts.hostname or options.get("host") or "local socket", parts.port or options.get("port")
        except ValueError:  # the error, and the caught one's frames, would show parts of the URL
            raise unusable("postgresql", hint=" (its port)") from None
        label = f"postgresql at {host}{f':{port}' if port else ''}/{unquote(parts.path.lstrip('/'))}"
        return cls(dialect="postgresql", label=label, uri=uri)


def unusable(shown: str, hint: str = "") -> SettingsError:
    """What to say of a URL that no driver takes. Raised `from None`: the driver's words may show a password."""
    return SettingsError(
        f"RESULTS_URL for {shown} can't be used: take out the options after the ?, and odd characters{hint}"
    )


def _timeout_s(label: str, options: str) -> float | None:
    given: Mapping[str, str] = dict(parse_qsl(options, keep_blank_values=True)) if options else {}
    try:
        if options and set(given) != {"timeout"}:
            raise ValueError
        if "\0" in label:
            raise ValueError
        os.fsencode(label)
        return float(given["timeout"]) if given else None
    except ValueError:
        raise unusable(repr(label)) from None
