"""Who served a project at any time, read off the promotion log."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slipway.rollout import journal

Entry = dict[str, Any]
PERCENT_EVENTS = ("shadow", "canary")


class BadTime(ValueError):
    """The text is no time; the message says what one looks like."""


class NothingServed(LookupError):
    """No version had been promoted by then."""


class NoneBefore(LookupError):
    """No other version was champion before."""


@dataclass(frozen=True)
class Served:
    """`promotion` made the champion; `trial` gave another version a share since, if any."""

    project: str
    at: datetime
    promotion: Entry
    trial: Entry | None

    @property
    def version(self) -> str:
        return str(self.promotion["version"])


def moment(text: str) -> datetime:
    """An ISO 8601 time; UTC where it names no zone.

    Raises:
        BadTime: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadTime(f"at: must be a time like 2026-11-21T13:00:00+01:00, got {text!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def at(project: str, when: datetime, entries: list[Entry]) -> Served:
    """Among the project's entries of the promotion log, oldest first.

    Raises:
        NothingServed: none had been promoted by then.
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
        raise NothingServed(f"{project} served nothing at {when.isoformat()}, says the log")
    return Served(project, when, promotion, trial)


def champion_before(entries: list[Entry], current: str | None) -> str:
    """The champion before `current`, in the order in which they came.

    A version that was rolled back from is not one to go back to: going back twice leads to the
    one before that, not forward again.

    Raises:
        NoneBefore: the log names none.
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
        # The last time that it became champion.
        del line[len(line) - 1 - line[::-1].index(current) :]
    if not line:
        raise NoneBefore("no champion before in the promotion log; name one: --to VERSION")
    return line[-1]


def line(entry: Entry) -> str:
    """An entry on one line."""
    event = entry["evidence"].get("event")
    did = event or ("promoted" if entry["promoted"] else "kept out")
    percent = entry["evidence"].get("percent")
    if event in PERCENT_EVENTS:
        did = f"{event} {percent:g} %"
    approver = entry["evidence"].get("approver")
    who = f" (approved by {approver})" if approver else ""
    return f"{entry['time']}  {entry['project']} v{entry['version']} {did}: {entry['reason']}{who}"


def lines(served: Served, tags: dict[str, str]) -> list[str]:
    """What served, trained from which data and commit, approved by what evidence.

    `tags` are the version's in the registry, for what the entry does not name.
    """
    entry = served.promotion
    evidence = {**journal.lineage(tags), **entry["evidence"]}
    approver = evidence.get("approver") or evidence.get("started_by") or "the promotion rule"
    told = [
        f"{served.project} at {served.at.isoformat()}: v{served.version}, since {entry['time']}",
        f"  data      {_data(evidence)}",
        f"  commit    {evidence.get('git_commit') or 'not on record'}",
        f"  artifact  sha256 {evidence.get('digest') or 'not on record'}",
        f"  approved  {entry['reason']} ({approver})",
    ]
    told += [f"  {name:12} {rule}" for name, rule in evidence.get("rules", {}).items()]
    if trial := served.trial:
        told.append(
            f"  beside it v{trial['version']}, {trial['evidence']['event']} of "
            f"{trial['evidence']['percent']:g} % of the requests, since {trial['time']}"
        )
    return told


def _data(evidence: dict[str, Any]) -> str:
    if "dataset" not in evidence:
        return "not on record"
    try:
        files = json.loads(evidence.get("data_sha256") or "{}")
    except ValueError:
        files = {}
    hashes = ", ".join(f"{name} sha256 {value}" for name, value in sorted(files.items()))
    return f"{evidence['dataset']} ({hashes})" if hashes else str(evidence["dataset"])
