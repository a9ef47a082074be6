"""The front door of Docker Compose: what callers get, and what a second server saves."""

from slipway.grafana.dashboard import Row
from slipway.grafana.panel import Panel, Query
from slipway.grafana.promql import rate, rise

JOB = 'job="proxy"'
EMPTY = "Empty where no proxy runs, as with `make up`."

ROW = Row(
    title="Front door",
    panels=(
        Panel(
            title="Answers at the door, by status",
            description="What callers got from the proxy. 5xx here beside none of the model "
            f"servers: it reached none of them. {EMPTY}",
            unit="reqps",
            queries=(
                Query(
                    expr=rate(
                        "haproxy_frontend_http_responses_total", f'{JOB},proxy="door"', by="code"
                    ),
                    legend="{{code}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            title="Model servers that are up, by backend",
            description="As the proxy sees them: ready, or for `starting` alive. With one "
            f"alone its death is noticed; without any, callers get 503. {EMPTY}",
            unit="short",
            queries=(
                Query(
                    expr=f"max by (proxy) (haproxy_backend_active_servers{{{JOB}}})",
                    legend="{{proxy}}",
                ),
            ),
            base="red",
            thresholds=((1, "yellow"), (2, "green")),
        ),
        Panel(
            title="Saved by asking again",
            description="Requests that a server failed and that were asked again, and those of "
            f"them that went to another server. Their callers noticed nothing. {EMPTY}",
            unit="short",
            queries=tuple(
                Query(
                    expr=rise(f"haproxy_backend_{name}_warnings_total", JOB, by="proxy"),
                    legend=f"{{{{proxy}}}} {told}",
                )
                for name, told in (("retry", "again"), ("redispatch", "another server"))
            ),
        ),
        Panel(
            title="Errors between the door and servers",
            description="Connections that failed, and answers that broke off or came too late. "
            f"What was saved by asking again counts here too. {EMPTY}",
            unit="short",
            queries=tuple(
                Query(
                    expr=rise(f"haproxy_backend_{name}_errors_total", JOB, by="proxy"),
                    legend=f"{{{{proxy}}}} {name}",
                )
                for name in ("connection", "response")
            ),
        ),
        Panel(
            title="Requests that wait at the door",
            description="For a connection to a server; after 5 s they get 503. In health none: "
            f"servers hold their own queues. {EMPTY}",
            unit="short",
            queries=(
                Query(
                    expr=f"sum by (proxy) (haproxy_backend_current_queue{{{JOB}}})",
                    legend="{{proxy}}",
                ),
            ),
            thresholds=((1, "red"),),
        ),
        Panel(
            title="Time of a prediction, seen from the door",
            description="Mean of the last 1,024 requests: waiting for a server, the connection, "
            f"the server's answer. What the network adds shows here alone. {EMPTY}",
            unit="s",
            queries=tuple(
                Query(
                    expr=f"max (haproxy_backend_{name}_time_average_seconds"
                    f'{{{JOB},proxy="predictions"}})',
                    legend=name,
                )
                for name in ("queue", "connect", "response")
            ),
            stacked=True,
        ),
    ),
)
