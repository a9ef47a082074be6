"""Measure ONNX Runtime without a server: the session on one array of 1,000 rows."""

import sys
import time

import numpy as np

from benchmarks.rivals.session import open_session


def main(file: str, seconds: float) -> float:
    """Return rows a second, from the median time of a call on the array in `file`."""
    rows = np.load(file)
    session = open_session()
    times = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        session.run(None, {"numbers": rows})
        times.append(time.perf_counter() - began)
    return len(rows) / float(np.median(times))


if __name__ == "__main__":
    print(main(sys.argv[1], float(sys.argv[2])))
