"""The row on Docker Compose's proxy: callers' responses, and what a second server saves."""

from infra.grafana.dashboard import Row
from infra.grafana.panel import Panel, Query
from infra.grafana.promql import rate, rise

JOB = 'job="proxy"'
EMPTY = "Empty where no proxy runs, as with `make up`."

ROW = Row(
    title="Proxy",
    panels=(
        Panel(
            title="Responses of the proxy by status",
            description="What callers got from the proxy. If there are 5xx here and none from "
            "the model "
            f"servers, the proxy reached none of them. {EMPTY}",
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
            description="As the proxy sees them: ready, or for `starting` alive. With only one, "
            "its "
            f"failure reaches callers; without any, callers get 503. {EMPTY}",
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
            title="Requests saved by retries",
            description="Requests that failed on a server and were retried, and those of them "
            "that went "
            f"to another server. Their callers saw no error. {EMPTY}",
            unit="short",
            queries=tuple(
                Query(
                    expr=rise(f"haproxy_backend_{name}_warnings_total", JOB, by="proxy"),
                    legend=f"{{{{proxy}}}} {label}",
                )
                for name, label in (("retry", "retried"), ("redispatch", "another server"))
            ),
        ),
        Panel(
            title="Errors between proxy and servers",
            description="Failed connections, and responses that broke off or came too late. "
            "Requests that "
            f"a retry saved count too. {EMPTY}",
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
            title="Requests waiting in the proxy",
            description="For a connection to a server; after 5 s they get 503. Normally there "
            "are none: "
            f"servers have their own queues. {EMPTY}",
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
            title="Time of a prediction, measured by the proxy",
            description="Mean of the last 1,024 requests: waiting for a server, the connection, "
            "the "
            f"server's response. Only this panel includes the network's time. {EMPTY}",
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
