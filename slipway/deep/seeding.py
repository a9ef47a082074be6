"""Seeding and determinism of torch: equal runs give equal weights."""

import torch

# Float sums depend on the number of threads: the machine's own number would change weights.
THREADS = 2


def deterministic(seed: int) -> None:
    """Seed torch, fix its number of threads, and make it reject non-deterministic operations.

    Call it before creating a network, so that the initial weights are drawn from `seed`.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
