"""A limit on the memory of this process, held by the kernel."""

import resource
from pathlib import Path


def limit_memory(size: int) -> None:
    """Allow this process `size` bytes of memory beside what it has; write no core file.

    Allocations beyond it fail: Python raises MemoryError, and libraries their own errors.
    """
    limit = _data_bytes() + size
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _data_bytes() -> int:
    """Return what RLIMIT_DATA counts: private writable memory, including untouched pages."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024
