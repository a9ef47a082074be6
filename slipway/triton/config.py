"""A model's config.pbtxt, made of Triton's own messages: valid by construction.

The backends onnx and tensorrt are part of the public Triton image only. Their configs are held
against the rules of Triton's ONNX Runtime backend here, but no test of ours runs them.
"""

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as messages  # type: ignore[import-untyped]

from slipway.triton.settings import Backend, TritonSettings
from slipway.triton.signature import TYPES, GraphRefused, Signature, Tensor

GRAPH, PYTHON = "model.onnx", "model.py"
# As Triton's ONNX Runtime backend calls it; our Python model reads the same.
THREADS = "intra_op_thread_count"


def model_config(
    name: str,
    signature: Signature,
    versions: list[str],
    *,
    backend: Backend,
    settings: TritonSettings,
) -> messages.ModelConfig:
    """For the versions of one model, which share a signature.

    Raises:
        GraphRefused: a tensor has no axis, or is declared in a shape that it does not have.
        ValueError: the settings do not suit the backend.
    """
    if backend != "python":
        _declared_rightly(signature)
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
    if settings.warmup and not signature.untried:
        _warm_up(config)
    if backend == "tensorrt":
        _accelerate(config, settings)
    return config


def write(config: messages.ModelConfig) -> str:
    return str(text_format.MessageToString(config))


def read(text: str) -> messages.ModelConfig:
    """Raises google.protobuf.text_format.ParseError: it is no config."""
    return text_format.Parse(text, messages.ModelConfig())


def _declared_rightly(signature: Signature) -> None:
    for each in (*signature.inputs, *signature.outputs):
        if each.declared != each.shape:
            raise GraphRefused(
                f"{each.name} is declared {_told(each.declared)} but comes out "
                f"{_told(each.shape)}, and Triton's ONNX Runtime goes by what is declared: "
                "correct the shape where the graph is exported, or use the backend python"
            )


def _told(shape: tuple[int, ...]) -> str:
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
            f"{tensor.name} has no axis, and Triton has no such tensor: give it one of size 1 "
            "where the graph is exported"
        )
    dims = tensor.shape[1:] if batched else tensor.shape
    message.dims.extend(dims or (1,))
    if not dims:
        # One value a row: Triton wants an axis behind the rows, and takes it off for the graph.
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
    """One row and the largest batch: TensorRT builds its engine for all sizes between those met."""
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
