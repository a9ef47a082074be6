"""Train every project, each on whichever node of a Ray cluster has room.

What a run shares with the others lies on the volume that all nodes mount: DVC's cache and the
promotion log. Each node has a repository of its own.
"""

import subprocess
import sys

import ray

from slipway.project import discover

CORES = 2


@ray.remote(num_cpus=CORES, max_retries=2)
def train(file: str) -> int:
    """Run `dvc repro` on a dvc.yaml; return its exit status. Its output is in the job's log."""
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro", file], cwd="/repository"
    ).returncode


def main() -> int:
    ray.init()
    files = {each.name: f"pipelines/{each.track}/{each.name}/dvc.yaml" for each in discover()}
    codes = ray.get([train.remote(file) for file in files.values()])
    failed = [name for name, code in zip(files, codes, strict=True) if code]
    if failed:
        print(f"{len(failed)} of {len(files)} projects failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
