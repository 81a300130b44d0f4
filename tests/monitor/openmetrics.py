"""The OpenMetrics format, both ways, with types."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.openmetrics import exposition, parser

parsed: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families
"""The families of a text; ValueError where the text breaks the format."""

rendered: Callable[[CollectorRegistry], bytes] = exposition.generate_latest
"""The text of a registry."""
