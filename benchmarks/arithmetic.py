"""Measure what MKL's mode for both makers costs: `python -m benchmarks.arithmetic`.

Each operation is timed in processes that alternate between MKL's own choice and the pinned mode;
all other pins stay. Writes arithmetic.json and the table in docs/same_bytes.md.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from infra.load import machine
from slipway import arithmetic, home
from slipway.marks import replace_between

FILE, MARK = Path(__file__).with_name("arithmetic.json"), "arithmetic"
PAGE = home.root() / "docs" / "same_bytes.md"
MODES = ("AUTO", arithmetic.PINS["MKL_CBWR"])
# What a process runs; it prints the shortest of seven milliseconds of each operation.
TIMED = """
import json, os, time
from slipway import arithmetic
arithmetic.pin()
os.environ["MKL_CBWR"] = {mode!r}
import torch
def milliseconds(run, times):
    run()
    shortest = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(times):
            run()
        shortest = min(shortest, (time.perf_counter() - began) / times)
    return 1000 * shortest
def learning(layer, x):
    def run():
        found = layer(x)
        (found[0] if isinstance(found, tuple) else found).square().sum().backward()
    return run
a, b, c = torch.randn(128, 784), torch.randn(784, 256), torch.randn(1024, 1024)
words, pictures = torch.randn(64, 100, 64), torch.randn(64, 32, 14, 14)
recurrent = {{"simple recurrent layer": torch.nn.RNN, "GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}}
print(json.dumps({{
    "product of 128 x 784 and 784 x 256": milliseconds(lambda: a @ b, 50),
    "product of 1024 x 1024 and 1024 x 1024": milliseconds(lambda: c @ c, 3),
    **{{f"{{name}}, forward and backward": milliseconds(learning(
        kind(64, 64, batch_first=True), words), 2) for name, kind in recurrent.items()}},
    "convolution, forward and backward": milliseconds(learning(
        torch.nn.Conv2d(32, 64, 3, padding=1), pictures), 5),
}}))
"""


def main() -> None:
    """Measure, print the table, and write it unless `--dry` is given."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--dry", action="store_true", help="write nothing")
    options.add_argument("--rounds", type=int, default=3, help="processes of each mode")
    arguments = options.parse_args()
    machine_info = machine.describe()
    measured = {mode: dict[str, float]() for mode in MODES}
    rounds = [{mode: timed(mode) for mode in MODES} for _ in range(arguments.rounds)]
    for mode in MODES:
        for name in rounds[0][mode]:
            measured[mode][name] = median(each[mode][name] for each in rounds)
    text = table(measured, str(machine_info["cpu"]))
    print(text)
    if not arguments.dry:
        content = {"machine": machine_info, "milliseconds": measured}
        FILE.write_text(json.dumps(content, indent=1) + "\n")
        replace_between(PAGE, MARK, text)


def timed(mode: str) -> dict[str, float]:
    """Return the milliseconds of each operation in a new process with this mode of MKL."""
    kept = arithmetic.without_pins(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(mode=mode)],
        env={**kept, "PYTHONPATH": str(home.root())},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(measured: dict[str, dict[str, float]], cpu: str) -> str:
    """Return the figures as a table in Markdown."""
    own, pinned = (measured[mode] for mode in MODES)
    lines = [
        "| operation | MKL's choice, ms | pinned, ms | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {own[name]:.2f} | {pinned[name]:.2f} | {pinned[name] / own[name]:.2f} |"
        for name in own
    ]
    return "\n".join([*lines, "", f"{cpu}, two threads; `python -m benchmarks.arithmetic`."])


if __name__ == "__main__":
    main()
