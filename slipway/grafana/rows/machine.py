"""The machine that all containers share."""

from slipway.grafana.dashboard import Row
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import rate

JOB = 'job="node"'
EMPTY = "Empty where no node exporter runs, as with `make up`."
DISK_LOW = 0.1
"""Below it the alert of that name fires."""
WRITTEN_TO = f"node_filesystem_readonly{{{JOB}}} == 0"
ROOM, SIZE = (f"node_filesystem_{name}_bytes{{{JOB}}}" for name in ("avail", "size"))


def _of_cores(modes: str) -> str:
    """Mean share of the machine's cores that were in one of the modes."""
    spent = rate("node_cpu_seconds_total", f'{JOB},mode=~"{modes}"', by="instance")
    return f'{spent} / count by (instance) (node_cpu_seconds_total{{{JOB},mode="idle"}})'


ROW = Row(
    title="Machine",
    panels=(
        Panel(
            title="Processors",
            description="Share of all cores that work, that wait for a disk, and that another "
            f"virtual machine took. {EMPTY}",
            unit="percentunit",
            queries=(
                Query(expr=f"1 - {_of_cores('idle|iowait')}", legend="busy {{instance}}"),
                Query(expr=_of_cores("iowait"), legend="waiting {{instance}}"),
                Query(expr=_of_cores("steal"), legend="taken {{instance}}"),
            ),
            thresholds=((0.8, "yellow"), (0.95, "red")),
            most=1,
            width=6,
        ),
        Panel(
            title="Memory that is available",
            description="Share that programs can still have. At 0 the kernel ends one of them. "
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
            title="Room on disks, now and in 4 hours",
            description="Share that is free by mount point, and what will be if it fills on as in "
            f"the last hour: the lowest fills first. Under {DISK_LOW:.0%} an alert fires. "
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
            title="Disks at work",
            description="Share of the time in which a disk had something to do. One that always "
            f"has may still take more, if it does several things at once. {EMPTY}",
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
