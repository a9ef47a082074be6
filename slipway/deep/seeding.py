"""Equal runs give equal weights."""

import torch

# Sums of floats depend on how they are shared out: a machine's own count would change weights.
THREADS = 2


def deterministic(seed: int) -> None:
    """Seed torch, fix its threads, and let it refuse operations whose result may vary.

    To be called before a network is made, so that its first weights are drawn from `seed`.
    """
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
