"""Text to tokens and back: the chat template, characters across tokens, and stop strings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

FILE = "tokenizer.json"
# What the model's own template puts before a conversation without a system message.
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


class Turn(Protocol):
    """A message of a conversation."""

    role: str
    content: str


class ChatTokenizer:
    """The tokenizer, which takes the marks of the template in a message for ordinary text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        tokenizer.encode_special_tokens = True
        marks: Any = map(tokenizer.token_to_id, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
        self.between_texts, self.start, self.end = marks

    @classmethod
    def read(cls, weights: Path) -> "ChatTokenizer":
        """Read the tokenizer from the folder `weights`."""
        return cls(Tokenizer.from_file(str(weights / FILE)))

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return list(self.tokenizer.encode(text).ids)

    def prompt(self, messages: Sequence[Turn]) -> list[int]:
        """Return the tokens of a conversation up to where the assistant's answer begins.

        Without messages, that is the mark between two texts of the training data.
        """
        if not messages:
            return [self.between_texts]
        turns = [(each.role, each.content) for each in messages]
        if turns[0][0] != "system":
            turns.insert(0, ("system", SYSTEM))
        newline, prompt = self.tokens("\n"), []
        for role, content in turns:
            prompt += [self.start, *self.tokens(f"{role}\n{content}"), self.end, *newline]
        return [*prompt, self.start, *self.tokens("assistant\n")]


class TextWriter:
    """Turns tokens into text as they come, up to a stop string.

    Text is held back while its last character lacks bytes, which the next token brings, and while
    it may be the beginning of a stop string.
    """

    def __init__(self, tokenizer: ChatTokenizer, stops: Sequence[str]) -> None:
        self._tokenizer, self._stops = tokenizer.tokenizer, stops
        self._decode = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self.stopped = False

    def write(self, token: int) -> str:
        """Return the text that is certain after a further token; see `stopped` then."""
        self._held += self._decode.step(self._tokenizer, token) or ""
        places = [place for each in self._stops if (place := self._held.find(each)) >= 0]
        if places:
            self.stopped, text, self._held = True, self._held[: min(places)], ""
            return text
        kept = max(map(self._beginning, self._stops), default=0)
        text, self._held = (
            self._held[: len(self._held) - kept],
            self._held[len(self._held) - kept :],
        )
        return text

    def flush(self) -> str:
        """Return what was held back, at the end of the text."""
        text, self._held = self._held, ""
        return text

    def _beginning(self, stop: str) -> int:
        """Return how many characters at the end of the held text begin the stop string."""
        lengths = range(min(len(stop) - 1, len(self._held)), 0, -1)
        return next((each for each in lengths if self._held.endswith(stop[:each])), 0)
