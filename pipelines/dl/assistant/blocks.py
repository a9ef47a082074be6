"""Weights in blocks of 32 numbers, and a graph that computes with them.

A block of 4 bits holds numbers q from 0 to 15, and gives the weights scale * q + least (GGUF's
Q4_1); one of 8 bits gives scale * q with q from -127 to 127 (Q8_0). ONNX Runtime's MatMulNBits
knows scale * (q - 8). The rest, least + 8 * scale, is the same for a whole block, so it is
multiplied by the sum of the block's inputs: a second product with a 32nd of the numbers. An 8-bit
number is two of 4 bits. So nothing is rounded when the weights lie on such a grid already.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

BLOCK = 32
RUNTIME = "com.microsoft"


def half(values: np.ndarray) -> np.ndarray:
    """Return numbers as 16 bits hold them: scales are published in 16 bits."""
    return values.astype(np.float16).astype(np.float32)


def in_four_bits(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return q (rows, blocks, 32) from 0 to 15, with scale and least (rows, blocks)."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    least = half(blocks.min(axis=-1))
    scale = half((blocks.max(axis=-1) - least) / 15)
    steps = (blocks - least[..., None]) / np.where(scale == 0, 1, scale)[..., None]
    return np.clip(np.rint(steps), 0, 15).astype(np.uint8), scale, least


def in_eight_bits(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return q + 128 (rows, blocks, 32) from 1 to 255, with scale (rows, blocks)."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    scale = half(np.abs(blocks).max(axis=-1) / 127)
    steps = np.rint(blocks / np.where(scale == 0, 1, scale)[..., None])
    return (np.clip(steps, -127, 127) + 128).astype(np.uint8), scale


def on_grid(weight: np.ndarray, bits: int) -> np.ndarray:
    """Return the weights rounded to what blocks of 4 or 8 bits can hold."""
    if bits == 8:
        steps, scale = in_eight_bits(weight)
        rounded = (steps - np.float32(128)) * scale[..., None]
    else:
        steps, scale, least = in_four_bits(weight)
        rounded = steps * scale[..., None] + least[..., None]
    return np.asarray(rounded.reshape(weight.shape))


def packed(steps: np.ndarray) -> np.ndarray:
    """Return numbers from 0 to 15 (rows, blocks, 32) as bytes (rows, blocks, 16)."""
    return np.asarray(steps[..., ::2] | (steps[..., 1::2] << 4), dtype=np.uint8)


@dataclass
class BlockGraph:
    """A graph whose matrices are replaced by blocks, node by node."""

    level: int
    """Accuracy of MatMulNBits: 0 multiplies floats, 4 rounds the inputs to 8 bits, too."""
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    _sums: dict[str, str] = field(default_factory=dict)

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def add(self, kind: str, inputs: list[str], output: str, **settings: Any) -> str:
        """Add a node; return its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def matrix(self, state: str, weight: np.ndarray, output: str) -> None:
        """Add the product of a state with a weight (outputs, inputs) in 4 bits."""
        steps, scale, least = in_four_bits(weight)
        bits = self._bits(state, f"{output}.bits", packed(steps), scale, f"{output}.main")
        rest = self._rest(state, least + 8 * scale, f"{output}.rest")
        self.add("Add", [bits, rest], output)

    def vocabulary(self, state: str, weight: np.ndarray, output: str) -> None:
        """Add the product of a state with the embedding (tokens, inputs) in 8 bits."""
        steps, scale = in_eight_bits(weight)
        self.constant("embedding.scale", scale)
        high = self._bits(state, "embedding.high", packed(steps >> 4), 16 * scale, "scores.high")
        low = self._bits(state, "embedding.low", packed(steps & 15), scale, "scores.low")
        both = self.add("Add", [high, low], "scores.both")
        self.add("Add", [both, self._rest(state, 8 * scale, "scores.rest")], output)

    def embedding(self, tokens: str, output: str) -> None:
        """Add the look-up of the embedding's rows, in the bytes that `vocabulary` uses."""
        halves = []
        for name in ("embedding.high", "embedding.low"):
            rows = self.add("Gather", [name, tokens], f"{name}.rows")
            fifteen, four = self.constant("15", np.uint8(15)), self.constant("4", np.uint8(4))
            even = self.add("BitwiseAnd", [rows, fifteen], f"{name}.even")
            odd = self.add("BitShift", [rows, four], f"{name}.odd", direction="RIGHT")
            last = self.constant("last", [-1])
            pair = [self.add("Unsqueeze", [each, last], f"{each}.one") for each in (even, odd)]
            steps = self.add("Concat", pair, f"{name}.steps", axis=-1)
            halves.append(self.add("Cast", [steps], f"{name}.float", to=TensorProto.FLOAT))
        high = self.add("Mul", [halves[0], self.constant("16.0", np.float32(16))], "embedding.16")
        both = self.add("Add", [high, halves[1]], "embedding.sum")
        steps = self.add("Sub", [both, self.constant("128.0", np.float32(128))], "embedding.steps")
        scale = self.add("Gather", ["embedding.scale", tokens], "embedding.scales")
        ends = self.constant("ends", [-2, -1])
        scale = self.add("Unsqueeze", [scale, ends], "embedding.scales.block")
        state = self.add("Mul", [steps, scale], "embedding.blocks")
        self.add("Reshape", [state, self.constant("joined", [0, 0, -1])], output)

    def _bits(
        self, state: str, name: str, steps: np.ndarray, scale: np.ndarray, output: str
    ) -> str:
        rows, blocks, _ = steps.shape
        inputs = [state, self.constant(name, steps), self.constant(f"{output}.scale", scale)]
        sizes = {"K": blocks * BLOCK, "N": rows, "bits": 4, "block_size": BLOCK}
        return self.add(
            "MatMulNBits", inputs, output, domain=RUNTIME, accuracy_level=self.level, **sizes
        )

    def _rest(self, state: str, rest: np.ndarray, output: str) -> str:
        """Add the product of the sums of a state's blocks with (outputs, blocks)."""
        if state not in self._sums:
            split = self.constant("split", [0, 0, -1, BLOCK])
            blocks = self.add("Reshape", [state, split], f"{state}.split")
            last = self.constant("last", [-1])
            self._sums[state] = self.add("ReduceSum", [blocks, last], f"{state}.sums", keepdims=0)
        matrix = self.constant(f"{output}.matrix", np.ascontiguousarray(rest.T))
        return self.add("MatMul", [self._sums[state], matrix], output)


def to_blocks(model: ModelProto, level: int = 0) -> ModelProto:
    """Return an exported decoder with its matrices in 4 bits and its embedding in 8 bits."""
    known = {each.name: each for each in model.graph.initializer}
    turned = {
        each.output[0]: each.input[0]
        for each in model.graph.node
        if each.op_type == "Transpose" and each.input[0] in known
    }
    graph, replaced = BlockGraph(level), set(turned.values())
    for node in model.graph.node:
        kind, weight, output = node.op_type, node.input[-1], node.output[0]
        if output in turned:
            continue
        if kind == "MatMul" and weight in turned:
            graph.vocabulary(node.input[0], numpy_helper.to_array(known[turned[weight]]), output)
        elif kind == "MatMul" and weight in known:
            matrix = np.ascontiguousarray(numpy_helper.to_array(known[weight]).T)
            graph.matrix(node.input[0], matrix, output)
            replaced.add(weight)
        elif kind == "Gather" and node.input[0] in turned.values():
            graph.embedding(weight, output)
        else:
            graph.nodes.append(node)
    kept = [each for name, each in known.items() if name not in replaced]
    added = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    made = helper.make_graph(
        graph.nodes, "assistant", model.graph.input, model.graph.output, kept + added
    )
    opsets = [*model.opset_import, helper.make_opsetid(RUNTIME, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=model.ir_version)
