"""What a scrape tells of the monitor itself: latency, evaluations, configuration, the flight recorder, the build."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from prometheus_client.core import HistogramMetricFamily, Metric

from monitor.app import Application
from monitor.metrics.series import PREFIX, counter, info, one
from monitor.recording.writer import WriterStatus


def build_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("marginwatch")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class ProgramRows:
    """The program at one instant: bounds and counts as in `Timings`, durations in seconds; `recording` None without a recorder."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total_s: float
    evaluations: int
    last_s: float
    warm_up_s: float | None
    started_ms: int
    is_ready: bool
    is_configured: bool
    configured_ms: int
    recording: WriterStatus | None


def take_program(app: Application) -> ProgramRows:
    """Read the program."""
    return ProgramRows(
        app.timings.buckets,
        list(app.timings.counts),
        app.timings.total,
        app.engine.statistics.evaluations,
        app.engine.statistics.last_seconds,
        app.warm_up_s,
        app.started_ms,
        app.is_ready,
        app.configuration.successful,
        app.configuration.loaded_ms,
        None if app.recording is None else replace(app.recording),
    )


def program_families(told: ProgramRows) -> Iterator[Metric]:
    """Every family of the program."""
    yield _latency(told)
    yield counter("evaluations_total", "Evaluations since the start.", (), [((), told.evaluations)])
    yield one("evaluation_seconds", "Cost of the last evaluation.", told.last_s)
    yield one("kernel_warmup_seconds", "Time to compile or load the kernels at the start.", told.warm_up_s)
    taken = "0 while the configuration that was last asked for could not be taken."
    yield one("config_last_reload_successful", taken, told.is_configured)
    yield one("config_last_reload_success_timestamp_seconds", "When the configuration in use was loaded.", told.configured_ms / 1000)
    yield one("ready", "1 while /-/ready answers 200.", told.is_ready)
    yield one("start_timestamp_seconds", "When the monitor started.", told.started_ms / 1000)
    yield info("build_info", "What runs.", ("version", "python"), [(build_version(), platform.python_version())])
    if told.recording is not None:
        yield from _recording(told.recording)


def _latency(told: ProgramRows) -> Metric:
    total, buckets = 0, []
    for bound, count in zip([*map(str, told.bounds), "+Inf"], told.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    text = "From receipt of a frame to the alert decision."
    return HistogramMetricFamily(f"{PREFIX}tick_to_decision_seconds", text, buckets=buckets, sum_value=told.total_s)


def _recording(told: WriterStatus) -> Iterator[Metric]:
    yield counter("recording_ops_total", "Ops written by the flight recorder.", (), [((), told.ops)])
    yield counter("recording_bytes_total", "Bytes written by the flight recorder.", (), [((), told.bytes)])
    yield counter("recording_dropped_total", "Ops that are in no file.", (), [((), told.dropped)])
    yield one("recording_healthy", "0 while the recording cannot be written.", not told.failing)
    yield one("recording_replayable", "0 once the beginning of this run was deleted.", told.replayable)
