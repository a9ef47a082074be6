"""The runbook: an entry for each alert, with commands, queries and files that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import typer
import typer.exceptions
import yaml

from infra.slo.objectives import promises
from infra.slo.rules import RUNBOOK, rules
from services import metrics_page
from slipway import home
from slipway.cli import app
from tests.conftest import ROOT
from tests.infra import expressions

PAGES = [ROOT / RUNBOOK, ROOT / "docs" / "operations.md"]
PARTS = ["Means", "See", "Causes", "Do", "Escalate", "Over"]
ENTRY = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SUBSTITUTION = re.compile(r'"\$\([^()]*\)"')
AN_ID = "0123abcd"
EXPORTED = re.compile("haproxy_|node_")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def alerts() -> list[dict[str, Any]]:
    return [
        rule
        for promise in promises()
        for group in rules(promise)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def entries(text: str) -> list[tuple[str, str]]:
    return ENTRY.findall(text)


def anchors(text: str) -> list[str]:
    """Return the anchors of the headings, as GitHub generates them."""
    prose = FENCE.sub("", text)
    return [
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in prose.splitlines()
        if line.startswith("#")
    ]


def commands(text: str) -> list[str]:
    """Return the commands of a page: in fences and in inline code."""
    fenced = [
        line.strip()
        for language, block in FENCE.findall(text)
        if language in ("", "sh")
        for line in block.splitlines()
    ]
    spans = CODE.findall(FENCE.sub("", text))
    whole = (SUBSTITUTION.sub(AN_ID, each) for each in (*fenced, *spans))
    simple = (part.strip() for each in whole for part in re.split(r"&&|\|\|?|;", each))
    return [re.sub(r"^([A-Z_]+=\S+ )+| >.*", "", each) for each in simple if each]


def refused(words: list[str]) -> str:
    """Return why a `slipway` command line is invalid; empty if it is valid."""
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="slipway")
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest:
            return ""  # speaks of the whole group
        name = rest.pop(0)
        if name not in command.commands:
            return f"there is no `{name}`"
        command = command.commands[name]
        context = typer.Context(command, info_name=name, parent=context)
    # A placeholder cannot have the form that an identifier needs.
    rest = [AN_ID if each == "ID" else each for each in rest]
    try:
        command.parse_args(context, rest)
    except typer.exceptions.TyperException as error:
        return str(error.format_message())
    return ""


@pytest.fixture(scope="module")
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def deployments() -> set[str]:
    """Return the names of the cluster's manifests."""
    documents = [
        document
        for file in (ROOT / "k8s").rglob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if isinstance(document, dict)
    ]
    return {
        f"{document['kind'].lower()}/{document['metadata']['name']}"
        for document in documents
        if "name" in document.get("metadata", {})
    }


def test_each_alert_has_one_entry_and_each_entry_an_alert() -> None:
    headings = [name for name, _ in entries((ROOT / RUNBOOK).read_text())]
    assert sorted(headings) == sorted({rule["alert"] for rule in alerts()})
    assert len(headings) >= 20


def test_each_alert_names_its_entry() -> None:
    known = anchors((ROOT / RUNBOOK).read_text())
    for rule in alerts():
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == RUNBOOK
        assert known.count(anchor) == 1, rule["alert"]
        assert anchor == rule["alert"].lower()


@pytest.mark.parametrize(
    ("alert", "entry"), entries((ROOT / RUNBOOK).read_text()), ids=lambda value: value[:30]
)
def test_an_entry_has_all_parts(alert: str, entry: str) -> None:
    assert re.findall(r"^- \*\*(\w+):\*\*", entry, re.MULTILINE) == PARTS
    for part in re.split(r"^- \*\*\w+:\*\*", entry, flags=re.MULTILINE)[1:]:
        assert len(part.strip()) > 20 or "```promql" in part, (alert, part)
    assert [language for language, _ in FENCE.findall(entry)] == ["promql"]
    does = entry.partition("- **Do:**")[2].partition("- **Escalate:**")[0]
    assert CODE.search(does), "nothing to type"


def test_the_query_of_an_entry_matches_its_alert() -> None:
    """Query and rule share a metric, so that no entry shows another alert's data."""
    by_name = {rule["alert"]: rule for rule in alerts()}
    for alert, entry in entries((ROOT / RUNBOOK).read_text()):
        [(_, query)] = FENCE.findall(entry)
        promql.parse(query)
        in_query, in_rule = (metrics_in(text) for text in (query, by_name[alert]["expr"]))
        if alert == "PredictLatencyBurn":
            assert in_query == {"slipway_queue_seconds"}  # a part of what the rule sums up
        elif alert in ("Drift", "PerformanceLow"):
            assert in_query, alert  # what is behind the alarm's 0 or 1
        else:
            assert in_query & in_rule, alert


def containers() -> set[str]:
    return set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def metrics_in(query: str) -> set[str]:
    """Return our metrics, and those of HAProxy's and the machine's exporters."""
    words = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\w+", query)}
    return {each for each in words if each in known_metrics() or EXPORTED.match(each)}


def known_metrics() -> set[str]:
    return set(re.findall(r"^\| `(\w+)`", metrics_page.page(), re.MULTILINE)) | {"up"}


@pages
def test_every_metric_that_is_named_is_exported(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"\bslipway_\w+", text))
    known = known_metrics()
    strays = {name for name in named if re.sub("_(bucket|sum|count)$", "", name) not in known}
    assert strays - known == set()


@pages
def test_every_slipway_command_is_taken(page: Path) -> None:
    found = [each for each in commands(page.read_text()) if re.match(r"slipway [a-z]", each)]
    assert len(found) >= 3
    wrong = {each: why for each in found if (why := refused(shlex.split(each)[1:]))}
    assert wrong == {}


@pages
def test_every_other_command_is_about_something_that_exists(
    page: Path, targets: set[str], deployments: set[str]
) -> None:
    for each in commands(page.read_text()):
        words = each.split()
        if words[0] == "make":
            assert set(words[1:]) <= targets, each
        if words[:2] == ["docker", "compose"]:
            for verb in ("logs", "restart", "exec", "stop", "run"):
                if verb in words:
                    behind = [w for w in words[words.index(verb) + 1 :] if not w.startswith("-")]
                    assert behind[0] in containers(), each
            if "slipway" in words:
                assert refused(words[words.index("slipway") + 1 :]) == "", each
        if words[0] == "kubectl":
            for named in re.findall(r"\b(?:deployment|cronjob|job)/[\w-]+", each):
                assert named in deployments, each
            inside = words[words.index("--") + 1 :] if "--" in words else []
            if "slipway" in inside:
                assert refused(inside[inside.index("slipway") + 1 :]) == "", each


@pages
def test_every_setting_that_is_named_is_one(page: Path) -> None:
    source = "".join(
        file.read_text() for top in ("services", "slipway") for file in (ROOT / top).rglob("*.py")
    )
    compose = (ROOT / "docker-compose.yml").read_text()
    prefixes = re.findall(r'prefix(?:: \w+)? = "(SLIPWAY_\w+_)"', source)
    fields = set(re.findall(r"^    (\w+): ", source, re.MULTILINE))
    for name in set(re.findall(r"\bSLIPWAY_[A-Z_]+\b", page.read_text())):
        own = [name.removeprefix(prefix).lower() for prefix in prefixes if name.startswith(prefix)]
        ports = {f"SLIPWAY_{each.upper()}_PORT" for each in home.PORTS}
        known = set(own) & fields or name in ports or f'"{name}"' in source
        assert known or f"${{{name}:-" in compose, name


@pages
def test_every_address_belongs_to_a_service(page: Path) -> None:
    by_port = {str(port): name for name, port in home.PORTS.items()}
    for port, path in re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w/-]*)", page.read_text()):
        service = by_port[port]
        folder = ROOT / "services" / service
        # The last are MLflow's own.
        if not folder.is_dir() or path == "/" or (service == "mlflow" and path[:5] == "/api/"):
            continue
        source = "".join(file.read_text() for file in folder.glob("*.py"))
        generic = re.sub(r"/(titanic|PROJECT)(?=/|$)", r"/{name}", path)
        assert f'"{generic}"' in source or generic.endswith("/predict"), (service, path)


def test_figures_equal_those_of_their_sources() -> None:
    """A new measurement must replace the old one here."""
    page = ROOT / "docs" / "operations.md"
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| \[\w+\]\((\S+)\) \|$", page.read_text(), re.MULTILINE
    )
    assert len(rows) >= 6
    for what, figure, source in rows:
        text = (page.parent / source).read_text()
        for number in re.findall(r"[\d,]*\d(?:\.\d+)?", figure):
            assert re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d,])", text), (what, number)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("rollbak titanic", "there is no `rollbak`"),
        ("rollback titanic --resaon x", "No such option"),
        ("rollback", "Missing argument"),
        ("runs cancel", "Missing argument"),
        ("keys revoke titanic", "8 hexadecimal"),
        ("policy set PROJECT --challenger much", "valid number"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, complaint: str) -> None:
    assert complaint in refused(command.split())


def test_the_queries_are_among_those_that_are_held_against_live_services() -> None:
    places = {each.where for each in expressions.everywhere(ROOT)}
    names = {name for name, _ in entries((ROOT / RUNBOOK).read_text())}
    assert {f"runbook.md: {name}" for name in names} <= places
