"""A training has the same weights on processors of both makers, which QEMU emulates.

One trains a network in torch, the other word vectors, whose loops Numba compiles. QEMU 7.2 computes
oneDNN's LSTM wrongly: by 0.4, where torch's own implementation is right to 1e-7. So the network has
a GRU, as well as the layers of the projects' networks. Its optimizer is that of the training loop.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway import arithmetic
from slipway.programs.debian import ProgramUnavailable, binary
from tests.conftest import ROOT

# Both have AVX2; the first is Intel's, the second AMD's.
INTEL, AMD = "Haswell", "EPYC"
START = """
import sys
sys.path[:0] = {path!r}
from slipway import arithmetic
arithmetic.pin()
import os
os.environ.update({variables!r})
import hashlib
"""
NETWORK = """
import torch
torch.manual_seed(1)
pictures, labels = torch.randn(48, 3, 12, 12), torch.randint(0, 10, (48,))
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 16, 3)
        self.norm = torch.nn.BatchNorm2d(16)
        self.reader = torch.nn.GRU(160, 32, batch_first=True)
        self.head = torch.nn.Linear(320, 10)
    def forward(self, x):
        x = torch.relu(self.norm(self.convolution(x)))
        read, _ = self.reader(x.permute(0, 2, 1, 3).flatten(2))
        return self.head(torch.tanh(read).flatten(1))
network = Network()
optimizer = torch.optim.AdamW(network.parameters(), 0.01, fused=True)
for step in range(6):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(pictures), labels).backward()
    optimizer.step()
weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
print("weights", hashlib.sha256(weights).hexdigest())
"""
# The words are drawn at random; 20,000 of them move every vector.
WORD_VECTORS = """
import numpy as np
from pipelines.dl.word_vectors.negative_sampling import run_epoch
draw = np.random.default_rng(1)
words, width = 200, 48
tokens = draw.integers(0, words, 20_000).astype(np.int32)
kept = np.full(words, 2**31 - 1, dtype=np.int64)
table = draw.integers(0, words, 4096).astype(np.int32)
inputs = (draw.random((words, width), dtype=np.float32) - np.float32(0.5)) / np.float32(width)
outputs = np.zeros((words, width), dtype=np.float32)
for cbow in (False, True):
    run_epoch(tokens, kept, table, inputs, outputs, cbow, 5, 5, np.array([0.025, 0.0001]), 7)
print("weights", hashlib.sha256(inputs.tobytes() + outputs.tobytes()).hexdigest())
"""
pytestmark = pytest.mark.skipif(not arithmetic.is_x86_64(), reason="QEMU emulates x86-64 here")


def weights(training: str, emulated: str = "", **variables: str) -> str:
    """Train on an emulated processor, by default on this one, and return the weights' hash."""
    path = [str(ROOT), *(each for each in sys.path if each.endswith("site-packages"))]
    code = START.format(path=path, variables=variables) + training
    # The interpreter itself: an environment's link would be resolved by the emulator's loader.
    python = [str(Path(sys.executable).resolve()), "-c", code]
    command = [str(binary("qemu-x86_64")), "-cpu", emulated, *python] if emulated else python
    kept = arithmetic.without_pins(os.environ)
    done = subprocess.run(command, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (found,) = [line for line in done.stdout.splitlines() if line.startswith("weights ")]
    return found


@pytest.fixture(scope="module", autouse=True)
def emulator() -> None:
    try:
        binary("qemu-x86_64")
    except ProgramUnavailable as fault:
        pytest.skip(f"no QEMU on this machine: {fault}")


@pytest.mark.parametrize("training", [NETWORK, WORD_VECTORS], ids=["network", "word_vectors"])
def test_pinned_the_weights_are_equal_on_both_makers_processors_and_on_this_one(
    training: str,
) -> None:
    with ThreadPoolExecutor(2) as pool:
        intel, amd = pool.map(lambda each: weights(training, each), (INTEL, AMD))
    assert intel == amd == weights(training)


def test_without_the_mode_of_mkl_they_differ() -> None:
    """The mode is what makes them equal; all other pins stay."""
    with ThreadPoolExecutor(2) as pool:
        intel, amd = pool.map(lambda each: weights(NETWORK, each, MKL_CBWR="AUTO"), (INTEL, AMD))
    assert intel != amd


def test_compiled_for_other_features_word_vectors_differ() -> None:
    """Numba fuses multiplication with addition where the features have it."""
    plain = arithmetic.INSTRUCTIONS["NUMBA_CPU_FEATURES"].replace("+fma", "-fma")
    assert weights(WORD_VECTORS) != weights(WORD_VECTORS, NUMBA_CPU_FEATURES=plain)
