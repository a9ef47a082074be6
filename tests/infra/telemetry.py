"""Check PromQL expressions against exported series: names, labels, values, kinds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus adds to every scraped series."""
OF_COUNTERS = frozenset({"rate", "irate", "increase"})
ANYTHING = "__anything__"
"""Stands in a matcher for a dashboard's variable."""


class Unsupported(Exception):
    """An expression of an unsupported kind; it is an error rather than skipped."""


@dataclass
class Catalog:
    """The live series by name: the labels of each. A name without series has an empty list."""

    series: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def scrape(self, job: str, exposition: str) -> None:
        """Add a service's exposition; its target is up."""
        scraped = {"job": job, "instance": f"{job}:80"}
        for family in text_string_to_metric_families(exposition):
            if not family.samples:
                name = f"{family.name}_total" if family.type == "counter" else family.name
                self.series.setdefault(name, [])
            for sample in family.samples:
                self.series.setdefault(sample.name, []).append({**sample.labels, **scraped})
                summed = sample.name.endswith(("_total", "_count", "_bucket", "_sum"))
                counts = summed and family.type in ("counter", "histogram", "summary")
                self.kinds[sample.name] = "counter" if counts else "gauge"
        self.series.setdefault("up", []).append(scraped)
        self.kinds["up"] = "gauge"

    def labelled(self, adds: frozenset[str]) -> "Catalog":
        """Return a copy with additional labels on every series."""
        given = dict.fromkeys(adds, ANYTHING)
        series = {name: [{**each, **given} for each in own] for name, own in self.series.items()}
        return Catalog(series, self.kinds)

    def record(self, name: str, labels: frozenset[str]) -> None:
        """Add the series of a recording rule, with any values of these labels."""
        self.series[name] = [dict.fromkeys(labels, ANYTHING)]
        self.kinds[name] = "gauge"

    def alarm(self, name: str, labels: frozenset[str], own: dict[str, str]) -> None:
        """Add the ALERTS series of an alert, with its labels."""
        series = dict.fromkeys((*labels, "alertstate"), ANYTHING)
        self.series.setdefault("ALERTS", []).append({**series, **own, "alertname": name})
        self.kinds["ALERTS"] = "gauge"


@dataclass
class Reader:
    """Follows the labels through one expression; `faults` is what does not fit the catalog."""

    catalog: Catalog
    faults: list[str] = field(default_factory=list)

    def labels(self, expr: object) -> frozenset[str] | None:
        """Return the labels of the series that `expr` yields; None for a number."""
        match expr:
            case promql.NumberLiteral() | promql.StringLiteral():
                return None
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self.labels(expr.expr)
            case promql.VectorSelector():
                return self._selector(expr)
            case promql.MatrixSelector():
                return self._selector(expr.vector_selector)
            case promql.Call():
                return self._call(expr)
            case promql.AggregateExpr():
                return self._aggregate(expr)
            case promql.BinaryExpr():
                return self._binary(expr)
        raise Unsupported(f"{type(expr).__name__} in {expr}")

    def _selector(self, expr: promql.VectorSelector) -> frozenset[str]:
        if not expr.name:
            raise Unsupported(f"a selector without a metric's name: {expr}")
        if expr.matchers.or_matchers:
            raise Unsupported(f"`or` among matchers: {expr}")
        if expr.name not in self.catalog.series:
            self.faults.append(f"no service exports {expr.name}")
            return SCRAPED
        series = self.catalog.series[expr.name]
        if not series:
            self.faults.append(f"{expr.name} has no live series, so its labels are not known")
            return SCRAPED
        known = frozenset(label for each in series for label in each)
        wanted = frozenset(matcher.name for matcher in expr.matchers.matchers)
        self._need(wanted, known, expr.name)
        if wanted <= known and not any(_matches(each, expr.matchers.matchers) for each in series):
            self.faults.append(f"no live series is matched by {expr}")
        return known

    def _call(self, expr: promql.Call) -> frozenset[str] | None:
        name = expr.func.name
        found = [self.labels(each) for each in expr.args]
        vectors = [each for each in found if each is not None]
        if name in OF_COUNTERS and isinstance(expr.args[0], promql.MatrixSelector):
            metric = expr.args[0].vector_selector.name
            if self.catalog.kinds.get(metric, "counter") != "counter":
                self.faults.append(f"{name} of {metric}, which is no counter")
        if name in ("absent", "absent_over_time", "scalar", "vector", "time") or not vectors:
            return frozenset() if name != "time" else None
        if name == "histogram_quantile":
            self._need(frozenset({"le"}), vectors[-1], "histogram_quantile's argument")
            return vectors[-1] - {"le"}
        if name in ("label_replace", "label_join"):
            texts = [each.val for each in expr.args if isinstance(each, promql.StringLiteral)]
            return vectors[0] | {texts[0]}
        return vectors[0]

    def _aggregate(self, expr: promql.AggregateExpr) -> frozenset[str]:
        inner = self.labels(expr.expr) or frozenset()
        if expr.modifier is None:
            keeps = str(expr.op) in ("topk", "bottomk")
            return inner if keeps else frozenset()
        named = frozenset(expr.modifier.labels)
        self._need(named, inner, f"what stands in {_short(expr)}")
        by = expr.modifier.type == promql.AggModifierType.By
        return named if by else inner - named

    def _binary(self, expr: promql.BinaryExpr) -> frozenset[str] | None:
        left, right = self.labels(expr.lhs), self.labels(expr.rhs)
        if left is None or right is None:
            return right if left is None else left
        modifier = expr.modifier
        matching = modifier.matching if modifier else None
        if matching is not None:
            named = frozenset(matching.labels)
            for side, labels in ((expr.lhs, left), (expr.rhs, right)):
                if matching.type == promql.LabelModifierType.Include:
                    self._need(named, labels, _short(side))
        elif left != right and not self._many(expr) and left and right:
            self.faults.append(
                f"{_short(expr.lhs)} and {_short(expr.rhs)} never match: "
                f"labels {sorted(left)} and {sorted(right)}"
            )
        added = frozenset((modifier.group_labels or []) if modifier else [])
        self._need(added, left | right, _short(expr))
        return left | added

    @staticmethod
    def _many(expr: promql.BinaryExpr) -> bool:
        """`or` takes series of any labels."""
        return str(expr.op) == "or"

    def _need(self, wanted: frozenset[str], known: frozenset[str], whose: str) -> None:
        for label in sorted(wanted - known):
            self.faults.append(f"{whose} has no label {label}; it has {', '.join(sorted(known))}")


def _short(expr: object) -> str:
    text = re.sub(r"\s+", " ", str(expr))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _matches(labels: dict[str, str], matchers: Iterable[promql.Matcher]) -> bool:
    return all(_holds(labels.get(each.name, ""), each) for each in matchers)


def _holds(value: str, matcher: promql.Matcher) -> bool:
    if ANYTHING in matcher.value or value == ANYTHING:
        return True
    match matcher.op:
        case promql.MatchOp.Equal:
            return value == matcher.value
        case promql.MatchOp.NotEqual:
            return value != matcher.value
        case promql.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
    return re.fullmatch(matcher.value, value) is None


def faults(expr: str, catalog: Catalog) -> tuple[list[str], frozenset[str]]:
    """Return what no service exports of the expression, and the labels that it yields.

    Raises:
        ValueError: it is not PromQL.
    """
    reader = Reader(catalog)
    found = reader.labels(promql.parse(expr))
    return reader.faults, found or frozenset()
