"""The monitor's HTML pages, without scripts or files from other servers."""

import time
from html import escape
from typing import TYPE_CHECKING

from services.monitor.check import Check, WindowCheck
from services.monitor.drift import FieldDrift
from slipway import home
from slipway.quality.fairness import Slices

if TYPE_CHECKING:
    from services.monitor.rounds import Monitor

STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --bad: #c62828; --good: #2e7d32;
  --wait: #b26a00 }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top }
th { font-weight: 600; white-space: nowrap }
td.n, th.n { text-align: right }
.quiet { color: var(--quiet) } .wide { overflow-x: auto }
.state { font-weight: 600; white-space: nowrap }
.bad { color: var(--bad) } .good { color: var(--good) } .wait { color: var(--wait) }
.bar { display: inline-block; height: .6rem; background: var(--good); min-width: 1px }
.bar.bad { background: var(--bad) } .bars { white-space: nowrap }
"""


def overview(monitor: "Monitor") -> str:
    """Return the page of all projects with their states."""
    catalogue = monitor.catalogue
    rows = "".join(_project_row(monitor, name) for name in catalogue.champions)
    if not rows:
        rows = '<tr><td colspan="7" class="quiet">No champion in the registry yet.</td></tr>'
    away = (
        ""
        if catalogue.reachable
        else f'<p class="wait">The registry is unreachable ({escape(catalogue.fault)}); '
        "the last known champions are shown.</p>"
    )
    last = _ago(monitor.last_round) if monitor.last_round else "not yet"
    body = f"""{_catalogue_link(monitor)}<h1>Slipway monitor</h1>
<p class="quiet">Every champion's traffic compared with its test rows. Last round: {last}; one
every {monitor.settings.interval_seconds:g} s.</p>{away}
<div class="wide"><table><tr><th>Project</th><th>State</th><th class="n">Version</th>
<th class="n">Rows</th><th>Drifted</th><th>Performance</th><th>Checked</th></tr>{rows}</table>
</div>"""
    return _page("Slipway monitor", body)


def project(monitor: "Monitor", name: str) -> str:
    """Return the page of one project: its last check, its reports and earlier checks."""
    check = monitor.latest.get(name)
    if check is None:
        return _page(name, f"{_head(name)}<p>Not checked yet.</p>")
    kind, state = state_of(check)
    parts = [
        _head(name),
        f'<p><span class="state {kind}">{escape(state)}</span> <span class="quiet">version '
        f"{escape(check.version)}, {_ago(check.time)}, {check.seconds:.1f} s; registry "
        f"{escape(check.registry)}</span></p>",
        f"<p>{escape(check.note)}</p>" if check.note else "",
        _performance(check),
        *window_tables(check.windows),
        *(_slices(each) for each in check.fairness),
        _left_out(check),
        _reports(monitor, name),
        _past(monitor, name),
    ]
    return _page(name, "".join(parts))


def _catalogue_link(monitor: "Monitor") -> str:
    """Return a link to the model server's catalogue; only on this machine is its address known."""
    if not home.on_loopback(monitor.settings.host):
        return ""
    address = f"http://{home.LOOPBACK}:{home.port('predict')}/"
    return f'<p><a href="{address}">Catalogue of models</a></p>'


def state_of(check: Check) -> tuple[str, str]:
    """Return the state as `good`, `bad` or `wait`, and in words."""
    if check.drift_alarm and check.performance_alarm:
        return "bad", "drifted and degraded"
    if check.drift_alarm:
        return "bad", "drifted"
    if check.performance_alarm:
        return "bad", "degraded"
    words = {
        "judged": ("good", "steady"),
        "too_few_rows": ("wait", "too few rows"),
        "no_reference": ("wait", "no reference"),
        "failed": ("bad", "check failed"),
    }
    return words[check.outcome]


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="refresh" content="60">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )


def _head(name: str) -> str:
    return f'<p><a href="/">All projects</a></p><h1>{escape(name)}</h1>'


def _project_row(monitor: "Monitor", name: str) -> str:
    link = f'<a href="/projects/{escape(name)}">{escape(name)}</a>'
    check = monitor.latest.get(name)
    if check is None:
        return f'<tr><td>{link}</td><td colspan="6" class="quiet">not checked yet</td></tr>'
    kind, state = state_of(check)
    rows = max((window.rows for window in check.windows), default=0)
    drifted = check.drift_summary() or (
        "none" if check.outcome == "judged" else next(iter(_notes(check)), "")
    )
    return (
        f'<tr><td>{link}</td><td class="state {kind}">{escape(state)}</td>'
        f'<td class="n">{escape(check.version)}</td><td class="n">{rows:,}</td>'
        f"<td>{escape(drifted)}</td><td>{escape(_first_score(check))}</td>"
        f'<td class="quiet">{_ago(check.time)}</td></tr>'
    )


def _notes(check: Check) -> list[str]:
    return [note for note in (check.note, *(each.note for each in check.windows)) if note]


def _first_score(check: Check) -> str:
    if check.performance is None or not check.performance.scores:
        return "no mature labels"
    first = check.performance.scores[0]
    return f"{first.metric} {first.value:.3g} ({first.low:.3g} to {first.high:.3g})"


def window_tables(windows: list[WindowCheck]) -> list[str]:
    """Return the tables of the windows; one for windows that hold the same rows."""
    tables = []
    while windows:
        first = windows[0]
        same = [each for each in windows if each is first or _same_rows(first, each)]
        windows = [each for each in windows if each not in same]
        tables.append(_window(first, " and ".join(map(_title, same))))
    return tables


def _same_rows(one: WindowCheck, other: WindowCheck) -> bool:
    """Return whether two windows, each of the newest rows, hold the same ones."""
    counts = (one.rows, one.sampled, one.unreadable)
    return one.sampled == one.rows and counts == (other.rows, other.sampled, other.unreadable)


def _title(window: WindowCheck) -> str:
    return "the last hours" if window.window == "time" else "the last rows"


def _window(window: WindowCheck, titles: str) -> str:
    title = titles[0].upper() + titles[1:]
    about = f"{window.rows:,} rows since {_moment(window.since)}"
    if window.sampled < window.rows:
        about += f", {window.sampled:,} of them sampled"
    if window.unreadable:
        about += f", {window.unreadable:,} more that cannot be read"
    head = f'<h2>{title}</h2><p class="quiet">{about}. {escape(window.note)}</p>'
    if not window.judged:
        return head
    ordered = sorted(window.fields, key=lambda each: (not each.drifted, each.p_value))
    rows = "".join(_field_row(each) for each in ordered)
    return (
        f'{head}<div class="wide"><table><tr><th>Field</th><th></th><th>Effect</th>'
        '<th class="n">PSI</th><th class="n">p, Holm-adjusted</th><th class="n">Missing</th>'
        f"<th>Now</th><th>Reference</th></tr>{rows}</table></div>"
    )


def _field_row(each: FieldDrift) -> str:
    width = min(9.0, 3 * each.effect / each.threshold)
    reasons = f'<span class="bad">{", ".join(each.because)}</span>' if each.drifted else ""
    bar = f'<span class="bar {"bad" if each.drifted else ""}" style="width:{width:.1f}rem"></span>'
    return (
        f'<tr><td>{escape(each.field)}</td><td class="state">{reasons}</td>'
        f'<td class="bars">{bar} {each.effect:.3f}</td>'
        f'<td class="n">{each.psi:.3f}</td><td class="n">{each.p_value:.2g}</td>'
        f'<td class="n">{each.missing_share:.1%}</td><td>{escape(each.typical)}</td>'
        f'<td class="quiet">{escape(each.reference_typical)}</td></tr>'
    )


def _performance(check: Check) -> str:
    found = check.performance
    if found is None:
        return ""
    before = {score.metric: score for score in found.reference}
    rows = "".join(
        f'<tr><td>{escape(score.metric)}</td><td class="n">{score.value:.4g}</td>'
        f'<td class="n">{score.low:.4g} to {score.high:.4g}</td><td class="n">'
        + (f"{before[score.metric].value:.4g}" if score.metric in before else "")
        + f'</td><td class="n">{score.n:,}</td></tr>'
        for score in found.scores
    )
    worse = "".join(f'<p class="bad">{escape(each)}</p>' for each in found.worse)
    about = (
        f"{found.labelled:,} labels of {found.predictions:,} predictions from "
        f"{_moment(found.since)} to {_moment(found.until)}"
    )
    table = (
        '<table><tr><th>Metric</th><th class="n">Now</th><th class="n">95 % interval</th>'
        f'<th class="n">Test rows</th><th class="n">Rows</th></tr>{rows}</table>'
    )
    return (
        f'<h2>Performance on mature labels</h2><p class="quiet">{about}.</p>{worse}'
        f"{table if rows else ''}"
    )


def _slices(slices: Slices) -> str:
    names = sorted({each.metric for group in slices.groups for each in group.metrics})
    rows = ""
    for group in slices.groups:
        own = {each.metric: each for each in group.metrics}
        cells = "".join(
            f'<td class="n">{own[name].value:.3g} <span class="quiet">({own[name].low:.3g} to '
            f"{own[name].high:.3g})</span></td>"
            if name in own
            else '<td class="n quiet">too few</td>'
            for name in names
        )
        rows += f'<tr><td>{escape(group.group)}</td><td class="n">{group.rows:,}</td>{cells}</tr>'
    gaps = "".join(
        f'<td class="n">{slices.gaps[name]:.3g} <span class="quiet">(test rows '
        f"{slices.reference_gaps.get(name, 0):.3g})</span></td>"
        if name in slices.gaps
        else "<td></td>"
        for name in names
    )
    heads = "".join(f'<th class="n">{escape(name)}</th>' for name in names)
    return (
        f"<h2>By {escape(slices.field)}</h2><table><tr><th>Group</th>"
        f'<th class="n">Rows</th>{heads}</tr>{rows}<tr><th>Gap</th><td></td>{gaps}</tr></table>'
    )


def _left_out(check: Check) -> str:
    if not check.left_out:
        return ""
    return f'<p class="quiet">Not compared: {escape(", ".join(check.left_out))}.</p>'


def _reports(monitor: "Monitor", name: str) -> str:
    links = "".join(
        f'<li><a href="/v1/projects/{escape(name)}/reports/{id}">{id}</a></li>'
        for id in monitor.reports.ids(name)
    )
    note = "Their own verdict uses the effect alone; the one above also uses significance."
    head = f'<h2>Evidently\'s reports</h2><p class="quiet">{note}</p>'
    return f"{head}<ul>{links}</ul>" if links else ""


def _past(monitor: "Monitor", name: str) -> str:
    rows = ""
    for check in monitor.history.checks(name, limit=30):
        kind, state = state_of(check)
        rows += (
            f'<tr><td>{_moment(check.time)}</td><td class="state {kind}">{escape(state)}</td>'
            f'<td class="n">{escape(check.version)}</td><td>{escape(check.drift_summary())}</td>'
            f"<td>{escape(_first_score(check))}</td></tr>"
        )
    return (
        '<h2>Earlier checks</h2><table><tr><th>When</th><th>State</th><th class="n">Version</th>'
        f"<th>Drifted</th><th>Performance</th></tr>{rows}</table>"
    )


def _moment(unix: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix))


def _ago(unix: float) -> str:
    seconds = max(0, int(time.time() - unix))
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}s ago"
    return f"{seconds} s ago"
