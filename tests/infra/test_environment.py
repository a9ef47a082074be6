"""The locks and their installer."""

import importlib.util
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from slipway.contract.groups import group_names, serving_group
from tests.conftest import ROOT

LOCKS = ROOT / "infra" / "environment" / "locks"
PIN = re.compile(r"^([a-z0-9_.-]+)==(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    file = ROOT / "infra" / "environment" / "environment.py"
    spec = importlib.util.spec_from_file_location("environment", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(group: str) -> dict[str, str]:
    return dict(PIN.findall((LOCKS / f"{group}.txt").read_text()))


def test_each_group_holds_the_one_before(environment: ModuleType) -> None:
    groups = [pins(name) for name in environment.GROUPS]
    for smaller, larger in pairwise(groups):
        assert smaller.items() <= larger.items()
        assert len(smaller) < len(larger)


def test_the_stream_has_serving_and_its_client_alone() -> None:
    assert pins("serving").items() < pins("stream").items() < pins("development").items()
    assert pins("stream").keys() - pins("serving").keys() == {"confluent-kafka"}


def test_the_dashboard_has_the_media_packages_and_its_own_and_trains_nothing() -> None:
    own = {"lime", "matplotlib", "shap", "streamlit"}
    assert pins("media").items() < pins("explain").items() < pins("methods").items()
    assert own <= pins("explain").keys() - pins("media").keys()
    assert (
        not {"torch", "dvc", "mlflow", "lightgbm", "xgboost", "skl2onnx"} & pins("explain").keys()
    )


@pytest.mark.parametrize(
    ("group", "packages"),
    [
        ("vision", {"av", "opencv-python-headless"}),
        ("audio", {"av"}),
        ("language", {"tokenizers"}),
        ("features", {"feast", "pandas", "redis", "sqlalchemy"}),
        ("media", {"av", "feast", "opencv-python-headless", "tokenizers"}),
    ],
)
def test_a_serving_group_adds_its_packages_to_serving(group: str, packages: set[str]) -> None:
    added = pins(group).keys() - pins("serving").keys()
    assert packages <= added
    assert not {"torch", "transformers", "scikit-learn"} & added
    assert pins(group).items() <= pins("training").items()


def test_servers_look_for_the_packages_that_their_groups_have(environment: ModuleType) -> None:
    listed = environment.pyproject()["dependency-groups"]
    for name in group_names():
        group = serving_group(name)
        assert {re.split(r"[\[<>=]", each)[0] for each in listed[name]} == group.packages.keys()
        assert group.packages.keys() <= pins("media").keys()


def test_the_serving_group_has_nothing_that_it_must_not_have(environment: ModuleType) -> None:
    """Names and reasons are in pyproject.toml; a name that no lock has would forbid nothing."""
    forbidden = environment.pyproject()["tool"]["slipway"]["not-in-serving"]
    assert forbidden.keys() & pins("serving").keys() == set()
    assert forbidden.keys() - pins("development").keys() == {"torch"}  # which no lock can name
    assert {"feast", "pandas", "sqlalchemy", "scikit-learn", "sympy"} <= forbidden.keys()
    assert all(len(reason) > 20 for reason in forbidden.values())


def test_the_stream_and_the_monitor_look_up_no_features() -> None:
    for group in ("stream", "monitoring"):
        assert not {"feast", "redis", "dask"} & pins(group).keys()


@pytest.mark.parametrize("file", sorted(LOCKS.glob("*.txt")), ids=lambda file: file.stem)
def test_every_pin_has_a_hash_and_no_host(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text
    assert str(Path.home()) not in text
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if PIN.match(block):
            assert "--hash=sha256:" in block, block


def test_no_gpu_build_is_locked_or_installed(environment: ModuleType) -> None:
    import torch

    assert torch.version.cuda is None
    for group in environment.WITH_TORCH:
        gpu = [name for name in pins(group) if name.startswith(("nvidia-", "triton", "cuda"))]
        assert [name for name in gpu if name not in ("nvidia-ml-py", "tritonclient")] == []


def test_a_gpu_build_is_refused(environment: ModuleType, tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "nvidia_ml_py-13.0.dist-info").mkdir(parents=True)
    environment.refuse_gpu_builds(tmp_path)
    (site / "nvidia_cublas-13.0.dist-info").mkdir()
    with pytest.raises(environment.EnvironmentFault, match="nvidia_cublas"):
        environment.refuse_gpu_builds(tmp_path)
    (site / "nvidia_cublas-13.0.dist-info").rmdir()
    (site / "torch").mkdir()
    (site / "torch" / "version.py").write_text("cuda: Optional[str] = '13.0'\n")
    with pytest.raises(environment.EnvironmentFault, match="torch"):
        environment.refuse_gpu_builds(tmp_path)


def test_pips_settings_are_passed_on(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_FIND_LINKS", "UV_INDEX", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    env = environment.uv_environment(
        {"index-url": "https://one.example/simple", "find-links": "/a /b", "cert": "/c.pem"}
    )
    assert env["UV_DEFAULT_INDEX"] == "https://one.example/simple"
    assert env["UV_FIND_LINKS"] == "/a,/b"
    assert env["SSL_CERT_FILE"] == "/c.pem"


def test_what_an_image_installs_is_compiled_ahead(serving_python: Path) -> None:
    """An image's user may not write there: otherwise each process would compile again."""
    [site] = serving_python.parents[1].glob("lib/*/site-packages")
    for package in ("pydantic", "fastapi"):
        sources = {file.stem for file in (site / package).glob("*.py")}
        kept = {file.name.split(".")[0] for file in (site / package).glob("__pycache__/*.pyc")}
        assert sources <= kept


def test_a_full_disk_is_named(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FREE_SPACE", 2**60)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(environment.EnvironmentFault, match="disk nearly full: .* GB free"):
        environment.check_disk(tmp_path, "development")
    environment.check_disk(tmp_path, "serving")


def test_an_environment_of_links_needs_little_space(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "FREE_SPACE", 2**60)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / "archive-v0").mkdir(parents=True)
    environment.check_disk(tmp_path, "development")
    monkeypatch.setattr(environment, "FREE_SPACE_LINKED", 2**60)
    with pytest.raises(environment.EnvironmentFault, match="disk nearly full"):
        environment.check_disk(tmp_path, "development")


def test_a_missing_network_is_reported_without_a_traceback(tmp_path: Path) -> None:
    """With an index that refuses connections, the command reports it and leaves no stamp."""
    script = ROOT / "infra" / "environment" / "environment.py"
    python = Path(sys.base_prefix) / "bin" / "python3.11"
    done = subprocess.run(
        [python, script, "install", "--group", "serving", "--into", tmp_path / "venv"],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_RETRIES": "0",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "venv" / ".slipway").exists()
