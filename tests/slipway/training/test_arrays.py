"""Arrays in one file: they are read back as written, with equal bytes under every Python 3.11."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway.training.arrays import write_arrays
from tests.conftest import ROOT

CODE = """
import sys
from pathlib import Path
import numpy as np
from slipway.training.arrays import write_arrays
write_arrays(Path(sys.argv[1]), numbers=np.arange(6.0).reshape(2, 3), one=0.5)
"""
# Computed with Python 3.11.2 and 3.11.7.
SHA256 = "b30f6b80edeb1f984c569dab38e1407bc71aebc236ce6a84f78e6227242258b9"


def test_arrays_are_read_back(tmp_path: Path) -> None:
    numbers, names = np.arange(6.0).reshape(2, 3), np.array(["a", "bc"])
    write_arrays(tmp_path / "some.npz", numbers=numbers, names=names, one=0.5)
    with np.load(tmp_path / "some.npz", allow_pickle=False) as found:
        assert sorted(found) == ["names", "numbers", "one"]
        assert np.array_equal(found["numbers"], numbers)
        assert found["names"].tolist() == ["a", "bc"]
        assert float(found["one"]) == 0.5


def test_the_bytes_are_the_same_under_every_python(tmp_path: Path) -> None:
    file = tmp_path / "some.npz"
    subprocess.run([sys.executable, "-c", CODE, file], cwd=ROOT, check=True)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == SHA256


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(tmp_path / "some.npz", some=np.array([{}]))
