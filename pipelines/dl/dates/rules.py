"""Read dates by ten regular expressions: the rules that learning is compared with."""

import re
from calendar import monthrange

from .written import FIRST_SHORT, FIRST_YEAR, LAST_YEAR, MONTHS, SPELLED

_NAMES = {
    name[:length].lower(): number
    for number, name in enumerate(MONTHS, start=1)
    for length in (3, len(name))
}
_DAYS = {name: number for number, name in enumerate(SPELLED, start=1)}
_MONTH = rf"(?P<name>{'|'.join(sorted(_NAMES, key=len, reverse=True))})\.?"
_SPELLED = "|".join(sorted(_DAYS, key=len, reverse=True))
_DAY = rf"(?:the )?(?P<d>\d{{1,2}}|{_SPELLED})(?:st|nd|rd|th)?"
_YEAR, _SHORT = r"(?P<y>\d{4})", r"'?(?P<y>\d{4}|\d\d)"
_END = r"(?!\w)"

# The first one that is found decides.
PATTERNS = tuple(
    re.compile(rf"(?<!\w){each}{_END}")
    for each in (
        rf"{_YEAR}(?P<s>[-/.])(?P<m>\d\d)(?P=s)(?P<d>\d\d)",
        r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)",
        rf"(?P<m>\d{{1,2}})(?P<slash>/)(?P<d>\d{{1,2}})/{_SHORT}",
        rf"(?P<d>\d{{1,2}})(?P<s>[-.])(?P<m>\d{{1,2}})(?P=s){_SHORT}",
        rf"{_DAY}(?: of |\. |[- ]| / ){_MONTH}(?:, |[- ]| / ){_SHORT}",
        rf"{_MONTH} {_DAY}(?:, | ){_SHORT}",
        rf"{_YEAR},? {_MONTH} {_DAY}",
        rf"{_MONTH}(?:, | of | ){_YEAR}",
        rf"(?P<m>\d\d)/{_YEAR}",
        rf"{_YEAR}-(?P<m>\d\d)",
    )
)


def read_by_rules(text: str) -> str:
    """Return the ISO date in a text, a month without its day, or "" for none."""
    plain = re.sub(r"\s+", " ", text.lower())
    for pattern in PATTERNS:
        if found := pattern.search(plain):
            return iso(found.groupdict())
    return ""


def iso(found: dict[str, str | None]) -> str:
    """Return the date of a pattern's parts, or "" if the calendar has no such day."""
    year = int(found["y"] or 0)
    if year < 100:
        year += 1900 if year >= FIRST_SHORT % 100 else 2000
    name = found.get("name")
    month = _NAMES[name] if name else int(found["m"] or 0)
    written = found.get("d")
    if written is None:
        return f"{year}-{month:02}" if exists(year, month, 1) else ""
    day = _DAYS[written] if written in _DAYS else int(written)
    if month > 12 and found.get("slash"):
        month, day = day, month
    return f"{year}-{month:02}-{day:02}" if exists(year, month, day) else ""


def exists(year: int, month: int, day: int) -> bool:
    """Return whether the calendar has this day, within the years that dates may have."""
    known = FIRST_YEAR <= year <= LAST_YEAR and 1 <= month <= 12
    return known and 1 <= day <= monthrange(year, month)[1]
