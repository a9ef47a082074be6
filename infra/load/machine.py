"""Describe the machine, as far as it affects the results."""

import os
import platform
from pathlib import Path

import psutil


def describe() -> dict[str, str | int | float]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        # Above about 0.2, something else was running.
        "load_before": round(os.getloadavg()[0], 2),
    }
