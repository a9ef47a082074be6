"""Read the published model from its GGUF file: the tokenizer, and the network in torch."""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from .blocks import on_grid

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def published_network(file: Path) -> LlamaForCausalLM:
    """Return the published network, its weights as float32."""
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    network: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32, local_files_only=True
    )
    network.eval()
    return network


def small_network(seed: int, sizes: dict[str, Any]) -> LlamaForCausalLM:
    """Return an untrained network of the same architecture, for tests.

    Its weights are numbers that blocks of 4 bits can hold, as those of the published one are.
    """
    torch.manual_seed(seed)
    # A wide spread of the weights gives a clear choice among the tokens.
    settings: dict[str, Any] = {"vocab_size": 49152, "initializer_range": 0.2, **sizes}
    settings |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = LlamaConfig(tie_word_embeddings=True, **settings)
    network: LlamaForCausalLM = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 2:
                bits = 8 if "embed_tokens" in name else 4
                weight.copy_(torch.from_numpy(on_grid(weight.numpy(), bits)))
    return network
