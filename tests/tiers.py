"""Assign every test file to a tier.

    python -m tests.tiers fast      prints the files that `make test-fast` runs

`fast` files start no server, train no project and install nothing. `containers` need a Docker
engine. `drills` take minutes each; tests/drills/conftest.py names those that `make test` runs.
`change` is everything else; `make test` runs it with the fast files. The first pattern of `TIERS`
that fits a file decides. test_tiers.py fails for a file that none fits, as in a new folder, and for
a pattern that decides about no file any more.
"""

import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
Tier = Literal["fast", "change", "drills", "containers"]

# The files of these folders that are fast; the others start servers, run DVC or programs. A new
# file counts as one of the others until it is named here.
FAST_BY_FOLDER = {
    "infra": """
        chaos delivery_images kubernetes_keys kubernetes_network kubernetes_prometheus
        kubernetes_settings pre_commit python_sh runbook
    """,
    "pipelines/dl/block_values": "values",
    "pipelines/dl/digits": "reading",
    "pipelines/dl/digits_from_scratch": "learning",
    "pipelines/cv/codes": "codes ean13",
    "pipelines/cv/edges_and_shapes": "canny shapes",
    "pipelines/cv/lanes": "hough lines marks responses",
    "pipelines/cv/panorama": "homography panorama",
    "pipelines/cv/classical_faces": "methods",
    "services/monitor": "pages",
    "services/predict/batch": "archives",
    "services/predict": "batching form_fields openapi",
    "services/rollout": "measurements media_agreement rules",
    "services/trainer": "decisions overrides",
    "slipway/access": "audit keys limits",
    "slipway/contract": "contract record",
    "slipway/datasets": "add",
    "slipway/explain": "pictures references shapley texts",
    "slipway/kits": "detection drawings metrics readers records tensors tracking",
    "slipway/media": """
        boxes cache fields fuzz hostile mlflow page pictures sound state summary video
    """,
    "slipway/predictions": "compaction durability feedback log",
    "slipway/programs": "archives",
    "slipway/projects": "check",
    "slipway/registry": "card chain promotion reference",
    "slipway/reporting": "metrics plots",
    "slipway/statistics": "ab_comparison always_valid distributions two_sample",
    "slipway/training": """
        arrays calibration conformal graph labelled_feedback labelled_records parity selection
    """,
}


def _named(tier: Tier, by_folder: Mapping[str, str]) -> dict[str, Tier]:
    return {
        f"tests/{folder}/test_{name}.py": tier
        for folder, names in by_folder.items()
        for name in names.split()
    }


TIERS: Mapping[str, Tier] = {
    "tests/containers/*": "containers",
    # The fuzzer against servers with planted faults; with the services, it takes minutes.
    "tests/drills/fuzz/test_planted.py": "change",
    "tests/drills/*": "drills",
    **_named("fast", FAST_BY_FOLDER),
    "tests/benchmarks/*": "fast",
    "tests/infra/*": "change",
    "tests/slipway/*": "change",
    "tests/pipelines/test_readmes.py": "fast",
    # Nearly every file of these trains, exports or serves a model.
    "tests/pipelines/*": "change",
    "tests/services/*": "change",
    "tests/clients/test_python_client_retries.py": "fast",
    "tests/clients/*": "change",
    # These two start pytest, the walk starts everything.
    "tests/test_newcomer.py": "change",
    "tests/test_rerun.py": "change",
    "tests/test_container_budget.py": "change",
    "tests/test_*.py": "fast",
}


def all_files() -> list[str]:
    """Return the test files of the repository, relative to its root."""
    return sorted(file.relative_to(ROOT).as_posix() for file in (ROOT / "tests").rglob("test_*.py"))


def tier_of(file: str) -> Tier | None:
    """Return a file's tier, None if no pattern fits."""
    return next((tier for pattern, tier in TIERS.items() if fnmatchcase(file, pattern)), None)


def files(tier: Tier) -> list[str]:
    """Return the test files of a tier."""
    return [file for file in all_files() if tier_of(file) == tier]


if __name__ == "__main__":
    wanted: Tier = sys.argv[1]  # type: ignore[assignment]
    print(*files(wanted), sep="\n")
