"""The row on the machine that all containers share."""

from infra.grafana.dashboard import Row
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import rate

JOB = 'job="node"'
EMPTY = "Empty where no node exporter runs, as with `make up`."
DISK_LOW = 0.1
"""The threshold of the alert of that name."""
WRITTEN_TO = f"node_filesystem_readonly{{{JOB}}} == 0"
ROOM, SIZE = (f"node_filesystem_{name}_bytes{{{JOB}}}" for name in ("avail", "size"))


def _share_of_cores(modes: str) -> str:
    """Return the mean share of the machine's cores in one of the modes."""
    spent = rate("node_cpu_seconds_total", f'{JOB},mode=~"{modes}"', by="instance")
    return f'{spent} / count by (instance) (node_cpu_seconds_total{{{JOB},mode="idle"}})'


ROW = Row(
    title="Machine",
    panels=(
        Panel(
            title="Processors",
            description="Share of all cores that are busy, that wait for a disk, and that "
            "another virtual "
            f"machine took. {EMPTY}",
            unit="percentunit",
            queries=(
                Query(expr=f"1 - {_share_of_cores('idle|iowait')}", legend="busy {{instance}}"),
                Query(expr=_share_of_cores("iowait"), legend="waiting {{instance}}"),
                Query(expr=_share_of_cores("steal"), legend="taken {{instance}}"),
            ),
            thresholds=((0.8, "yellow"), (0.95, "red")),
            most=1,
            width=6,
        ),
        Panel(
            title="Available memory",
            description="Share that programs can still allocate. At 0 the kernel kills one of "
            "them. "
            f"{EMPTY}",
            unit="percentunit",
            queries=(
                Query(
                    expr=f"node_memory_MemAvailable_bytes{{{JOB}}} "
                    f"/ node_memory_MemTotal_bytes{{{JOB}}}",
                    legend="{{instance}}",
                ),
            ),
            base="red",
            thresholds=((0.05, "yellow"), (0.15, "green")),
            most=1,
            width=6,
        ),
        Panel(
            title="Free disk space, now and in 4 hours",
            description="Free share by mount point, and its extrapolation in 4 hours from the "
            "last hour. "
            f"The lowest fills up first. Below {DISK_LOW:.0%} an alert fires. "
            f"{EMPTY}",
            unit="percentunit",
            queries=(
                Query(expr=f"{ROOM} / {SIZE} and {WRITTEN_TO}", legend="{{mountpoint}}"),
                Query(
                    expr=f"clamp(predict_linear({ROOM}[1h], 4 * 3600) / {SIZE}, 0, 1) "
                    f"and {WRITTEN_TO}",
                    legend="{{mountpoint}} in 4 h",
                ),
            ),
            base="red",
            thresholds=((DISK_LOW, "yellow"), (2 * DISK_LOW, "green")),
            most=1,
            width=6,
        ),
        Panel(
            title="Disk utilization",
            description="Share of the time in which a disk was busy. A disk that is always busy "
            "may "
            f"still take more, if it processes requests in parallel. {EMPTY}",
            unit="percentunit",
            queries=(
                Query(
                    expr=rate("node_disk_io_time_seconds_total", JOB, by="instance, device"),
                    legend="{{device}}",
                ),
            ),
            most=1,
            width=6,
        ),
    ),
)
