"""The servers that are compared, and how each is started."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import dialects, work
from benchmarks.environments import python_of
from benchmarks.registry import NAME, registry
from benchmarks.rival import Call, NotRun, RequestBody, Rival
from benchmarks.subject import Subject
from services.predict.triton import server as triton_server
from slipway import home
from slipway.home import free_port
from slipway.registry import signatures

HERE = Path(__file__).parent
OWN = Path(sys.executable)
LIMIT, FASTAPI, SLIPWAY = "noop", "fastapi", "slipway"


class Place(NamedTuple):
    title: str
    opened: Callable[[Subject], AbstractContextManager[Rival]]
    """Prepares the server, which `server.serving` starts within the block.

    Raises NotRun: a prerequisite is missing.
    """


def _environment(subject: Subject, port: int) -> dict[str, str]:
    return {
        "PYTHONPATH": str(home.root()),
        "BENCHMARK_MODEL": str(subject.graph),
        "BENCHMARK_PORT": str(port),
    }


def _uvicorn(app: str, port: int) -> list[str]:
    return [
        *(str(OWN), "-m", "uvicorn", app, "--host", home.LOOPBACK, "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]


def _record(path: str, *keys: str) -> Call:
    return Call(path, dialects.record, dialects.probability_reader(*keys), "probability")


def _records(path: str, *keys: str) -> Call:
    return Call(path, dialects.record_list, dialects.probability_reader(*keys), "probability")


@contextmanager
def noop(subject: Subject) -> Iterator[Rival]:
    port = free_port()
    yield Rival(
        name=LIMIT,
        python=OWN,
        command=_uvicorn("benchmarks.rivals.noop_app:app", port),
        port=port,
        ready="/",
        single=_record("/predict"),
        environment=_environment(subject, port),
        packages=("uvicorn", "uvloop", "httptools"),
        runs_model=False,
    )


@contextmanager
def fastapi(subject: Subject) -> Iterator[Rival]:
    port = free_port()
    yield Rival(
        name=FASTAPI,
        python=OWN,
        command=_uvicorn("benchmarks.rivals.fastapi_app:app", port),
        port=port,
        ready="/ready",
        single=_record("/predict"),
        many={"JSON records": _records("/predict_many")},
        environment=_environment(subject, port),
        packages=("fastapi", "pydantic", "onnxruntime", "uvicorn"),
    )


@contextmanager
def bentoml(subject: Subject) -> Iterator[Rival]:
    def wrapped(name: str, call: Call) -> Call:
        """Wrap the body: BentoML requires the method's arguments by name."""

        def write(rows: np.ndarray) -> RequestBody:
            inner = call.write(rows)
            return RequestBody(b'{"%s":%s}' % (name.encode(), inner.body), inner.headers)

        return Call(call.path, write, call.read, call.key)

    port = free_port()
    yield Rival(
        name="bentoml",
        python=OWN,
        command=[
            *(OWN, "-m", "bentoml", "serve", "benchmarks.rivals.bentoml_service:Cancer"),
            *("--working-dir", home.root(), "--host", home.LOOPBACK, "--port", str(port)),
        ],
        port=port,
        ready="/readyz",
        single=wrapped("tumour", _record("/predict")),
        many={"JSON records": wrapped("tumours", _records("/predict_many"))},
        environment={
            **_environment(subject, port),
            "BENTOML_HOME": str(work.folder() / "running" / "bentoml"),
        },
        packages=("bentoml", "pydantic", "onnxruntime"),
    )


@contextmanager
def litserve(subject: Subject) -> Iterator[Rival]:
    port, python = free_port(), python_of("litserve")
    yield Rival(
        name="litserve",
        python=python,
        command=[python, "-m", "benchmarks.rivals.litserve_server"],
        port=port,
        ready="/health",
        single=_record("/predict"),
        environment=_environment(subject, port),
        packages=("litserve", "fastapi", "onnxruntime"),
    )


@contextmanager
def mlserver(subject: Subject) -> Iterator[Rival]:
    port, python = free_port(), python_of("mlserver")
    folder = work.folder() / "running" / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": home.LOOPBACK,
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    model = {"name": NAME, "implementation": "benchmarks.rivals.mlserver_runtime.Cancer"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    path = f"/v2/models/{NAME}/infer"
    tensors = Call(path, dialects.tensor_json, dialects.read_tensor_json, "probability")
    yield Rival(
        name="mlserver",
        python=python,
        command=[python.with_name("mlserver"), "start", folder],
        port=port,
        ready=f"/v2/models/{NAME}/ready",
        single=tensors,
        many={"V2 JSON tensor": tensors},
        environment=_environment(subject, port),
        packages=("mlserver", "fastapi", "onnxruntime"),
    )


@contextmanager
def mlflow(subject: Subject) -> Iterator[Rival]:
    port = free_port()
    calls = Call(
        "/invocations",
        dialects.mlflow_inputs,
        dialects.probability_reader("predictions"),
        "probability",
    )
    yield Rival(
        name="mlflow",
        python=OWN,
        command=[
            *(OWN, "-m", "mlflow", "models", "serve", "--model-uri", subject.shipped.folder),
            *("--env-manager", "local", "--host", home.LOOPBACK, "--port", str(port)),
        ],
        port=port,
        ready="/ping",
        single=calls,
        many={"JSON records": calls},
        # Its own command line has no option for it.
        environment={**_environment(subject, port), "UVICORN_ACCESS_LOG": "false"},
        packages=("mlflow", "fastapi", "onnxruntime"),
    )


@contextmanager
def triton(subject: Subject) -> Iterator[Rival]:
    port = free_port()
    models = work.folder() / "running" / "triton"
    shutil.rmtree(models, ignore_errors=True)
    shutil.copytree(HERE / "rivals" / "triton", models)
    shutil.copy(subject.graph, models / NAME / "1")
    try:
        python = triton_server.environment() / "bin" / "python"
    except triton_server.TritonFault as fault:
        raise NotRun(" ".join(str(fault).split())) from fault

    @contextmanager
    def start(log: Path) -> Iterator[int]:
        try:
            with triton_server.running(
                models, http=port, grpc=free_port(), metrics=free_port(), log=log
            ) as server:
                yield server.process.pid
        except triton_server.TritonFault as fault:
            raise NotRun(str(fault)) from fault

    path = f"/v2/models/{NAME}/infer"
    json_tensor = Call(path, dialects.tensor_json, dialects.read_tensor_json, "probability")
    binary = Call(path, dialects.tensor_binary, dialects.read_binary, "probability")
    yield Rival(
        name="triton",
        python=python,
        command=start,
        port=port,
        ready="/v2/health/ready",
        single=json_tensor,
        many={"V2 binary tensor": binary, "V2 JSON tensor": json_tensor},
        packages=("nvidia-pytriton", "onnxruntime"),
    )


@contextmanager
def slipway(subject: Subject) -> Iterator[Rival]:
    """Slipway with all features enabled and an empty home: it first fetches and checks the
    model."""
    port, own = free_port(), work.folder() / "home"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    predict = f"/v1/models/{NAME}/predict"
    with registry(subject) as address:
        yield Rival(
            name=SLIPWAY,
            python=OWN,
            command=[OWN, "-m", "services.predict"],
            port=port,
            ready="/v1/ready",
            single=_record(predict, "predictions"),
            many={
                "V2 binary columns": Call(
                    f"/v2/models/{NAME}/infer",
                    dialects.columns_binary,
                    dialects.read_binary,
                    "probability",
                ),
                "JSON records": _records(predict, "predictions"),
            },
            environment={
                "PYTHONPATH": str(home.root()),
                "SLIPWAY_HOME": str(own),
                "SLIPWAY_SIGNING_KEY": str(signatures.signing_key_file()),
                "SLIPWAY_PREDICT_PORT": str(port),
                "MLFLOW_TRACKING_URI": address,
            },
            packages=("pydantic", "onnxruntime", "uvicorn"),
        )


ROSTER = {
    LIMIT: Place("no-op ASGI app, uvicorn", noop),
    FASTAPI: Place("FastAPI + ONNX Runtime", fastapi),
    "bentoml": Place("BentoML", bentoml),
    "litserve": Place("LitServe", litserve),
    "mlserver": Place("MLServer", mlserver),
    "mlflow": Place("mlflow models serve", mlflow),
    "triton": Place("Triton, Python backend", triton),
    SLIPWAY: Place("Slipway", slipway),
}
