"""A Gaussian process with a Matern kernel in NumPy, fitted by marginal likelihood.

Rasmussen and Williams (2006), chapters 2 and 5. SciPy maximizes the likelihood.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm

ROOT = math.sqrt(5.0)
SCALES = (0.1, 10.0)
SIGNAL = (0.05, 20.0)
NOISE = (1e-4, 1.0)


@dataclass(frozen=True)
class Kernel:
    """A Matern 5/2 kernel with length `scales` (columns,) and variances `signal` and `noise`."""

    signal: float
    scales: np.ndarray
    noise: float

    def __call__(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the covariances (rows of one, rows of other), without noise."""
        far = ROOT * np.sqrt((((one[:, None] - other) / self.scales) ** 2).sum(axis=-1))
        return np.asarray(self.signal * (1 + far + far**2 / 3) * np.exp(-far))

    @classmethod
    def from_logs(cls, logs: np.ndarray) -> "Kernel":
        """Make a kernel from the logarithms of signal, noise and scales (2 + columns,)."""
        signal, noise, *scales = np.exp(logs)
        return cls(float(signal), np.array(scales), float(noise))


def loss(logs: np.ndarray, points: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray]:
    """Return minus the log marginal likelihood, and its gradient by `logs`."""
    kernel = Kernel.from_logs(logs)
    apart = (points[:, None] - points) / kernel.scales
    far = ROOT * np.sqrt((apart**2).sum(axis=-1))
    clean = kernel.signal * (1 + far + far**2 / 3) * np.exp(-far)
    rows = len(values)
    root = np.linalg.cholesky(clean + kernel.noise * np.eye(rows))
    weights = cho_solve((root, True), values)
    inverse = cho_solve((root, True), np.eye(rows))
    negative = values @ weights / 2 + np.log(np.diag(root)).sum() + rows / 2 * math.log(2 * math.pi)
    inner = np.outer(weights, weights) - inverse
    # The derivative by the logarithm of a length scale is 5/3 signal (1 + far) exp(-far) times the
    # squared distance.
    steep = inner * (5 / 3 * kernel.signal * (1 + far) * np.exp(-far))
    by_scale = np.einsum("ij,ijk->k", steep, apart**2)
    slope = np.concatenate([[(inner * clean).sum(), kernel.noise * np.trace(inner)], by_scale])
    return float(negative), -slope / 2


@dataclass(frozen=True)
class Gaussian:
    """A posterior given some points; values are scaled by their mean `middle` and `spread`."""

    kernel: Kernel
    points: np.ndarray
    root: np.ndarray
    weights: np.ndarray
    middle: float
    spread: float

    @classmethod
    def given(cls, kernel: Kernel, points: np.ndarray, values: np.ndarray) -> "Gaussian":
        """Return the posterior for a kernel, given points (rows, columns) and values (rows,)."""
        middle, spread = float(values.mean()), float(values.std()) or 1.0
        held = (values - middle) / spread
        root = np.linalg.cholesky(kernel(points, points) + kernel.noise * np.eye(len(points)))
        return cls(kernel, points, root, cho_solve((root, True), held), middle, spread)

    @classmethod
    def fit(cls, points: np.ndarray, values: np.ndarray) -> "Gaussian":
        """Return the posterior for the kernel with the highest marginal likelihood.

        The likelihood is maximized from two starting points.
        """
        held = (values - values.mean()) / (values.std() or 1.0)
        columns = points.shape[1]
        bounds = np.log([SIGNAL, NOISE, *[SCALES] * columns])
        starts = [np.log([1.0, 0.01, *[length] * columns]) for length in (0.5, 2.0)]
        climbs = [
            minimize(loss, start, (points, held), "L-BFGS-B", jac=True, bounds=bounds)
            for start in starts
        ]
        best = min(climbs, key=lambda each: each.fun)
        return cls.given(Kernel.from_logs(best.x), points, values)

    def predict(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and standard deviation (rows,) of the noiseless value at `queries`."""
        across = self.kernel(queries, self.points)
        known = solve_triangular(self.root, across.T, lower=True)
        variance = np.maximum(self.kernel.signal - (known**2).sum(axis=0), 1e-12)
        return self.middle + self.spread * (across @ self.weights), self.spread * np.sqrt(variance)


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the expected improvement over `best` (rows,).

    Mockus (1978); Jones, Schonlau and Welch (1998).
    """
    above = (mean - best) / deviation
    return np.asarray(deviation * (above * norm.cdf(above) + norm.pdf(above)))
