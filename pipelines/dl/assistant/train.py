"""Export the published network with its cache, and compare ways to hold its weights in fewer bits.

Nothing is trained. The smallest graph whose perplexity is within one standard error of the best is
served; the validation passages decide.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from transformers import LlamaForCausalLM

from slipway.contract.graph import threads_per_graph
from slipway.datasets import fetch
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_model
from slipway.training.selection import bootstrap_error, simplest_within_error

from .blocks import to_blocks
from .chat import FILE as TOKENIZER
from .chat import ChatTokenizer, TextWriter
from .decoder import export_decoder
from .gguf_tokenizer import read_tokenizer
from .model import Assistant, Completion, Conversation, Reference, join_pieces, piece
from .perplexity import passage_counts, perplexity
from .published import FILE, published_network, small_network

THREADS = 2


def as_blocks(source: Path, target: Path) -> None:
    """Write the graph with the published blocks of 4 and 8 bits."""
    write_model(to_blocks(onnx.load(source)), target)


def as_int8(source: Path, target: Path) -> None:
    """Write the graph in 8 bits by ONNX Runtime: a scale for each column, inputs rounded, too."""
    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)


def as_int4(source: Path, target: Path) -> None:
    """Write the graph in 4 bits by ONNX Runtime: blocks of 32 with a whole number as zero point."""
    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=False)
    quantizer.process()
    onnx.save(quantizer.model.model, target)


def as_it_is(source: Path, target: Path) -> None:
    """Write the graph with 32 bits a weight."""
    shutil.copyfile(source, target)


# From the smallest file to the largest.
GRAPHS: dict[str, Callable[[Path, Path], None]] = {
    "blocks": as_blocks,
    "int8": as_int8,
    "int4": as_int4,
    "float32": as_it_is,
}


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep back what the exporter and the quantizers log: a line for each node."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def fit(
    *,
    train: LabelledRows[Conversation, Reference],
    weights: Path,
    seed: int,
    small: dict[str, Any] | None,
) -> Fitted:
    """Choose among the graphs of the published network, or of an untrained `small` one in tests."""
    file = fetch("smollm2_135m_instruct").path(FILE)
    network = small_network(seed, small) if small else published_network(file)
    read_tokenizer(file).save(str(weights / TOKENIZER), pretty=False)
    rated = [row for row in train if row[1].trigram_log_probability is not None]
    passages = LabelledRows([row[0] for row in rated], [row[1] for row in rated])
    tried = []
    with TemporaryDirectory() as scratch, quiet_logs():
        folder = Path(scratch)
        shapes = export_decoder(network, folder, "exported.onnx")
        (weights / "cache.json").write_text(json.dumps(shapes) + "\n")
        for name, write in GRAPHS.items():
            write(folder / "exported.onnx", weights / "model.onnx")
            tried.append(candidate(name, weights, passages, seed))
            (weights / "model.onnx").rename(folder / f"{name}.onnx")
        chosen = simplest_within_error(tried, "perplexity", best="lowest").name
        shutil.copyfile(folder / f"{chosen}.onnx", weights / "model.onnx")
    tokenizer = ChatTokenizer.read(weights)
    baseline = trigrams(passages, tokenizer)

    def framework_predict(records: list[Conversation]) -> list[Completion]:
        return [complete(network, tokenizer, each) for each in records]

    return Fitted([baseline, *tried], chosen, framework_predict)


def candidate(
    name: str, weights: Path, rows: LabelledRows[Conversation, Reference], seed: int
) -> Candidate:
    """Return the graph in `weights` with its size and its perplexity on the passages."""
    model = Assistant()
    with threads_per_graph(THREADS):
        model.load(weights)
    counts = passage_counts(model.predict(rows.records))
    error = bootstrap_error(lambda drawn: perplexity(counts[drawn]), len(counts), seed=seed)
    size = (weights / "model.onnx").stat().st_size / 1e6
    metrics = {"perplexity": perplexity(counts), "perplexity_se": error, "megabytes": size}
    return Candidate(name, metrics)


def trigrams(rows: LabelledRows[Conversation, Reference], tokenizer: ChatTokenizer) -> Candidate:
    """Return the trigram model's perplexity on the same tokens."""
    counts = [
        (each.trigram_log_probability, len(tokenizer.tokens(each.text))) for each in rows.labels
    ]
    return Candidate("baseline", {"perplexity": perplexity(np.array(counts, dtype=np.float64))})


def complete(
    network: LlamaForCausalLM, tokenizer: ChatTokenizer, record: Conversation
) -> Completion:
    """Return what the network itself answers in torch, by the `generate` of transformers."""
    prompt = tokenizer.prompt(record.messages)
    with torch.no_grad():
        if record.rated:
            tokens = tokenizer.tokens(record.rated)
            scores = network(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
        else:
            answer: Any = network.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
                max_new_tokens=record.max_tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
            tokens = answer.sequences[0, len(prompt) :].tolist()
            scores = torch.cat(answer.logits)
    ended = "stop" if tokens[-1] == tokenizer.end else "length"
    reasons = [""] * (len(tokens) - 1) + ["rated" if record.rated else ended]
    writer = TextWriter(tokenizer, record.stop)
    pieces = [
        piece(writer.write(token), token, row, reason)
        for token, row, reason in zip(tokens, scores.numpy(), reasons, strict=True)
    ]
    return join_pieces(pieces)
