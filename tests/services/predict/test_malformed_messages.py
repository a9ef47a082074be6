"""Malformed protobuf messages over gRPC are the caller's fault, not a failure of the server."""

from collections.abc import Iterator

import grpc
import pytest
from tritonclient.grpc import service_pb2 as messages

from slipway import home
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.waiting import until

SERVICE = "/inference.GRPCInferenceService/"


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("messages"))
    registry.add("model", echo("model"))
    port = home.free_port()
    with registry.serving(grpc_port=port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ready = messages.ModelReadyRequest(name="model").SerializeToString()

        def serves() -> bool:
            try:
                return b"\1" in call(channel, "ModelReady", ready)
            except grpc.RpcError:
                return False

        until(serves)
        yield channel


def call(channel: grpc.Channel, method: str, content: bytes) -> bytes:
    response: bytes = channel.unary_unary(SERVICE + method)(content, timeout=30)
    return response


@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata", "ModelReady", "ServerLive"])
@pytest.mark.parametrize("content", [b"\xff", b"\n\x05mo", b"\0" * 10])
def test_a_malformed_message(channel: grpc.Channel, method: str, content: bytes) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, method, content)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "DecodeError" not in raised.value.details()


@pytest.mark.parametrize("method", ["TraceSetting", "RepositoryIndex", "CudaSharedMemoryStatus"])
@pytest.mark.parametrize("content", [b"", b"\xff"])
def test_a_method_that_the_server_lacks(channel: grpc.Channel, method: str, content: bytes) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        call(channel, method, content)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_valid_message(channel: grpc.Channel) -> None:
    request = messages.ModelInferRequest(model_name="model")
    request.inputs.add(name="number", datatype="FP64", shape=[1]).contents.fp64_contents.append(2)
    content = call(channel, "ModelInfer", request.SerializeToString())
    assert messages.ModelInferResponse.FromString(content).model_name == "model"
