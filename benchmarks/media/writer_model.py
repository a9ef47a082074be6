"""A language model with untrained weights that streams tokens, to measure servers."""

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from slipway.contract import Record, StreamingModel, publish

HIDDEN = 768


class Prompt(Record):
    """The tokens so far."""

    tokens: list[int] = Field(min_length=1, max_length=64)
    more: int = Field(default=64, ge=1, le=256, description="Tokens to add")


class Token(Record):
    """One more token."""

    token: int


class Text(Record):
    """The tokens that were added."""

    tokens: list[int]


class Writer(StreamingModel):
    def stream(self, record: Prompt) -> Iterator[Token]:
        state = np.zeros((1, HIDDEN), dtype=np.float32)
        for token in record.tokens:
            found = self.run({"token": np.array([token]), "state": state})
            state = found["next_state"]
        for _ in range(record.more):
            token = int(found["logits"][0].argmax())
            yield Token(token=token)
            found = self.run({"token": np.array([token]), "state": state})
            state = found["next_state"]

    def join(self, record: Prompt, chunks: list[Token]) -> Text:
        return Text(tokens=[each.token for each in chunks])


publish(Writer())
