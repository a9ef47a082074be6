"""Pin the arithmetic of every stage to one instruction set and a fixed number of threads.

NumPy, OpenBLAS, oneDNN, MKL, torch, OpenCV, faiss, Arrow, Numba and Java choose their instructions
by the processor at run time, and each choice sums floats in a different order. If these variables
are set before any of them is imported, equal inputs give equal bytes on every x86-64 processor with
AVX2; see docs/same_bytes.md. Torch loses about 15 % of its speed on processors with AVX-512.
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

# Sums of floats depend on how the work is divided among threads.
THREADS = "2"
INSTRUCTIONS: Mapping[str, str] = {
    # NumPy 2.4's names for all instruction sets above AVX2.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    # On AMD, MKL has kernels of its own and takes only this mode; without it matrix products, and
    # so the weights of networks, differ between the two makers. Products take 1.8 to 2.8 times
    # as long, recurrent networks 1.2 to 1.4 times, oneDNN's convolutions as long as before.
    "MKL_CBWR": "COMPATIBLE",
    # The primitives that Intel supplies to OpenCV.
    "OPENCV_IPP": "avx2",
    "FAISS_OPT_LEVEL": "avx2",
    "ARROW_USER_SIMD_LEVEL": "AVX2",
    "NUMBA_CPU_NAME": "haswell",
    # Unless they are given, Numba takes the features of the processor that it runs on.
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+popcnt,+sse4.2",
}
PINS: Mapping[str, str] = {
    **INSTRUCTIONS,
    "OMP_NUM_THREADS": THREADS,
    "OMP_DYNAMIC": "false",
    "OPENBLAS_NUM_THREADS": THREADS,
    "MKL_NUM_THREADS": THREADS,
    "NUMEXPR_NUM_THREADS": THREADS,
    "NUMBA_NUM_THREADS": THREADS,
}
# OpenCV's own code has only a list of what to leave out; it complains if the processor lacks that.
OPENCV_OPTIONS, OPENCV_PIN = "OPENCV_CPU_DISABLE", "AVX512-SKX"
OPENCV_WIDE = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})
# Libraries that read the variables once, when they are imported.
READERS = ("numpy", "torch", "cv2", "faiss", "pyarrow", "numba", "scipy")
# `processor` leaves the choice to the processor: faster, but results may differ from the locks.
CHOICE, PINNED, UNPINNED = "SLIPWAY_ARITHMETIC", "pinned", "processor"
# Java has no variable for its vector instructions, only this option; other options are kept.
JAVA_OPTIONS, JAVA_PIN = "JDK_JAVA_OPTIONS", "-XX:UseAVX=2"


def pin() -> None:
    """Set the variables for this process and its children. Call this before any other import.

    With SLIPWAY_ARITHMETIC=processor nothing is set. If the processor is not an x86-64 or lacks
    AVX2, a line on standard error says that results may differ from the committed ones.

    Raises:
        ValueError: SLIPWAY_ARITHMETIC is neither `pinned` nor `processor`.
        RuntimeError: a library that reads the variables was imported before, and they differ.
    """
    choice = os.environ.get(CHOICE) or PINNED
    if choice not in (PINNED, UNPINNED):
        raise ValueError(f"{CHOICE} must be {PINNED} or {UNPINNED}, got {choice!r}")
    if choice == UNPINNED:
        return
    pins = of_this_processor()
    differing = [name for name, value in pins.items() if os.environ.get(name) != value]
    early = [name for name in READERS if name in sys.modules]
    if differing and early:
        raise RuntimeError(
            f"{', '.join(early)} imported before the arithmetic was pinned; set "
            f"{', '.join(differing)} first"
        )
    os.environ.update(pins)
    if is_x86_64() and JAVA_PIN not in os.environ.get(JAVA_OPTIONS, ""):
        os.environ[JAVA_OPTIONS] = f"{os.environ.get(JAVA_OPTIONS, '')} {JAVA_PIN}".strip()
    if reason := unlike_committed():
        print(f"slipway: {reason}", file=sys.stderr, flush=True)


def of_this_processor() -> dict[str, str]:
    """Return the variables to set, with those that only some processors need."""
    return {**PINS, **({OPENCV_OPTIONS: OPENCV_PIN} if flags() >= OPENCV_WIDE else {})}


def without_pins(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those that `pin` sets, for a process that sets its own."""
    pins = of_this_processor()
    return {name: value for name, value in environment.items() if name not in pins}


def is_x86_64() -> bool:
    """Return whether this machine's processor is an x86-64."""
    return platform.machine().lower() in ("x86_64", "amd64")


def unlike_committed() -> str:
    """Return why results may differ from the committed ones; empty if they do not.

    The committed results were computed with AVX2 on x86-64.
    """
    if not is_x86_64():
        return (
            f"this processor is {platform.machine()}: figures may differ in their last digits from "
            "the committed ones, which x86-64 computed, and locks are not compared"
        )
    known = flags()
    if known and "avx2" not in known:
        return "this processor has no AVX2: results may differ from the committed locks"
    return ""


def flags() -> frozenset[str]:
    """Return the processor's instruction sets by their Linux names; empty if unknown."""
    return frozenset(_cpuinfo("flags").split())


def processor() -> str:
    """Return the processor's name and its widest instruction set: `AMD EPYC, avx512f`."""
    known = flags()
    widest = next((each for each in ("avx512f", "avx2", "avx") if each in known), "")
    parts = (_cpuinfo("model name") or platform.processor() or platform.machine(), widest)
    return ", ".join(part for part in parts if part)


def _cpuinfo(field: str) -> str:
    """Return the first value of `field` in /proc/cpuinfo; empty outside Linux."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return ""
    for line in file.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
