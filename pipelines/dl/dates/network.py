"""The encoder that reads a text's characters, and the decoder that writes a date, in torch."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from .symbols import CHARACTERS, END, START, STEPS, SYMBOLS

State = tuple[torch.Tensor, torch.Tensor]
Step = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """The settings of one candidate."""

    attention: bool = True
    teacher_forcing: float = 1.0
    """The share of steps in training that are fed the true symbol, not the network's own."""
    width: int = 64


def backwards(lengths: torch.Tensor, width: int) -> torch.Tensor:
    """Return the places (rows, width) that turn each row around within its own length."""
    places = torch.arange(width, device=lengths.device)[None, :]
    turned = lengths[:, None] - 1 - places
    return torch.where(turned >= 0, turned, places)


class Encoder(nn.Module):
    """Two LSTMs read the characters (rows, length), one of them from the end.

    The padding comes after the text, so the first LSTM's state at a character does not depend on
    it. The second one reads each text turned around within its length, for the same reason.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS) + 2, 32)
        self.forward_reader = nn.LSTM(32, width, batch_first=True)
        self.backward_reader = nn.LSTM(32, width, batch_first=True)
        self.begin = nn.Linear(2 * width, 2 * width)

    def forward(
        self, characters: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return states (rows, length, 2 width), and the decoder's first state, (rows, width)."""
        embedded = self.embedding(characters)
        turn = backwards(lengths, characters.shape[1])[:, :, None]
        ahead, _ = self.forward_reader(embedded)
        back, _ = self.backward_reader(embedded.gather(1, turn.expand(-1, -1, 32)))
        last = (lengths - 1)[:, None, None].expand(-1, 1, ahead.shape[2])
        ends = torch.cat([ahead.gather(1, last), back.gather(1, last)], dim=2)[:, 0]
        back = back.gather(1, turn.expand(-1, -1, back.shape[2]))
        hidden, memory = torch.tanh(self.begin(ends)).chunk(2, dim=1)
        return torch.cat([ahead, back], dim=2), hidden, memory


class DecoderStep(nn.Module):
    """Writes one symbol: an LSTM cell, and attention to the encoder's states (Luong 2015)."""

    def __init__(self, width: int, *, attention: bool) -> None:
        super().__init__()
        self.attention = attention
        self.embedding = nn.Embedding(len(SYMBOLS) + 2, 32)
        self.inputs = nn.Linear(32, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width, bias=False)
        self.query = nn.Linear(width, 2 * width, bias=False)
        self.mix = nn.Linear(3 * width, width)
        self.last = nn.Linear(width, len(SYMBOLS) + 1)

    def forward(
        self,
        symbols: torch.Tensor,
        hidden: torch.Tensor,
        memory: torch.Tensor,
        states: torch.Tensor,
        lengths: torch.Tensor,
    ) -> Step:
        """Return log-probabilities (rows, symbols), the new state, and attention (rows, length)."""
        gates = self.inputs(self.embedding(symbols)) + self.recurrent(hidden)
        enter, forget, new, leave = gates.chunk(4, dim=1)
        memory = torch.sigmoid(forget + 1) * memory + torch.sigmoid(enter) * torch.tanh(new)
        hidden = torch.sigmoid(leave) * torch.tanh(memory)
        places = torch.arange(states.shape[1], device=states.device)[None, :]
        present = places < lengths[:, None]
        scores = torch.bmm(states, self.query(hidden)[:, :, None])[:, :, 0]
        weights = torch.softmax(scores.masked_fill(~present, -1e9), dim=1)
        context = torch.bmm(weights[:, None, :], states)[:, 0]
        if not self.attention:
            # The decoder gets nothing but the encoder's last state.
            context, weights = context * 0, weights * 0
        mixed = torch.tanh(self.mix(torch.cat([hidden, context], dim=1)))
        return functional.log_softmax(self.last(mixed), dim=1), hidden, memory, weights


class Transcriber(nn.Module):
    """Encoder and decoder; `forward` writes whole dates, symbol by symbol."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.teacher_forcing = recipe.teacher_forcing
        self.encoder = Encoder(recipe.width)
        self.step = DecoderStep(recipe.width, attention=recipe.attention)

    def forward(
        self, characters: torch.Tensor, lengths: torch.Tensor, target: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log-probabilities (rows, steps, symbols).

        With the true symbols as `target` (rows, steps), each step is fed the true symbol before it
        with the probability `teacher_forcing`. All other steps are fed the likeliest symbol.
        """
        states, hidden, memory = self.encoder(characters, lengths)
        symbols = torch.full_like(lengths, START)
        written = []
        for place in range(STEPS):
            scores, hidden, memory, _ = self.step(symbols, hidden, memory, states, lengths)
            written.append(scores)
            symbols = scores.argmax(dim=1)
            if target is not None:
                forced = torch.rand(len(symbols), device=symbols.device) < self.teacher_forcing
                symbols = torch.where(forced, target[:, place], symbols)
        return torch.stack(written, dim=1)


def negative_log_likelihood(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean negative log-likelihood of the symbols up to the first end of each row."""
    ended = (target == END).cumsum(dim=1)
    counted = (ended - (target == END).long() == 0).float()
    losses = functional.nll_loss(scores.transpose(1, 2), target, reduction="none")
    return (losses * counted).sum() / counted.sum()
