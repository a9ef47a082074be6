"""Find out which version served a project at a given time, from the promotion log."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.rollout import journal

Entry = dict[str, Any]
PERCENT_EVENTS = ("shadow", "canary")


class BadTime(ValueError):
    """Raised if a text is not a time; the message shows the format."""


class NothingServed(LookupError):
    """Raised if no version had been promoted by then."""


class NoPreviousChampion(LookupError):
    """Raised if no other version was champion before."""


@dataclass(frozen=True)
class ServedVersions:
    """The champion of a project at one time, and the version that shared its traffic."""

    project: str
    at: datetime
    promotion: Entry
    """The entry that made the champion."""
    trial: Entry | None
    """The entry that gave another version a share of the traffic, if one had it."""

    @property
    def version(self) -> str:
        """The champion's version."""
        return str(self.promotion["version"])


def parse_time(text: str) -> datetime:
    """Return an ISO 8601 time; one without a zone is UTC.

    Raises:
        BadTime: the text has another format.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadTime(f"at: must be a time like 2026-11-21T13:00:00+01:00, got {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def at(project: str, when: datetime, entries: list[Entry]) -> ServedVersions:
    """Return what served the project at a time.

    `entries` are the project's entries of the promotion log, oldest first.

    Raises:
        NothingServed: no version had been promoted by then.
    """
    promotion = trial = None
    for entry in entries:
        if datetime.fromisoformat(entry["time"]) > when:
            break
        event = entry["evidence"].get("event")
        if entry["promoted"]:
            promotion, trial = entry, None
        elif event in PERCENT_EVENTS:
            trial = entry
        elif event == "rolled back" and trial and trial["version"] == entry["version"]:
            trial = None
    if promotion is None:
        raise NothingServed(f"the log names no version that served {project} at {when.isoformat()}")
    return ServedVersions(project, when, promotion, trial)


def previous_champion(entries: list[Entry], current: str | None) -> str:
    """Return the champion before `current`.

    A version that was rolled back is skipped: a second rollback leads to the champion before that,
    not forward again.

    Raises:
        NoPreviousChampion: the log names none.
    """
    line: list[str] = []
    for entry in entries:
        if not entry["promoted"]:
            continue
        version = str(entry["version"])
        if entry["evidence"].get("event") == "rollback" and version in line:
            del line[line.index(version) + 1 :]
        elif not line or line[-1] != version:
            line.append(version)
    if current in line:
        # From the last time that it became champion.
        del line[len(line) - 1 - line[::-1].index(current) :]
    if not line:
        raise NoPreviousChampion(
            "the promotion log has no previous champion; name a version: --to VERSION"
        )
    return line[-1]


def line(entry: Entry) -> str:
    """Return an entry as one line."""
    event = entry["evidence"].get("event")
    action = event or ("promoted" if entry["promoted"] else "kept out")
    percent = entry["evidence"].get("percent")
    if event in PERCENT_EVENTS:
        action = f"{event} {percent:g} %"
    approver = entry["evidence"].get("approver")
    who = f" (approved by {approver})" if approver else ""
    return (
        f"{entry['time']}  {entry['project']} v{entry['version']} {action}: {entry['reason']}{who}"
    )


def lines(served: ServedVersions, tags: dict[str, str]) -> list[str]:
    """Describe what served: version, data, commit, and the evidence on which it was approved.

    `tags` are the version's tags in the registry; they fill what the entry does not name.
    """
    entry = served.promotion
    evidence = {**journal.lineage(tags), **entry["evidence"]}
    approver = evidence.get("approver") or evidence.get("started_by") or "the promotion rule"
    described = [
        f"{served.project} at {served.at.isoformat()}: v{served.version}, since {entry['time']}",
        f"  data      {_data(evidence)}",
        f"  commit    {evidence.get('git_commit') or 'not on record'}",
        f"  artifact  sha256 {evidence.get('digest') or 'not on record'}",
        f"  approved  {entry['reason']} ({approver})",
    ]
    described += [f"  {name:12} {rule}" for name, rule in evidence.get("rules", {}).items()]
    if trial := served.trial:
        described.append(
            f"  beside it v{trial['version']}, {trial['evidence']['event']} of "
            f"{trial['evidence']['percent']:g} % of the requests, since {trial['time']}"
        )
    return described


def _data(evidence: dict[str, Any]) -> str:
    if "dataset" not in evidence:
        return "not on record"
    try:
        files = json.loads(evidence.get("data_sha256") or "{}")
    except ValueError:
        files = {}
    hashes = ", ".join(f"{name} sha256 {value}" for name, value in sorted(files.items()))
    return f"{evidence['dataset']} ({hashes})" if hashes else str(evidence["dataset"])
