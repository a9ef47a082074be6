"""The network as one step with a key-value cache: new tokens and the past in, scores out."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaForCausalLM

from slipway.deep import export_onnx


class CachedDecoder(nn.Module):
    """A Llama network that reads new tokens after a cached past, for export.

    The cache holds keys and values of each layer, (rows, groups, old tokens, head size) each. They
    do not depend on later tokens, so a token is computed once and not for each one after it.
    """

    frequencies: torch.Tensor

    def __init__(self, network: LlamaForCausalLM) -> None:
        super().__init__()
        self.network = network
        config: Any = network.config
        self.heads: int = config.num_attention_heads
        self.groups: int = config.num_key_value_heads
        self.size: int = config.head_dim
        base = config.rope_parameters["rope_theta"]
        steps = torch.arange(0, self.size, 2) / self.size
        self.register_buffer("frequencies", base**-steps)

    def forward(self, tokens: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return scores (rows, new, vocabulary) and the grown cache, for tokens (rows, new)."""
        old, new = past[0].shape[2], tokens.shape[1]
        places = old + torch.arange(new)
        turns = places[:, None] * self.frequencies
        later = torch.arange(old + new)[None, :] > places[:, None]
        # A token does not see those after it.
        mask = torch.where(later, -1e9, 0.0)
        state, present = self.network.model.embed_tokens(tokens), []
        for number, layer in enumerate(self.network.model.layers):
            attention, normed = layer.self_attn, layer.input_layernorm(state)
            queries = rotate(self.split(attention.q_proj(normed), self.heads), turns)
            keys = rotate(self.split(attention.k_proj(normed), self.groups), turns)
            keys = torch.cat([past[2 * number], keys], dim=2)
            values = self.split(attention.v_proj(normed), self.groups)
            values = torch.cat([past[2 * number + 1], values], dim=2)
            present += [keys, values]
            mixed = attention.o_proj(self.attend(queries, keys, values, mask))
            state = state + mixed
            state = state + layer.mlp(layer.post_attention_layernorm(state))
        return (self.network.lm_head(self.network.model.norm(state)), *present)

    def split(self, state: torch.Tensor, heads: int) -> torch.Tensor:
        """Return a state (rows, new, heads * size) as (rows, heads, new, size)."""
        return state.view(*state.shape[:2], heads, self.size).transpose(1, 2)

    def attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Return what each query reads, (rows, new, heads * size); heads of a group share keys."""
        rows, _, new, size = queries.shape
        queries = queries.reshape(rows, self.groups, -1, new, size)
        scores = queries @ keys.unsqueeze(2).transpose(-1, -2) / size**0.5 + mask
        read = (scores.softmax(dim=-1) @ values.unsqueeze(2)).reshape(rows, self.heads, new, size)
        return read.transpose(1, 2).reshape(rows, new, self.heads * size)


def rotate(state: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Return (..., new, size) with its halves turned by angles (new, size / 2): the position."""
    left, right = state.chunk(2, dim=-1)
    cos, sin = turns.cos(), turns.sin()
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


def export_decoder(network: LlamaForCausalLM, folder: Path, name: str) -> dict[str, list[int]]:
    """Write the network with its cache as an ONNX graph; return the empty cache's shapes."""
    decoder, layers = CachedDecoder(network), range(network.config.num_hidden_layers)
    names = [f"{kind}_{layer}" for layer in layers for kind in ("keys", "values")]
    inputs = {"tokens": torch.ones(2, 3, dtype=torch.int64)}
    for each in names:
        inputs[f"past_{each}"] = torch.zeros(2, decoder.groups, 4, decoder.size)
    export_onnx(
        decoder,
        inputs,
        ["scores", *(f"present_{each}" for each in names)],
        folder,
        name,
        free_axes={"tokens": {1: "new"}, **{f"past_{each}": {2: "old"} for each in names}},
    )
    return {f"past_{each}": [1, decoder.groups, 0, decoder.size] for each in names}
