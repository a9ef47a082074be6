"""The tensors of one model version."""

from typing import Any

from services.predict.oip.bounds import Bounds
from services.predict.oip.columns import columns_of


class ModelTensors:
    """Input and output tensors, and the bounds on the inputs."""

    def __init__(self, input_schema: dict[str, Any], output_schema: dict[str, Any]) -> None:
        self.inputs = columns_of(input_schema)
        self.outputs = columns_of(output_schema)
        self.output_names = tuple(column.name for column in self.outputs)
        self.bounds = Bounds(self.inputs)
