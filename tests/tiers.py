"""Assign every test file to a tier.

    python -m tests.tiers fast      prints the files that `make test-fast` runs

`fast` files start no server, train no project and install nothing. `containers` need a Docker
engine. `drills` take minutes each; tests/drills/conftest.py names the one that `make test` runs.
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
    "services": """
        batching form_fields monitor_pages openapi rollout_measurements rollout_media rollout_rules
        trainer_decisions trainer_overrides
    """,
    "slipway": """
        ab_comparison access_audit access_keys access_limits always_valid archives arrays
        calibration card chain check conformal contract datasets_add distributions explain
        feedback kits_detection kits_metrics kits_readers kits_records kits_tensors
        labelled_feedback labelled_records media_boxes media_cache media_fields
        media_fuzz media_hostile media_mlflow media_page media_pictures
        media_sound media_state media_summary media_video metrics parity prediction_log
        prediction_log_compaction prediction_log_durability promotion record selection
        training_graph training_plots two_sample_statistics
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
    "tests/drills/*": "drills",
    **_named("fast", FAST_BY_FOLDER),
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
