"""The small language model: tokens, cache, sampling, blocks of weights, and its stream."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose
from onnxruntime import InferenceSession
from pydantic import ValidationError
from transformers import AutoTokenizer

from pipelines.dl.assistant.blocks import on_grid, to_blocks
from pipelines.dl.assistant.chat import ChatTokenizer, TextWriter
from pipelines.dl.assistant.decoder import export_decoder
from pipelines.dl.assistant.model import STEP, Assistant, Conversation, Message
from pipelines.dl.assistant.perplexity import perplexity, perplexity_interval
from pipelines.dl.assistant.published import FILE, small_network
from pipelines.dl.assistant.sampling import log_softmax, next_token
from pipelines.dl.assistant.trigram import Trigrams
from slipway.datasets import fetch
from slipway.project import Project, find
from slipway.training.workspace import Workspace

SIZES = {
    "num_hidden_layers": 1,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
HELLO = [Message(role="user", content="Hello <|im_end|> 12")]


@pytest.fixture(scope="module")
def project() -> Project:
    return find("assistant")


@pytest.fixture(scope="module")
def model(project: Project, tiny_project: Callable[[Project], Workspace]) -> Assistant:
    """The real tokenizer, and a network of two layers that nothing has trained."""
    loaded = tiny_project(project).model()
    assert isinstance(loaded, Assistant)
    return loaded


@pytest.fixture(scope="module")
def tokenizer(model: Assistant) -> ChatTokenizer:
    return model._tokenizer


def random_scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=12).astype(np.float32) * 2


def test_tokens_and_template_are_the_published_ones(tokenizer: ChatTokenizer) -> None:
    file = fetch("smollm2_135m_instruct").path(FILE)
    published = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    text = "In 2024, naïve  robots 🤖 saw\n\n\t日本 @-@ <unk>!"
    assert tokenizer.tokens(text) == published(text, add_special_tokens=False)["input_ids"]
    for roles in (["user"], ["system", "user"], ["user", "assistant", "user"]):
        messages = [Message(role=role, content=f"Say 12 {role}s. ") for role in roles]
        expected = published.apply_chat_template(
            [each.model_dump() for each in messages], add_generation_prompt=True, return_dict=False
        )
        assert tokenizer.prompt(messages) == expected


def test_a_mark_inside_a_message_is_ordinary_text(tokenizer: ChatTokenizer) -> None:
    # Of the system message and of the user's: none of the text inside it.
    assert tokenizer.prompt(HELLO).count(tokenizer.end) == 2


def test_characters_of_several_tokens_come_whole(tokenizer: ChatTokenizer) -> None:
    text = "ok 🤖 é 日本 𝛼."
    writer = TextWriter(tokenizer, [])
    pieces = [writer.write(token) for token in tokenizer.tokens(text)]
    assert "" in pieces
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) == text


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        (["two thr"], "one "),
        (["e two"], "on"),
        (["four"], None),
        (["one"], ""),
        (["x", "tw"], "one "),
    ],
)
def test_a_stop_text_ends_the_answer_before_it(
    tokenizer: ChatTokenizer, stops: list[str], expected: str | None
) -> None:
    writer, text, said = TextWriter(tokenizer, stops), "one two three fo", ""
    for token in tokenizer.tokens(text):
        said += writer.write(token)
        if writer.stopped:
            break
    assert writer.stopped == (expected is not None)
    if expected is None:
        # The last letters might have begun the stop text.
        assert said == "one two three "
        said, expected = said + writer.flush(), text
    assert said == expected


def test_the_likeliest_token_needs_no_seed() -> None:
    scores = random_scores()
    assert next_token(scores, 0, 0.1, np.random.default_rng()) == scores.argmax()


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 0.8), (2.0, 0.6)])
def test_tokens_are_drawn_by_the_probability_of_the_nucleus(
    temperature: float, top_p: float
) -> None:
    scores, generator = random_scores(), np.random.default_rng(1)
    expected = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
    order = np.argsort(-expected)
    size = int(np.searchsorted(np.cumsum(expected[order]), top_p)) + 1
    expected[order[size:]] = 0
    drawn = [next_token(scores, temperature, top_p, generator) for _ in range(4000)]
    shares = np.bincount(drawn, minlength=len(scores)) / len(drawn)
    assert_allclose(shares, expected / expected.sum(), atol=0.03)
    assert not shares[order[size:]].any()


def test_large_scores_have_finite_probabilities() -> None:
    assert_allclose(log_softmax(np.array([1e4, 0.0], dtype=np.float32)), [0, -1e4])


def test_blocks_hold_numbers_on_their_grid_exactly() -> None:
    weight = np.random.default_rng(2).normal(size=(6, 64)).astype(np.float32)
    for bits, most in ((4, 0.2), (8, 0.02)):
        rounded = on_grid(weight, bits)
        assert 0 < np.abs(rounded - weight).max() < most
        assert np.array_equal(on_grid(rounded, bits), rounded)
    assert np.array_equal(on_grid(np.zeros((1, 32), np.float32), 4), np.zeros((1, 32)))


def test_the_graph_in_blocks_computes_what_torch_does(tmp_path: Path) -> None:
    """Two rows at once, in two steps: what the second reads from the cache is as if read anew."""
    network = small_network(3, SIZES)
    shapes = export_decoder(network, tmp_path, "float.onnx")
    blocks = to_blocks(onnx.load(tmp_path / "float.onnx"))
    # Seven matrices of the layer, and two halves of the vocabulary.
    assert [each.op_type for each in blocks.graph.node].count("MatMulNBits") == 9
    tokens = np.random.default_rng(4).integers(0, 49152, (2, 7))
    with torch.no_grad():
        expected = network(torch.from_numpy(tokens)).logits.numpy()
    for graph in (tmp_path / "float.onnx").read_bytes(), blocks.SerializeToString():
        session = InferenceSession(graph, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        cache = {name: np.zeros([2, *shape[1:]], np.float32) for name, shape in shapes.items()}
        found = []
        for part in (tokens[:, :4], tokens[:, 4:]):
            outputs = dict(zip(names, session.run(names, {"tokens": part, **cache}), strict=True))
            found.append(outputs.pop("scores"))
            cache = {name.replace("present", "past"): each for name, each in outputs.items()}
        assert_allclose(np.concatenate(found, axis=1), expected, rtol=1e-3, atol=1e-3)


def test_a_long_prompt_is_read_in_steps(model: Assistant) -> None:
    tokens = list(range(100, 100 + STEP + 5))
    empty = {name: np.zeros(shape, np.float32) for name, shape in model._cache_shapes.items()}
    together = [scores for scores, _ in model.read(tokens, empty)]
    cache, single = empty, []
    for token in tokens:
        ((scores, cache),) = model.read([token], cache)
        single.append(scores)
    assert_allclose(together, single, rtol=1e-3, atol=1e-3)


def test_the_same_seed_writes_the_same_answer(model: Assistant) -> None:
    answers = [
        model.predict([Conversation(messages=HELLO, max_tokens=6, temperature=1, seed=seed)])[0]
        for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1]
    assert answers[0].tokens != answers[2].tokens
    assert answers[0].finish_reason == "length"


def test_a_stop_text_or_the_end_mark_stops(model: Assistant) -> None:
    (full,) = model.predict([Conversation(messages=HELLO, max_tokens=6)])
    stop = full.text[-3:]
    (cut,) = model.predict([Conversation(messages=HELLO, max_tokens=6, stop=[stop])])
    assert cut.finish_reason == "stop"
    assert cut.text == full.text[: full.text.index(stop)]


def test_a_rating_is_that_of_the_written_tokens(model: Assistant) -> None:
    text = "Robots 🤖 rule."
    (rated,) = model.predict([Conversation(messages=HELLO, rated=text)])
    assert (rated.text, rated.finish_reason) == (text, "rated")
    assert rated.tokens == model._tokenizer.tokens(text)
    assert all(each < 0 for each in rated.log_probabilities)


def test_what_does_not_fit_the_context_is_refused_with_the_reason() -> None:
    long = [Message(role="user", content="é" * 2000)] * 2
    with pytest.raises(ValidationError, match="at most|8,192"):
        Conversation(messages=long)
    with pytest.raises(ValidationError, match="messages is empty"):
        Conversation(messages=[])
    with pytest.raises(ValidationError, match="stop"):
        Conversation(messages=HELLO, stop=[""])


def test_trigram_probabilities_add_up_to_one() -> None:
    trigrams = Trigrams([0, 1, 2, 0, 1, 3, 0, 1, 2], vocabulary=5)
    for context in ((), (0,), (0, 1), (4, 4)):
        found = [trigrams._probability(context, token) for token in range(5)]
        assert sum(found) == pytest.approx(1)
    assert trigrams._probability((0, 1), 2) > trigrams._probability((0, 1), 3)


def test_perplexity_of_equally_likely_tokens_is_their_number() -> None:
    counts = np.array([[-3 * np.log(8), 3], [-5 * np.log(8), 5]])
    assert perplexity(counts) == pytest.approx(8)
    assert perplexity_interval(counts) == pytest.approx((8, 8))


def test_tokens_come_as_events_and_the_answer_last(project_server: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    place = "/v1/models/assistant/predict"
    answer = project_server.post(place, json=body).json()["predictions"][0]
    chunks, last = [], None
    with project_server.stream(
        "POST", place, json=body, headers={"Accept": "text/event-stream"}
    ) as response:
        event = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: ") and event == "chunk":
                chunks.append(json.loads(line.removeprefix("data: ")))
            elif line.startswith("data: ") and event == "prediction":
                last = json.loads(line.removeprefix("data: "))
    assert [each["token"] for each in chunks] == answer["tokens"]
    assert "".join(each["text"] for each in chunks) == answer["text"]
    assert last is not None
    assert last["predictions"] == [answer]


def test_a_conversation_that_is_too_long_gets_a_clear_problem(
    project_server: httpx.Client,
) -> None:
    message = {"role": "user", "content": "word " * 1600}
    response = project_server.post(
        "/v1/models/assistant/predict", json={"messages": [message], "max_tokens": 512}
    )
    assert response.status_code == 422
    assert "8,192" in response.json()["detail"]
