"""The pinned arithmetic of the stages."""

import json
import os
import subprocess
import sys

import pytest

from slipway import arithmetic
from tests.conftest import ROOT

READ_BACK = """
import json, os, sys
from slipway import arithmetic
arithmetic.pin()
import numpy
from numpy._core._multiarray_umath import __cpu_features__ as features
from threadpoolctl import threadpool_info
print(json.dumps({
    # The groups that NumPy chooses among; single AVX-512 flags stay set.
    "wide": [name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if features[name]],
    "pools": [{key: each.get(key) for key in ("num_threads", "architecture")}
              for each in threadpool_info()],
    "java": os.environ.get("JDK_JAVA_OPTIONS"),
}))
"""

x86_64 = pytest.mark.skipif(
    not arithmetic.is_x86_64(), reason="the pinned libraries have these choices on x86-64 only"
)


def python(code: str, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = arithmetic.without_pins(os.environ)
    kept.pop(arithmetic.CHOICE, None)
    return subprocess.run(
        [sys.executable, *words, "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )


@x86_64
def test_libraries_see_no_wider_instructions_and_warn_of_nothing() -> None:
    done = python(READ_BACK, "-W", "error")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wide"] == []
    assert found["pools"]
    for pool in found["pools"]:
        assert pool["architecture"] == "Haswell"
        # OpenBLAS starts no more threads than there are cores.
        assert pool["num_threads"] == min(2, os.cpu_count() or 1)
    assert arithmetic.JAVA_PIN in found["java"]


@x86_64
def test_matrix_products_use_the_mode_that_is_equal_on_both_makers_processors() -> None:
    """MKL reports the mode of each call; tests/drills/test_processors.py compares the results."""
    code = "from slipway import arithmetic as a; a.pin(); import torch; torch.ones(40, 40).mm("
    done = python(f"{code}torch.ones(40, 40))", MKL_VERBOSE="1")
    (call,) = [line for line in done.stdout.splitlines() if "SGEMM" in line]
    assert "CNR:COMPATIBLE" in call


@x86_64
def test_opencv_uses_no_wider_instructions_and_complains_of_nothing() -> None:
    """Its line of features marks those that the code was built for by *, and those unused by ?."""
    code = "from slipway import arithmetic as a; a.pin(); import cv2;"
    done = python(f"{code} print(cv2.ipp.getIppVersion()); print(cv2.getCPUFeaturesLine())")
    primitives, features = done.stdout.splitlines()
    assert "AVX2" in primitives
    (wide,) = [word for word in features.split() if "AVX512-SKX" in word]
    assert wide == "*AVX512-SKX?"
    assert done.stderr == ""


@x86_64
def test_numba_compiles_for_no_wider_instructions() -> None:
    """Read back from the compiler, which would otherwise take them from this processor."""
    code = (
        "from slipway import arithmetic as a; a.pin(); from numba.core.registry import cpu_target;"
    )
    done = python(f"{code} print(cpu_target.target_context.codegen()._tm_features)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == arithmetic.INSTRUCTIONS["NUMBA_CPU_FEATURES"]


def test_options_of_java_are_kept_and_the_pin_is_set_once() -> None:
    code = "from slipway import arithmetic as a; import os; a.pin(); a.pin();" + (
        "print(os.environ['JDK_JAVA_OPTIONS'])"
    )
    done = python(code, JDK_JAVA_OPTIONS="-Xmx1g")
    assert done.stdout.split() == ["-Xmx1g", arithmetic.JAVA_PIN]


def test_pinning_after_an_import_is_an_error() -> None:
    done = python("import numpy; from slipway import arithmetic; arithmetic.pin()")
    assert "numpy imported before the arithmetic was pinned" in done.stderr


def test_numpy_may_be_imported_if_the_variables_were_set() -> None:
    code = "import numpy; from slipway import arithmetic; arithmetic.pin()"
    done = python(code, **arithmetic.of_this_processor())
    assert done.returncode == 0, done.stderr


def test_the_processor_may_choose_its_instructions() -> None:
    code = "from slipway import arithmetic as a; import os; a.pin();" + (
        "print(sorted(set(a.INSTRUCTIONS) & set(os.environ)))"
    )
    assert python(code, SLIPWAY_ARITHMETIC="processor").stdout.strip() == "[]"
    refused = python(code, SLIPWAY_ARITHMETIC="fast")
    assert "SLIPWAY_ARITHMETIC must be pinned or processor, got 'fast'" in refused.stderr


@pytest.mark.parametrize("stage", ["prepare", "fit", "evaluate", "register"])
def test_every_stage_pins_before_importing_libraries(stage: str) -> None:
    """The command line runs a replaced stage, which prints the variables."""
    code = f"""
import importlib, os, sys
from slipway import arithmetic
early = [name for name in arithmetic.READERS if name in sys.modules]
pinned = arithmetic.pin
def pin():
    assert not [name for name in arithmetic.READERS if name in sys.modules]
    pinned()
arithmetic.pin = pin
found = importlib.import_module
def import_replaced(name, package=None):
    module = found(name, package)
    if name in ("slipway.stages.{stage}", "slipway.registry.signed"):
        module.{stage} = lambda work: print(work.project.name, os.environ["OMP_NUM_THREADS"])
    return module
importlib.import_module = import_replaced
sys.argv = ["slipway", {stage!r}, {str(ROOT / "pipelines" / "ml" / "titanic")!r}]
from slipway.cli import main
main()
"""
    done = python(code)
    assert done.stdout.strip() == "titanic 2", done.stderr


def test_a_processor_without_avx2_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arithmetic, "_cpuinfo", lambda field: "sse4_2 avx")
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "x86_64")
    assert "no AVX2" in arithmetic.unlike_committed()
    for name, value in arithmetic.of_this_processor().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "")
    arithmetic.pin()
    assert "this processor has no AVX2" in capfd.readouterr().err


def test_on_arm_a_message_says_that_locks_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "aarch64")
    assert "aarch64" in arithmetic.unlike_committed()
    assert "locks are not compared" in arithmetic.unlike_committed()


def test_the_processor_is_named() -> None:
    assert arithmetic.processor()
