"""The process, its configuration, its metrics and its recording on *Monitor health*."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models import dashboard

from grafana.figures import COUNT
from grafana.layout import Place, Section
from grafana.panels import About, Figure, Query, lines, now, written_as
from grafana.selectors import MONITOR, of_monitor, total
from grafana.style import SKY, VERMILION, YELLOW, Steps, yes_or_no
from grafana.tables import Column, columns_by

_BYTES = Figure("bytes", 1)
_LONG = Figure("dtdurations", 0)


def sections() -> tuple[Section, ...]:
    """What it runs on, what is left out of the metrics, what is recorded."""
    process = Section(
        "Process",
        (
            (5, (Place(_running(), 4), Place(_heartbeat(), 4), Place(_reload(), 6), Place(_warm_up(), 4), Place(_build(), 6))),
            (8, (Place(_memory(), 8), Place(_processor(), 8), Place(_files(), 8))),
        ),
    )
    metrics = Section(
        "Metrics and recording", ((8, (Place(_series(), 6), Place(_omitted(), 5), Place(_recording(), 5), Place(_recorded(), 8))),)
    )
    return process, metrics


def _running() -> stat.Panel:
    about = About(
        "Running for",
        "Time since the monitor started: `time() - start_timestamp_seconds`.",
        "Starts over and over: see its log and exit code.",
    )
    return now(about, [Query(f"time() - max({of_monitor('start_timestamp_seconds')})")], _LONG)


def _heartbeat() -> stat.Panel:
    about = About(
        "Last heartbeat",
        "Time since the dead man's switch took a beat; only with `[heartbeat]`, and nothing before the first.",
        "A heartbeat that ages: whoever watches the monitor will page. Check the address of the switch.",
    )
    expr = f"time() - (max({of_monitor('heartbeat_last_success_timestamp_seconds')}) > 0)"
    return now(about, [Query(expr)], Figure("dtdurations", 0, Steps(SKY, ((120, YELLOW), (600, VERMILION))), no_value="none told"))


def _reload() -> stat.Panel:
    about = About(
        "Configuration",
        "Whether the configuration that was last asked for is in use, and how long the one in use has been: "
        "`time() - config_last_reload_success_timestamp_seconds`.",
        "REFUSED: the old one runs on. `marginwatch check` says what is wrong with the file; reload again.",
    )
    since = f"time() - max({of_monitor('config_last_reload_success_timestamp_seconds')})"
    queries = [Query(f"min({of_monitor('config_last_reload_successful')})", "last reload"), Query(since, "in use for")]
    panel = now(about, queries, Figure("none", 0, states=yes_or_no("taken", "REFUSED")), named=True)
    written_as(panel, "B", _LONG)
    return panel


def _warm_up() -> stat.Panel:
    about = About(
        "Kernel warm-up",
        "What compiling or loading the kernels took at the start.",
        "Half a minute at every start: the cache of compiled kernels is not kept, see `kernel_cache_dir`.",
    )
    return now(about, [Query(f"max({of_monitor('kernel_warmup_seconds')})")], Figure("s", 1))


def _build() -> table.Panel:
    about = About(
        "Build",
        "Version of the monitor and of Python, for each instance of the job, whichever is chosen.",
        "Several versions at once: a roll-out that did not finish.",
    )
    by = ("instance", "version", "python")
    columns = [Column("Monitors", total(by, 'marginwatch_build_info{job=~"$job"}'), COUNT)]
    return columns_by(about, by, columns, sort="Instance", ascending=True)


def _process(name: str) -> str:
    return f"process_{name}{{{MONITOR}}}"


def _memory() -> timeseries.Panel:
    about = About(
        "Memory",
        "Resident memory of the process, and dashed its virtual memory.",
        "Resident memory that rises for days: restart it, and report it.",
    )
    queries = [
        Query(_process("resident_memory_bytes"), "{{instance}} resident"),
        Query(_process("virtual_memory_bytes"), "{{instance}} virtual", True),
    ]
    return lines(about, queries, _BYTES, zero=True)


def _processor() -> timeseries.Panel:
    about = About(
        "Processor",
        "Processor time used a second, 100 % is one core: `rate(process_cpu_seconds_total)`. The event loop cannot use more than one.",
        "Near 100 % for minutes: ticks wait. Follow fewer option chains or give it a faster core.",
    )
    query = Query(f"rate({_process('cpu_seconds_total')}[$__rate_interval])", "{{instance}}")
    return lines(about, [query], Figure("percentunit", 0), zero=True)


def _files() -> timeseries.Panel:
    about = About(
        "File descriptors",
        "Open file descriptors, and dashed how many are allowed.",
        "Near the limit: connections are not closed; restart it, and report it.",
    )
    queries = [Query(_process("open_fds"), "{{instance}} open"), Query(_process("max_fds"), "{{instance}} allowed", True)]
    return lines(about, queries, COUNT, zero=True)


def _series() -> timeseries.Panel:
    about = About(
        "Samples of a scrape",
        "How many samples the monitor tells; `[metrics] series_limit` bounds them.",
        "At the limit details are left out, the finest first: raise it if Prometheus can take them.",
    )
    return lines(about, [Query(of_monitor("metrics_series"), "{{instance}}")], COUNT, zero=True)


def _omitted() -> table.Panel:
    about = About(
        "Left out of the metrics",
        "Families of metrics left out because of `[metrics] series_limit`; no rows while all are told.",
        "Panels of these families are empty for that reason: raise the limit.",
    )
    by = ("family",)
    columns = [Column("Left out", total(by, of_monitor("metrics_omitted_info")), COUNT)]
    return columns_by(about, by, columns, sort="Family", ascending=True, empty="nothing told as left out")


def _recording() -> stat.Panel:
    about = About(
        "Flight recorder",
        "Only with `--record`: whether it writes, and whether this run can be replayed from its beginning.",
        "NOT WRITING: the disk is full or broken. CUT: the oldest files of this run were deleted to keep to the limit.",
    )
    queries = [
        Query(f"min({of_monitor('recording_healthy')})", "writes"),
        Query(f"min({of_monitor('recording_replayable')})", "replayable"),
    ]
    figure = Figure("none", 0, states=yes_or_no("yes", "NOT WRITING"), no_value="no recorder told")
    panel = now(about, queries, figure, named=True)
    written_as(panel, "B", Figure("none", 0, states=yes_or_no("yes", "CUT"), no_value="no recorder told"))
    return panel


def _recorded() -> timeseries.Panel:
    about = About(
        "Recorded",
        "Only with `--record`: operations written a second, dashed those that are in no file, and bytes a second.",
        "Dropped above 0: the disk does not keep up, and the recording has holes.",
    )

    def rate(name: str) -> str:
        return f"sum(rate({of_monitor(name)}[$__rate_interval]))"

    queries = [
        Query(rate("recording_ops_total"), "operations"),
        Query(rate("recording_dropped_total"), "dropped", True),
        Query(rate("recording_bytes_total"), "bytes"),
    ]
    panel = lines(about, queries, Figure("cps", 1), zero=True)
    return panel.override_by_query("C", [dashboard.DynamicConfigValue("unit", "Bps")])
