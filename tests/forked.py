"""Run Python code in processes that fork from one with torch, scikit-learn and MLflow imported.

    with ForkedRuns(folder) as runs:
        run = runs.run(code, "an argument", folder=repository)
        assert run.status == 0, run.output

Each run is a process of its own, with its own current folder and modules, and is spared 3 CPU
seconds of imports. The first process imports nothing of Slipway, so `slipway` and `pipelines` are
those of the run's folder. It calls nothing that starts threads, which would not survive the fork.
"""

import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType

HEAVY = (
    "matplotlib.pyplot",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnx",
    "onnxruntime",
    "pandas",
    "scipy.stats",
    "skl2onnx",
    "sklearn.ensemble",
    "torch.export",
)


@dataclass(frozen=True)
class Run:
    """The exit status of a run, and what it printed."""

    status: int
    output: str


class ForkedRuns:
    """The process that runs fork from; it starts with the block and ends with it."""

    def __init__(self, folder: Path) -> None:
        """Keep the output of the runs in `folder`."""
        self.folder = folder
        self.runs = 0

    def __enter__(self) -> "ForkedRuns":
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()

    def run(self, code: str, *arguments: object, folder: Path) -> Run:
        """Execute `code` in `folder`, with the arguments in `sys.argv[1:]`."""
        assert self.process.stdin
        assert self.process.stdout
        self.runs += 1
        log = self.folder / f"run-{self.runs}.log"
        task = {
            "code": code,
            "arguments": [str(each) for each in arguments],
            "folder": str(folder),
            "log": str(log),
            "environment": dict(os.environ),
        }
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process that runs fork from has ended"
        return Run(int(answer), log.read_text(errors="replace"))


def serve() -> None:
    """Fork a process for each line on standard input, and print its exit status."""
    # What the imports print goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.pop(0)  # this folder, whose modules are no top-level modules
    for name in HEAVY:
        import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _execute(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _execute(task: dict[str, str]) -> None:
    """Run a task's code as the main module, and end this process."""
    status = 1
    try:
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(task["environment"])  # type: ignore[arg-type]
        os.chdir(task["folder"])
        sys.path.insert(0, task["folder"])
        sys.argv = ["-c", *task["arguments"]]
        exec(task["code"], {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
