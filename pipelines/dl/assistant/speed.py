"""Measure the served graph beside torch, and write the figures to speed.json.

Run it with `python -m pipelines.dl.assistant.speed` after the stages. It is not a stage, because
times differ between runs.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from slipway.datasets import fetch
from slipway.project import find
from slipway.training.workspace import Workspace

from .chat import ChatTokenizer
from .model import Conversation, Message
from .published import FILE, published_network

RESULT = Path(__file__).with_name("speed.json")
QUESTION = "Explain how a bicycle stays upright. " * 3
NEW, REPEATS, THREADS = 16, 3, 2


def main() -> None:
    torch.set_num_threads(THREADS)
    before = resident()
    work = Workspace.for_project(find("assistant"))
    model: Any = work.model()
    conversation = Conversation(messages=[Message(role="user", content=QUESTION)], max_tokens=NEW)
    served = measure(lambda: (each.token for each in model.stream(conversation)))
    served["megabytes"] = resident() - before
    before = resident()
    network = published_network(fetch("smollm2_135m_instruct").path(FILE))
    prompt = torch.tensor([ChatTokenizer.read(work.weights).prompt(conversation.messages)])
    framework = measure(lambda: generate(network, prompt))
    framework["megabytes"] = resident() - before
    table = {
        name: {"served": round(served[name], 2), "torch": round(framework[name], 2)}
        for name in served
    }
    result = {"prompt_tokens": prompt.shape[1], "threads": THREADS, **table}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(RESULT.read_text())


def generate(network: Any, prompt: torch.Tensor) -> Iterator[int]:
    """Yield the likeliest tokens by torch, with the cache of transformers."""
    past, tokens = None, prompt
    with torch.no_grad():
        for _ in range(NEW):
            output = network(tokens, past_key_values=past, use_cache=True)
            past, tokens = output.past_key_values, output.logits[:, -1:].argmax(-1)
            yield int(tokens)


def measure(stream: Callable[[], Iterator[int]]) -> dict[str, float]:
    """Return the seconds to the first token, and the tokens a second after it.

    Both are the best of several, since other work on the machine only makes a step slower.
    """
    first, steps = [], []
    for _ in range(REPEATS):
        times = [time.perf_counter()]
        times += [time.perf_counter() for _ in stream()]
        first.append(times[1] - times[0])
        steps += list(np.diff(times[1:]))
    return {"seconds_to_first_token": min(first), "tokens_a_second": float(1 / min(steps))}


def resident() -> float:
    """Return the memory of this process in megabytes."""
    return float(psutil.Process().memory_info().rss / 1e6)


if __name__ == "__main__":
    main()
