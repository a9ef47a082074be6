"""Beta and Student-t distributions from tables, so that the model server needs no SciPy."""

import math
from collections.abc import Callable

import numpy as np

# Probabilities are within 1e-9 of SciPy's for parameters from 0.5 to 10^6.
POINTS = 4097
# The table ends where the density is e^-40 = 4e-18 of its maximum.
DEPTH = -40.0


def root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function that rises from `low` to `high` crosses 0; an end if it does not.

    Steps are of an inverse parabola where these are safe, and of half the interval elsewhere:
    Chandrupatla (1997). A quantile takes 14 to 20 evaluations of its distribution; bisection alone
    takes 41.
    """
    # The newest point, the one on the other side of 0, and the one before the newest.
    x, y, old_x, old_y = high, rising(high), low, rising(low)
    if y <= 0 or old_y >= 0:
        return high if y <= 0 else low
    step = 0.5
    while True:
        middle = x + step * (old_x - x)
        value = rising(middle)
        third_x, third_y = x, y
        if (value < 0) != (y < 0):
            third_x, third_y, old_x, old_y = old_x, old_y, x, y
        x, y = middle, value
        best = x if abs(y) < abs(old_y) else old_x
        least = 1e-12 * max(1.0, abs(best)) / abs(old_x - x)
        if y == 0 or least > 0.5:
            return best
        step = min(1 - least, max(least, _parabolic(x, y, old_x, old_y, third_x, third_y)))


def _parabolic(
    x: float, y: float, old_x: float, old_y: float, third_x: float, third_y: float
) -> float:
    """Return the fraction of the way from `x` to `old_x` where the inverse parabola crosses 0.

    It is 0.5, a bisection, where the parabola through the three points is not safe.
    """
    if not (math.isfinite(y) and math.isfinite(old_y) and math.isfinite(third_y)):
        return 0.5
    place, height = (x - old_x) / (third_x - old_x), (y - old_y) / (third_y - old_y)
    if not (height**2 < place and (1 - height) ** 2 < 1 - place):
        return 0.5
    near = y / (old_y - y) * third_y / (old_y - third_y)
    far = (third_x - x) / (old_x - x) * y / (third_y - y) * old_y / (third_y - old_y)
    return near + far


class Beta:
    """Beta(alpha, beta), both 0.5 or more, tabulated over y = log(x / (1 - x)).

    In y the density is smooth for all parameters and its tails fall exponentially: a plain sum over
    evenly spaced points converges faster than any power of their distance.
    """

    def __init__(self, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta
        self.mean = alpha / (alpha + beta)
        self.sd = math.sqrt(self.mean * (1 - self.mean) / (alpha + beta + 1))
        self._mode = math.log(alpha / beta)
        self._low = self._mode - self._reach(-1)
        self._step = (self._mode + self._reach(1) - self._low) / (POINTS - 1)
        y = self._low + self._step * np.arange(POINTS)
        height = np.exp(self._log_height(y - self._mode))
        self._total = float(height.sum()) * self._step
        self.x = 1 / (1 + np.exp(-y))
        density = height / self._total
        slope = density * (alpha - (alpha + beta) * self.x)
        self.weights = density * self._step
        self._cumulated = self._integral(density, slope)
        moment_slope = self.x * (1 - self.x) * density + self.x * slope
        self._moment = self._integral(self.x * density, moment_slope)
        self._density, self._moment_density = density, self.x * density

    def _log_height(self, away: np.ndarray) -> np.ndarray:
        """Return the log density at `away` from the mode, where it is 0.

        No large numbers are subtracted.
        """
        both = self.alpha + self.beta
        # Beyond 709 the exponential is infinite and the density 0, as it should be.
        with np.errstate(over="ignore"):
            logs: np.ndarray = self.alpha * away - both * np.log1p(self.mean * np.expm1(away))
        return logs

    def _reach(self, side: int) -> float:
        """Return how far from the mode the table goes on that side."""

        def above(away: float) -> float:
            return DEPTH - float(self._log_height(np.array(side * away)))

        far = 1.0
        while above(far) < 0:
            far *= 2
        return root(above, 0.0, far)

    def _integral(self, values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return the integral up to each point, exact for cubics."""
        h = self._step
        panels = h / 2 * (values[:-1] + values[1:]) + h * h / 12 * (slopes[:-1] - slopes[1:])
        return np.concatenate([[0.0], np.cumsum(panels)])

    def _read(self, table: np.ndarray, slopes: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Interpolate by cubic Hermite splines; outside the table, return its nearest value."""
        place = np.clip((y - self._low) / self._step, 0, POINTS - 1)
        left = np.minimum(place.astype(np.intp), POINTS - 2)
        t = place - left
        start, rise = table[left], table[left + 1] - table[left]
        first, last = self._step * slopes[left], self._step * slopes[left + 1]
        read: np.ndarray = start + t * (
            first + t * (3 * rise - 2 * first - last + t * (first + last - 2 * rise))
        )
        return read

    def below_logit(self, y: np.ndarray) -> np.ndarray:
        """Return the probability that the variable's logit is at most `y`."""
        probabilities: np.ndarray = np.clip(self._read(self._cumulated, self._density, y), 0.0, 1.0)
        return probabilities

    def density_of_logit(self, y: float) -> float:
        return float(np.exp(self._log_height(np.array(y - self._mode)))) / self._total

    def below(self, x: np.ndarray) -> np.ndarray:
        """Return the cumulative distribution function; 0 below 0 and 1 above 1."""
        return self.below_logit(_logit(x))

    def mean_below(self, x: np.ndarray) -> np.ndarray:
        """Return the part of the mean that comes from values up to `x`."""
        return self._read(self._moment, self._moment_density, _logit(x))

    def logit_quantile(self, probability: float) -> float:
        def excess(y: float) -> float:
            return float(self.below_logit(np.array(y))) - probability

        return root(excess, self._low, self._low + self._step * (POINTS - 1))


def _logit(x: np.ndarray) -> np.ndarray:
    inside = np.clip(x, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        logits: np.ndarray = np.log(inside) - np.log1p(-inside)
    return logits


class BetaDifference:
    """The difference B - A of independent Beta variables, summed over the narrower one's table.

    Probabilities are within 1e-6, and within 1e-4 where both have a parameter of 0.5: there the
    cumulative distribution function starts with a vertical tangent.
    """

    def __init__(self, a: Beta, b: Beta) -> None:
        self._a, self._b = a, b
        self._over_a = a.sd <= b.sd

    def below(self, difference: float) -> float:
        """Return the cumulative distribution function."""
        a, b = self._a, self._b
        if self._over_a:
            return float(a.weights @ b.below(a.x + difference))
        return float(b.weights @ (1 - a.below(b.x - difference)))

    def quantile(self, probability: float) -> float:
        return root(lambda difference: self.below(difference) - probability, -1.0, 1.0)

    def mean_shortfall(self) -> float:
        """Return the mean of max(A - B, 0)."""
        a, b = self._a, self._b
        if self._over_a:
            short = a.weights @ (a.x * b.below(a.x) - b.mean_below(a.x))
        else:
            short = b.weights @ ((a.mean - a.mean_below(b.x)) - b.x * (1 - a.below(b.x)))
        return max(0.0, float(short))


class StudentT:
    """Student's t distribution with 1 degree of freedom or more.

    t = sqrt(freedom) sinh(y / 2), where y is the logit of Beta(freedom / 2, freedom / 2).
    """

    def __init__(self, freedom: float) -> None:
        self.freedom = freedom
        self._beta = Beta(freedom / 2, freedom / 2)

    def _logit(self, t: float) -> float:
        return 2 * math.asinh(t / math.sqrt(self.freedom))

    def below(self, t: float) -> float:
        return float(self._beta.below_logit(np.array(self._logit(t))))

    def two_sided_tail(self, t: float) -> float:
        """Return the probability of being farther from 0 than `t`, with a relative error of 1e-11.

        The density is integrated over the tail by the trapezoidal rule, in a variable in which it
        falls off double-exponentially at both ends: Takahasi and Mori (1974).
        """
        # Farther out the steps would overflow; the tail is below 1e-249 for every freedom.
        away = min(abs(t), 1e250)
        # The density roughly halves within this distance.
        stretch = self._stretch(away)
        scale = stretch / (self.freedom + 1) * (stretch / max(away, 1.0))
        grid = np.linspace(-4.5, 4.5, 721)
        steps = scale * np.exp(np.pi / 2 * np.sinh(grid))
        widths = steps * np.pi / 2 * np.cosh(grid) * (grid[1] - grid[0])
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            # Twice the logarithm of the ratio, since its square may be infinite.
            ratio = (away + steps) / math.sqrt(self.freedom)
            logs = np.where(ratio > 1e8, 2 * np.log(ratio), np.log1p(ratio * ratio))
            heights = np.exp(self._log_peak() - (self.freedom + 1) / 2 * logs)
            tail = float((heights * widths).sum())
        return min(1.0, 2 * tail)

    def _log_peak(self) -> float:
        """Return the logarithm of the density at 0."""
        half = self.freedom / 2
        if half < 30:
            ratio = math.lgamma(half + 0.5) - math.lgamma(half)
        else:
            # A series for the ratio of the two gammas: each alone is too large to keep its digits.
            square = half * half
            series = 1 / 192 - (1 / 640 - 17 / 14336 / square) / square
            ratio = math.log(half) / 2 - (1 / 8 - series / square) / half
        return ratio - math.log(math.pi * self.freedom) / 2

    def density(self, t: float) -> float:
        return self._beta.density_of_logit(self._logit(t)) * 2 / self._stretch(t)

    def _stretch(self, t: float) -> float:
        """Return sqrt(freedom + t^2) without overflow."""
        return math.hypot(math.sqrt(self.freedom), t)

    def quantile(self, probability: float) -> float:
        return math.sqrt(self.freedom) * math.sinh(self._beta.logit_quantile(probability) / 2)

    def mean_shortfall(self, t: float) -> float:
        """Return the mean of max(-(t + T), 0); infinite with one degree of freedom."""
        if self.freedom <= 1:
            return math.inf
        # The density times (freedom + t^2) / (freedom - 1).
        tail = self._beta.density_of_logit(self._logit(t)) * 2 * self._stretch(t)
        tail /= self.freedom - 1
        return max(0.0, tail - t * self.below(-t))
