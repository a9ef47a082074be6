"""PromQL expressions for dashboards, with Grafana's variables."""

PROJECT = 'project=~"$project"'
VERSION = f'{PROJECT},version=~"$version"'
# No caller waits for a shadow's response.
CALLERS = 'variant!="shadow"'
CALLERS_OF_VERSION = f"{VERSION},{CALLERS}"
RANGE = "$__rate_interval"


def rate(metric: str, matchers: str = "", *, by: str = "") -> str:
    """Return the rate per second, summed `by` labels, or over all."""
    return f"{_sum(by)} (rate({selector(metric, matchers)}[{RANGE}]))"


def rise(metric: str, matchers: str = "", *, by: str = "") -> str:
    """Return the increase of a counter in each step of the graph."""
    return f"{_sum(by)} (increase({selector(metric, matchers)}[{RANGE}]))"


def mean(histogram: str, matchers: str = "", *, by: str = "") -> str:
    """Return the mean of a histogram's observations; no series while there are none."""
    total = rate(f"{histogram}_count", matchers, by=by)
    return f"{rate(f'{histogram}_sum', matchers, by=by)} / ({total} > 0)"


def quantile(share: float, histogram: str, matchers: str = "", *, by: str = "") -> str:
    """Return a quantile of a histogram; `share` 0.99 is the 99th percentile."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{histogram}_bucket', matchers, by=labels)})"


def failed_share(matchers: str, *, by: str = "") -> str:
    """Return the share of requests with a server error; 0 while there are none."""
    metric = "slipway_requests_total"
    failed = rate(metric, f'{matchers},status=~"5.."', by=by)
    total = rate(metric, matchers, by=by)
    # Some counters of errors exist only after the first error.
    return f"({failed} or {total} * 0) / ({total} > 0)"


def worst(metric: str, matchers: str = "", *, by: str) -> str:
    """Return the largest value that several processes report of the same thing."""
    return f"max by ({by}) ({selector(metric, matchers)})"


def selector(metric: str, matchers: str = "") -> str:
    return f"{metric}{{{matchers}}}" if matchers else metric


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
