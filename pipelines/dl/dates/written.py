"""Generate texts: days and months in sixteen written formats, and texts that name no day.

The generator's rules for what is ambiguous: between slashes the month comes first, unless it cannot
be a month; between dots and dashes the day comes first; a year of two digits lies between 1970 and
2069.
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ONES = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth"),
    *("seventeenth", "eighteenth", "nineteenth", "twentieth"),
)
SPELLED = (*ONES, *(f"twenty-{each}" for each in ONES[:9]), "thirtieth", "thirty-first")
FIRST_YEAR, LAST_YEAR = 1900, 2099
# Years that two digits can mean, as in POSIX but for 1969.
FIRST_SHORT, LAST_SHORT = 1970, 2069

# {d} and {m} are numbers, {month}, {short} and {weekday} names, {th} is "5th", {spelled} "fifth".
FORMATS: Mapping[str, tuple[str, ...]] = {
    "5 March 2021": ("{d} {month} {year}", "{d:02} {month} {year}", "{d} {month}, {year}"),
    "March 5, 2021": ("{month} {d}, {year}", "{month} {d} {year}", "{month} {d:02}, {year}"),
    "5 Mar 2021": ("{d} {short} {year}", "{d} {short}. {year}", "{d:02} {short} {year}"),
    "Mar 5, 2021": ("{short} {d}, {year}", "{short}. {d}, {year}", "{short} {d} {year}"),
    "Friday, March 5, 2021": (
        *("{weekday}, {month} {d}, {year}", "{weekday}, {d} {month} {year}"),
        *("{weekday:.3}, {d} {short} {year}", "{weekday:.3} {short} {d:02} {year}"),
    ),
    "5th of March 2021": (
        *("{th} of {month} {year}", "the {th} of {month}, {year}"),
        *("{month} {th}, {year}", "{th} {month} {year}"),
    ),
    "the fifth of March 2021": (
        *("the {spelled} of {month} {year}", "{spelled} of {month}, {year}"),
        "{month} the {spelled}, {year}",
    ),
    "03/05/2021": ("{m}/{d}/{year}", "{m:02}/{d:02}/{year}"),
    "05.03.2021": ("{d}.{m}.{year}", "{d:02}.{m:02}.{year}", "{d}. {month} {year}"),
    "05-03-2021": ("{d}-{m}-{year}", "{d:02}-{m:02}-{year}"),
    "5-Mar-2021": ("{d}-{short}-{year}", "{d:02}-{short}-{year}", "{d} / {short} / {year}"),
    "2021/03/05": ("{year}/{m:02}/{d:02}", "{year}-{m:02}-{d:02}", "{year}.{m:02}.{d:02}"),
    "2021 March 5": ("{year} {month} {d}", "{year} {short} {d:02}", "{year}, {month} {th}"),
    "20210305": ("{year}{m:02}{d:02}",),
    "05.03.21": (
        *("{m}/{d}/{yy:02}", "{d:02}.{m:02}.{yy:02}", "{d} {short} {yy:02}"),
        *("{d}-{short}-{yy:02}", "{month} {d}, '{yy:02}"),
    ),
    "March 2021": (
        *("{month} {year}", "{short} {year}", "{month}, {year}", "{month} of {year}"),
        *("{m:02}/{year}", "{year}-{m:02}"),
    ),
}
SHORT_YEAR, MONTH_ONLY = "05.03.21", "March 2021"
# Formats without a weekday and a spelled number, in which a day that does not exist can be written.
IMPOSSIBLE = tuple(
    each for each in FORMATS if each[0] not in "Ft" and each not in (SHORT_YEAR, MONTH_ONLY)
)
# Words before the date.
BEFORE = ("on ", "due ", "born ", "since ", "Date: ", "signed on ", "as of ", "published ", "by ")


@dataclass(frozen=True)
class Parts:
    """The numbers of a day; the day need not exist."""

    year: int
    month: int
    day: int

    def exists(self) -> bool:
        """Return whether the calendar has this day."""
        return self.month <= 12 and self.day <= monthrange(self.year, self.month)[1]


def write(parts: Parts, kind: str, generator: np.random.Generator) -> str:
    """Return a text that names the day in a format, sometimes with a typing error in the month."""
    template = choose(FORMATS[kind], generator)
    if kind == "03/05/2021" and parts.day > 12 and generator.random() < 0.3:
        template = "{d}/{m}/{year}"
    month = MONTHS[min(parts.month, 12) - 1]
    fields: dict[str, object] = {
        "year": parts.year,
        "yy": parts.year % 100,
        "m": parts.month,
        "d": parts.day,
        "th": ordinal(parts.day),
        "short": month[:3],
        "month": mistyped(month, generator) if generator.random() < 0.12 else month,
    }
    if "{weekday" in template:
        fields["weekday"] = WEEKDAYS[date(parts.year, parts.month, parts.day).weekday()]
    if "{spelled" in template:
        fields["spelled"] = SPELLED[parts.day - 1]
    return varied(template.format(**fields), generator)


def varied(text: str, generator: np.random.Generator) -> str:
    """Return the text in capitals, small letters, with wide spaces or after other words."""
    if generator.random() < 0.05:
        text = text.replace(" ", "  ")
    if generator.random() < 0.15:
        text = choose(BEFORE, generator) + text
    case = generator.random()
    return text.lower() if case < 0.25 else text.upper() if case < 0.4 else text


def mistyped(name: str, generator: np.random.Generator) -> str:
    """Return a name of at least five letters with one letter left out, doubled or swapped."""
    if len(name) < 5:
        return name
    place = int(generator.integers(1, len(name) - 1))
    before, letter, after = name[:place], name[place], name[place + 1 :]
    swapped = before + after[0] + letter + after[1:]
    return choose((before + after, before + letter * 2 + after, swapped), generator)


def ordinal(day: int) -> str:
    """Return a day as a number with its ending: 1st, 2nd, 3rd, 11th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th") if day // 10 != 1 else "th"
    return f"{day}{ending}"


def choose(options: tuple[str, ...], generator: np.random.Generator) -> str:
    """Return one of the options, each as likely."""
    return options[int(generator.integers(len(options)))]


def day_format(year: int, generator: np.random.Generator) -> str:
    """Return a format for a whole day of the year."""
    kinds = [each for each in FORMATS if each != MONTH_ONLY]
    if not FIRST_SHORT <= year <= LAST_SHORT:
        kinds.remove(SHORT_YEAR)
    return choose(tuple(kinds), generator)


def impossible_day(generator: np.random.Generator) -> str:
    """Return a text in the form of a date whose day does not exist, such as 30 February."""
    year = int(generator.integers(FIRST_YEAR, LAST_YEAR + 1))
    if generator.random() < 0.2:
        parts = Parts(year, int(generator.integers(13, 20)), int(generator.integers(1, 29)))
        return write(parts, "2021/03/05", generator)
    month = int(generator.integers(1, 13))
    last = monthrange(year, month)[1]
    near = generator.random() < 0.7
    day = last + 1 if near and last < 31 else int(generator.integers(last + 1, 40))
    return write(Parts(year, month, day), choose(IMPOSSIBLE, generator), generator)


def other_numbers(generator: np.random.Generator) -> str:
    """Return a number, a time, a price, a telephone number or a version: no date."""
    one, two, three = (int(each) for each in generator.integers(0, 60, 3))
    forms = (
        *(f"{one}", f"{one % 24:02}:{two:02}", f"{one % 24}:{two:02} pm", f"${one}.{two:02}"),
        *(f"0{one + 30} {two}{three:02} {one:02}{two:02}", f"version {one}.{two}.{three}"),
        *(f"{one} of {two}", f"{one} {choose(MONTHS, generator)}", f"room {one}/{two}"),
        *(choose(WEEKDAYS, generator), choose(MONTHS, generator), f"{one}-{two}", f"no. {one}"),
    )
    return varied(choose(forms, generator), generator)
