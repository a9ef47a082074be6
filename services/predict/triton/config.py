"""Builds a model's config.pbtxt from Triton's protobuf messages.

Only the public Triton image has the backends onnx and tensorrt. Their configs are checked against
the rules of Triton's ONNX Runtime backend here, but no test runs them.
"""

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as messages  # type: ignore[import-untyped]

from services.predict.triton.settings import Backend, TritonSettings
from services.predict.triton.signature import TYPES, GraphRefused, Signature, Tensor

GRAPH, PYTHON = "model.onnx", "model.py"
# The name in Triton's ONNX Runtime backend; python_model.py reads the same one.
THREADS = "intra_op_thread_count"


def triton_name(project: str, stem: str) -> str:
    """Return the name in Triton of a project's graph `<stem>.onnx`.

    `model.onnx` has the project's name, any other one is `<project>.<stem>`.
    """
    return project if f"{stem}.onnx" == GRAPH else f"{project}.{stem}"


def model_config(
    name: str,
    signature: Signature,
    versions: list[str],
    *,
    backend: Backend,
    settings: TritonSettings,
) -> messages.ModelConfig:
    """Build the config for the versions of one model, which share a signature.

    Raises:
        GraphRefused: a tensor has no axis, or its declared shape is wrong.
        ValueError: the settings do not fit the backend.
    """
    if backend != "python":
        _check_declared_shapes(signature)
    config = messages.ModelConfig(
        name=name,
        backend="python" if backend == "python" else "onnxruntime",
        default_model_filename=PYTHON if backend == "python" else GRAPH,
        max_batch_size=settings.max_batch_size if signature.batched else 0,
    )
    if backend != "python":
        config.platform = "onnxruntime_onnx"
    config.version_policy.specific.versions.extend(int(version) for version in versions)
    for each in signature.inputs:
        _describe(config.input.add(), each, batched=signature.batched)
    for each in signature.outputs:
        _describe(config.output.add(), each, batched=signature.batched)
    instances = config.instance_group.add()
    instances.count = settings.instances.count
    instances.kind = messages.ModelInstanceGroup.Kind.Value(settings.kind(backend))
    config.parameters[THREADS].string_value = str(settings.instances.threads)
    if signature.batched:
        _batch(config, settings)
    if settings.warmup and not signature.trial_error:
        _warm_up(config)
    if backend == "tensorrt":
        _accelerate(config, settings)
    return config


def write(config: messages.ModelConfig) -> str:
    return str(text_format.MessageToString(config))


def read(text: str) -> messages.ModelConfig:
    """Parse a config.

    Raises:
        google.protobuf.text_format.ParseError: the text is not a config.
    """
    return text_format.Parse(text, messages.ModelConfig())


def _check_declared_shapes(signature: Signature) -> None:
    for each in (*signature.inputs, *signature.outputs):
        if each.declared != each.shape:
            raise GraphRefused(
                f"{each.name} is declared {_format_shape(each.declared)} but its real shape is "
                f"{_format_shape(each.shape)}, and Triton's ONNX Runtime uses the declared shape: "
                "correct the shape where the graph is exported, or use the backend python"
            )


def _format_shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join("any" if axis < 0 else str(axis) for axis in shape) + ")"


def _describe(
    message: messages.ModelInput | messages.ModelOutput,
    tensor: Tensor,
    *,
    batched: bool,
) -> None:
    message.name = tensor.name
    message.data_type = messages.DataType.Value(TYPES[tensor.type][0])
    if not batched and not tensor.shape:
        raise GraphRefused(
            f"{tensor.name} has no axis, which Triton does not support: give it an axis of size 1 "
            "where the graph is exported"
        )
    dims = tensor.shape[1:] if batched else tensor.shape
    message.dims.extend(dims or (1,))
    if not dims:
        # One value per row: Triton needs an axis after the rows, and drops it for the graph.
        message.reshape.SetInParent()


def _batch(config: messages.ModelConfig, settings: TritonSettings) -> None:
    batching = config.dynamic_batching
    batching.preferred_batch_size.extend(settings.preferred_batch_sizes)
    batching.max_queue_delay_microseconds = settings.max_queue_delay_microseconds
    policy = batching.default_queue_policy
    policy.timeout_action = messages.ModelQueuePolicy.TimeoutAction.REJECT
    policy.default_timeout_microseconds = settings.queue.timeout_microseconds
    policy.max_queue_size = settings.queue.max_queue_size


def _warm_up(config: messages.ModelConfig) -> None:
    """Warm up with one row and the largest batch; TensorRT's engine covers the sizes between."""
    for size in sorted({1, max(1, config.max_batch_size)}):
        warmup = config.model_warmup.add(name=f"{size} rows", batch_size=size)
        for each in config.input:
            zeros = warmup.inputs[each.name]
            zeros.data_type = each.data_type
            zeros.dims.extend(axis if axis >= 0 else 1 for axis in each.dims)
            zeros.zero_data = True


def _accelerate(config: messages.ModelConfig, settings: TritonSettings) -> None:
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add()
    accelerator.name = "tensorrt"
    accelerator.parameters["precision_mode"] = settings.precision
    accelerator.parameters["max_workspace_size_bytes"] = str(settings.max_workspace_size_bytes)
    accelerator.parameters["trt_engine_cache_enable"] = "true"
    accelerator.parameters["trt_engine_cache_path"] = str(settings.engine_cache)
