"""Reference rows of a version, as they are read from its artifact."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from slipway.registry import reference

ROW = {"record": {"x": 1}, "prediction": {"y": 2}, "label": {"y": 3}, "label_type": "Total"}


@pytest.mark.parametrize(
    "written",
    [ROW, {"record": {"x": 1}, "answer": {"y": 2}, "truth": {"y": 3}, "label": "Total"}],
    ids=["now", "by an earlier version"],
)
def test_rows_have_the_same_names_whenever_they_were_registered(
    tmp_path: Path, written: dict[str, object]
) -> None:
    version = SimpleNamespace(run_id="run", tags={reference.TAG: "1"})
    file = tmp_path / version.run_id / reference.FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(json.dumps(written).encode()))
    assert reference.read(version, tmp_path) == [ROW]
