"""The sample charts that ship with chartq, and where each of them goes."""

import json
from pathlib import Path
from typing import Literal

Trend = Literal["up", "down", "sideways"]

#: A folder like a user's: several formats and sizes, two sub-folders. `render_charts.py` draws it.
CHARTS = Path(__file__).parent / "charts"
TRENDS_FILE = "trends.json"


def known_trends() -> dict[str, Trend]:
    """What a right answer says of each sample: custom_id (path inside CHARTS) -> trend."""
    trends: dict[str, Trend] = json.loads((CHARTS / TRENDS_FILE).read_text(encoding="utf-8"))
    return trends
