"""Run a dashboard's queries as Grafana does, with its variables filled in."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

ALL = ".*"
# For a panel that shows an hour: four times the scrape interval of 15 s.
BUILT_IN = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")


def several(values: Sequence[str]) -> str:
    """Return selected values as Grafana's expression for `=~`."""
    escaped = [re.escape(each).replace("\\", "\\\\") for each in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def filled(text: str, chosen: Mapping[str, str]) -> str:
    """Return the text with the values of its variables.

    Raises:
        KeyError: the dashboard has no such variable.
    """
    known = {**BUILT_IN, **chosen}
    return VARIABLE.sub(lambda found: known[found[1] or found[2]], text)


class Prometheus:
    """Queries Prometheus like a Grafana data source."""

    def __init__(self, address: str, began: float) -> None:
        self.began = began
        self.client = httpx.Client(base_url=address, timeout=60)

    def _got(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, (parameters, answer.text)
        return answer.json()["data"]

    def values(self, query: str) -> list[str]:
        """Return the result of `label_values(SELECTOR, LABEL)`."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert found, query
        return self._got(f"label/{found[2]}/values", **{"match[]": found[1]})

    def series(
        self, expr: str, *, now: float, instant: bool
    ) -> list[tuple[dict[str, str], list[float]]]:
        """Return labels and values of the series, without gaps and NaN."""
        if instant:
            result = self._got("query", query=expr, time=now)["result"]
            series = [(each["metric"], [each["value"]]) for each in result]
        else:
            span = {"start": self.began, "end": now, "step": 1}
            result = self._got("query_range", query=expr, **span)["result"]
            series = [(each["metric"], each["values"]) for each in result]
        found = [(labels, [float(value) for _, value in values]) for labels, values in series]
        return [
            (labels, kept)
            for labels, numbers in found
            if (kept := [each for each in numbers if not math.isnan(each)])
        ]
