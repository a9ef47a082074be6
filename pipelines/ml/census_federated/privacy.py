"""Privacy accounting: epsilon of a sampled Gaussian mechanism by its Rényi divergences."""

import math

import numpy as np
from scipy.special import gammaln, logsumexp

ORDERS: tuple[int, ...] = (*range(2, 64), *range(64, 257, 8), 512)


def divergence(share: float, noise: float, order: int) -> float:
    """Return the Rényi divergence of one round in which a client takes part with chance `share`.

    For whole orders: Mironov, Talwar and Zhang, "Rényi differential privacy of the sampled
    Gaussian mechanism", 2019, section 3.3. Neighbouring data sets differ by one client.
    """
    part = np.arange(order + 1)
    terms = gammaln(order + 1) - gammaln(part + 1) - gammaln(order - part + 1)
    terms += part * math.log(share) + (order - part) * math.log1p(-share)
    return float(logsumexp(terms + (part**2 - part) / (2 * noise**2)) / (order - 1))


def epsilon(share: float, noise: float, rounds: int, delta: float) -> float:
    """Return epsilon of (epsilon, delta) differential privacy after `rounds` rounds.

    It is infinite without noise. Divergences add up over rounds. They are converted to epsilon by
    Mironov, "Rényi differential privacy", 2017, proposition 3, at the best order.

    Raises:
        ValueError: the share or delta is not between 0 and 1, or the noise is negative.
    """
    if not (0 < share < 1 and 0 < delta < 1 and noise >= 0):
        raise ValueError(
            f"share and delta must lie between 0 and 1 and noise be at least 0, "
            f"got share {share}, delta {delta}, noise {noise}"
        )
    if noise == 0:
        return math.inf
    return min(
        rounds * divergence(share, noise, order) + math.log(1 / delta) / (order - 1)
        for order in ORDERS
    )
