"""The servers of pictures, each with and without batches of requests."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from benchmarks import dialects, work
from benchmarks.environments import python_of
from benchmarks.media.subject import PICTURES, MediaSubject
from benchmarks.rival import Call, NotRun, RequestBody, Rival
from services.predict.triton import server as triton_server
from slipway import home
from slipway.home import free_port
from slipway.registry import signatures

HERE = Path(__file__).parent
OWN = Path(sys.executable)
BATCH = 16
SLIPWAY = "Slipway"
Opened = AbstractContextManager[Rival]


def pillow() -> Path:
    """Return a folder with Pillow alone, for environments that lack it; all are Python 3.11."""
    folder = work.folder() / "media" / "pillow"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    packages = Path(PIL.__file__).parents[1]
    for name in ("PIL", "pillow.libs"):
        (folder / name).symlink_to(packages / name)
    return folder


def _environment(subject: MediaSubject, port: int, batches: bool, *paths: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (home.root(), *paths))),
        "BENCHMARK_MODEL": str(subject.graph),
        "BENCHMARK_PORT": str(port),
        "BENCHMARK_BATCH": str(BATCH if batches else 1),
    }


def _call(path: str, subject: MediaSubject, body: Callable[[str], Any], *keys: str) -> Call:
    def write(rows: np.ndarray) -> RequestBody:
        return dialects.as_json(body(subject.texts[int(rows[0, 0])]))

    return Call(path, write, dialects.probability_reader(*keys), "probability")


def _tensors(path: str, subject: MediaSubject) -> Call:
    """Return the call of the Open Inference Protocol V2: base64 in a tensor of texts."""

    def write(rows: np.ndarray) -> RequestBody:
        text = subject.texts[int(rows[0, 0])]
        tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
        return dialects.as_json({"inputs": [tensor]})

    return Call(path, write, dialects.read_tensor_json, "probability")


@contextmanager
def bentoml(subject: MediaSubject, batches: bool) -> Iterator[Rival]:
    port = free_port()
    yield Rival(
        name="media-bentoml",
        python=OWN,
        command=[
            *(OWN, "-m", "bentoml", "serve", "benchmarks.media.rivals.bentoml_service:Pictures"),
            *("--working-dir", home.root(), "--host", home.LOOPBACK, "--port", str(port)),
        ],
        port=port,
        ready="/readyz",
        single=_call("/classify", subject, lambda text: {"images": [text]}),
        environment={
            **_environment(subject, port, batches),
            "BENTOML_HOME": str(work.folder() / "running" / "bentoml"),
        },
        packages=("bentoml", "onnxruntime", "pillow"),
    )


@contextmanager
def litserve(subject: MediaSubject, batches: bool) -> Iterator[Rival]:
    port, python = free_port(), python_of("litserve")
    yield Rival(
        name="media-litserve",
        python=python,
        command=[python, "-m", "benchmarks.media.rivals.litserve_server"],
        port=port,
        ready="/health",
        single=_call("/predict", subject, lambda text: {"image": text}),
        environment=_environment(subject, port, batches, pillow()),
        packages=("litserve", "onnxruntime"),
    )


@contextmanager
def mlserver(subject: MediaSubject, batches: bool) -> Iterator[Rival]:
    port, python = free_port(), python_of("mlserver")
    folder = work.folder() / "running" / "media-mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": home.LOOPBACK,
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    implementation = "benchmarks.media.rivals.mlserver_runtime.Pictures"
    model: dict[str, Any] = {"name": PICTURES, "implementation": implementation}
    if batches:
        model |= {"max_batch_size": BATCH, "max_batch_time": 0.002}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    yield Rival(
        name="media-mlserver",
        python=python,
        command=[python.with_name("mlserver"), "start", folder],
        port=port,
        ready=f"/v2/models/{PICTURES}/ready",
        single=_tensors(f"/v2/models/{PICTURES}/infer", subject),
        environment=_environment(subject, port, batches, pillow()),
        packages=("mlserver", "onnxruntime"),
    )


@contextmanager
def triton(subject: MediaSubject, batches: bool) -> Iterator[Rival]:
    port = free_port()
    models = work.folder() / "running" / "media-triton"
    shutil.rmtree(models, ignore_errors=True)
    (models / PICTURES / "1").mkdir(parents=True)
    shutil.copy(HERE / "rivals" / "triton_config.pbtxt", models / PICTURES / "config.pbtxt")
    shutil.copy(HERE / "rivals" / "triton_model.py", models / PICTURES / "1" / "model.py")
    shutil.copy(subject.graph, models / PICTURES / "1")
    if batches:
        with (models / PICTURES / "config.pbtxt").open("a") as config:
            config.write("dynamic_batching { }\n")
    os.environ["BENCHMARK_PILLOW"] = str(pillow())
    try:
        python = triton_server.environment() / "bin" / "python"
    except triton_server.TritonFault as fault:
        raise NotRun(" ".join(str(fault).split())) from fault

    @contextmanager
    def start(log: Path) -> Iterator[int]:
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with triton_server.running(
                models, http=port, grpc=free_port(), metrics=free_port(), log=log
            ) as server:
                yield server.process.pid
        except triton_server.TritonFault as fault:
            raise NotRun(str(fault)) from fault

    yield Rival(
        name="media-triton",
        python=python,
        command=start,
        port=port,
        ready="/v2/health/ready",
        single=_tensors(f"/v2/models/{PICTURES}/infer", subject),
        packages=("nvidia-pytriton", "onnxruntime"),
    )


def slipway(registry: str) -> Callable[[MediaSubject, bool], Opened]:
    """Return what starts the model server on a registry, with an empty home."""

    @contextmanager
    def opened(subject: MediaSubject, batches: bool) -> Iterator[Rival]:
        port, own = free_port(), work.folder() / "media" / "home"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        paths = () if batches else (HERE / "unbatched",)
        yield Rival(
            name="media-slipway",
            python=OWN,
            command=[OWN, "-m", "services.predict"],
            port=port,
            ready=f"/v1/models/{PICTURES}",
            single=_call(
                f"/v1/models/{PICTURES}/predict",
                subject,
                lambda text: {"image": text},
                "predictions",
            ),
            environment={
                **_environment(subject, port, batches, *paths),
                "SLIPWAY_HOME": str(own),
                "SLIPWAY_SIGNING_KEY": str(signatures.signing_key_file()),
                "SLIPWAY_PREDICT_PORT": str(port),
                "MLFLOW_TRACKING_URI": registry,
            },
            packages=("onnxruntime", "pillow", "uvicorn"),
        )

    return opened


def roster(registry: str) -> dict[str, Callable[[MediaSubject, bool], Opened]]:
    """Return what starts each server, by its title."""
    return {
        "BentoML": bentoml,
        "LitServe": litserve,
        "MLServer": mlserver,
        "Triton, Python backend": triton,
        SLIPWAY: slipway(registry),
    }
