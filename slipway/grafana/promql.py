"""The queries that dashboards are made of, with Grafana's variables in them."""

PROJECT = 'project=~"$project"'
VERSION = f'{PROJECT},version=~"$version"'
# No caller waits for a shadow.
CALLERS = 'variant!="shadow"'
ASKED = f"{VERSION},{CALLERS}"
RANGE = "$__rate_interval"


def rate(metric: str, matchers: str = "", *, by: str = "") -> str:
    """A second, summed `by` labels, or over all."""
    return f"{_sum(by)} (rate({selector(metric, matchers)}[{RANGE}]))"


def rise(metric: str, matchers: str = "", *, by: str = "") -> str:
    """How much came to a counter in each step of the picture."""
    return f"{_sum(by)} (increase({selector(metric, matchers)}[{RANGE}]))"


def mean(histogram: str, matchers: str = "", *, by: str = "") -> str:
    """Of what the histogram saw; no series while it saw nothing."""
    total = rate(f"{histogram}_count", matchers, by=by)
    return f"{rate(f'{histogram}_sum', matchers, by=by)} / ({total} > 0)"


def quantile(share: float, histogram: str, matchers: str = "", *, by: str = "") -> str:
    """`share` 0.99 is the 99th percentile."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, {rate(f'{histogram}_bucket', matchers, by=labels)})"


def failed_share(matchers: str, *, by: str = "") -> str:
    """Share of the requests that failed on our side; 0 while none did."""
    metric = "slipway_requests_total"
    failed = rate(metric, f'{matchers},status=~"5.."', by=by)
    total = rate(metric, matchers, by=by)
    # Some counters of errors are born with the first of them.
    return f"({failed} or {total} * 0) / ({total} > 0)"


def worst(metric: str, matchers: str = "", *, by: str) -> str:
    """The largest of what several processes tell of the same thing."""
    return f"max by ({by}) ({selector(metric, matchers)})"


def selector(metric: str, matchers: str = "") -> str:
    return f"{metric}{{{matchers}}}" if matchers else metric


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
