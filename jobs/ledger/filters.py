"""Some of a batch's rows, as they are asked for: of one state, one kind of failure, with these words."""

import json
import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FailureFilter:
    """Some of the failures: of one type, with a text in their message (in whatever case)."""

    type: str | None = None
    match: str | None = None

    def takes(self, error_type: str | None, message: str | None) -> bool:
        fits = self.type is None or (error_type or "").lower() == self.type.lower()
        return fits and (self.match is None or self.match.lower() in (message or "").lower())


@dataclass(frozen=True, kw_only=True)
class RowFilter:
    """Some of a batch's rows; what is "" doesn't matter."""

    status: str = ""
    #: The type of what failed it.
    error: str = ""
    #: Stands in its name or its answer, in whatever case.
    words: str = ""
    #: A field of its structured answer, at whatever depth, and the value that it has there.
    field: str = ""
    value: str = ""

    @property
    def is_counted(self) -> bool:
        """The counts that are kept tell how many there are."""
        return not self.error and not self.words and not self.field

    def values(self) -> dict[str, str]:
        """For the statements. A field is looked for in the answer's JSON without its white space."""
        words = _like(self.words)
        field, value = _json_text(self.field), _json_text(self.value)
        bare = "".join(self.value.split())
        return {
            "status": self.status,
            "error": self.error,
            "words": words and f"%{words}%",
            "line_feed": "\n",
            "text_field": f"%{_like(f'{field}:{value}')}%" if self.field else "",
            "bare_field": f"%{_like(f'{field}:{bare},')}%",
            "last_field": f"%{_like(f'{field}:{bare}')}}}%",
        }


def _like(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text.lower())


def _json_text(text: str) -> str:
    return json.dumps(text.strip(), ensure_ascii=False).replace(" ", "")


#: Whatever failed.
ALL_FAILURES = FailureFilter()
#: Every row.
ALL_ROWS = RowFilter()
