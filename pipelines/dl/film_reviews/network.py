"""Embeddings, a recurrent reader or none, and attention over the words, in torch."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from slipway.kits.text.vocabulary import PADDING

READERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    reader: str = ""
    """`rnn`, `gru`, `lstm`, or none: attention over the embeddings themselves."""
    width: int = 64


class AttentiveReader(nn.Module):
    """A network from words (rows, length) to logits (rows, 2) and attention (rows, length).

    The padding comes after the words. A reader from left to right has the same states at the words
    with and without it, and attention gives it the weight 0; so a review's logits do not depend on
    the longer ones in its batch.
    """

    def __init__(self, recipe: Recipe, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, recipe.width, padding_idx=PADDING)
        self.dropout = nn.Dropout(0.4)
        kind = READERS.get(recipe.reader)
        self.reader = kind(recipe.width, recipe.width, batch_first=True) if kind else None
        self.mix = nn.Linear(recipe.width, recipe.width)
        self.query = nn.Linear(recipe.width, 1, bias=False)
        self.last = nn.Linear(recipe.width, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.read(tokens)[0]

    def read(
        self, tokens: torch.Tensor, *, packed: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and attention; `packed` leaves out the padding instead of ignoring it."""
        states = self.dropout(self.embedding(tokens))
        if self.reader is not None:
            states = self.packed_states(states, tokens) if packed else self.reader(states)[0]
            states = self.dropout(states)
        scores = self.query(torch.tanh(self.mix(states)))[:, :, 0]
        attention = torch.softmax(scores.masked_fill(tokens == PADDING, -1e9), dim=1)
        summary = torch.bmm(attention[:, None, :], states)[:, 0]
        return self.last(summary), attention

    def packed_states(self, embedded: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the reader's states of a packed batch: each step holds the words that exist."""
        assert self.reader is not None
        lengths = (tokens != PADDING).sum(dim=1).cpu()
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            self.reader(packed)[0], batch_first=True, total_length=tokens.shape[1]
        )
        return states


class ExportedReader(nn.Module):
    """The network with probabilities and attention as its outputs."""

    def __init__(self, network: AttentiveReader) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, attention = self.network.read(tokens)
        return torch.softmax(logits, dim=1), attention
