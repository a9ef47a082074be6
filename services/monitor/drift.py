"""Drift of a window from the reference, field by field.

A field has drifted when one of its tests is significant after Holm's adjustment over all tests of
the window AND its effect reaches the threshold. The first condition keeps false alarms rare for any
number of fields and any sample size; the second ignores differences that are real but too small to
matter, of which a large window has many.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.monitor import effects
from services.monitor.layout import PREDICTION, Layout
from slipway.quality import significance

if TYPE_CHECKING:
    import pandas as pd

Share = Annotated[float, Field(ge=0, le=1)]
Condition = Literal["values", "missing", "range"]


class Rule(BaseModel):
    """The thresholds at which a field counts as drifted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """The probability of any false alarm in a window, over all its fields together."""
    numbers: Annotated[float, Field(gt=0)] = 0.1
    """Wasserstein distance, in standard deviations of the reference."""
    categories: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Jensen-Shannon distance."""
    missing: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Change of the share of missing values."""
    range: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Share of numbers outside the range of the reference."""
    least_rows: Annotated[int, Field(ge=20)] = 100
    """Least number of rows in the window and in the reference for a judgement."""


class FieldDrift(BaseModel):
    """The comparison of one column."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: str
    numeric: bool
    effect: float = Field(ge=0)
    method: str = Field(description="Evidently's name of the distance")
    threshold: float
    psi: float
    p_value: Share = Field(
        description="The smallest of the field's tests, adjusted by Holm's method"
    )
    drifted: bool
    because: list[Condition] = Field(description="The conditions that drifted")
    missing_share: Share
    reference_missing_share: Share
    out_of_range_share: Share
    new_category_share: Share
    constant: bool
    typical: str = Field(description="Mean and standard deviation, or the most frequent categories")
    reference_typical: str

    @property
    def in_prediction(self) -> bool:
        """True if this is a field of the prediction, not of the record."""
        return self.field.startswith(PREDICTION)


class _Test(NamedTuple):
    condition: Condition
    effect: float
    threshold: float
    p_value: float


class _Pair(NamedTuple):
    """A column of the reference and of the window, without missing values."""

    reference: "pd.Series"
    window: "pd.Series"
    missing: tuple[int, int]
    numeric: bool

    @classmethod
    def without_missing(
        cls, reference: "pd.Series", window: "pd.Series", *, numeric: bool
    ) -> "_Pair":
        before, now = reference.dropna(), window.dropna()
        missing = len(reference) - len(before), len(window) - len(now)
        return cls(before, now, missing, numeric)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        kind = np.float64 if self.numeric else np.str_
        return self.reference.to_numpy(dtype=kind), self.window.to_numpy(dtype=kind)

    def missing_shares(self) -> tuple[float, float]:
        counts = zip(self.missing, (self.reference, self.window), strict=True)
        before, now = (missing / (missing + len(values)) for missing, values in counts)
        return before, now

    def out_of_range(self) -> float:
        if not self.numeric or not len(self.reference) or not len(self.window):
            return 0.0
        before, now = self.arrays()
        return float(((now < before.min()) | (now > before.max())).mean())

    def new_categories(self) -> float:
        if self.numeric or not len(self.window):
            return 0.0
        return float((~self.window.isin(self.reference.unique())).mean())


def compare(
    reference: "pd.DataFrame", window: "pd.DataFrame", layout: Layout, rule: Rule
) -> list[FieldDrift]:
    """Compare every column of the layout; both tables are as `Layout.table` returns them.

    Raises:
        ValueError: fewer rows than `rule.least_rows` in one of the two.
    """
    for name, rows in (("reference", len(reference)), ("window", len(window))):
        if rows < rule.least_rows:
            raise ValueError(f"{name}: at least {rule.least_rows} rows are needed, got {rows}")
    pairs = {
        column: _Pair.without_missing(reference[column], window[column], numeric=numeric)
        for column, numeric in layout.numeric.items()
    }
    tests = {column: _tests(pair, rule) for column, pair in pairs.items()}
    p_values = [each.p_value for column_tests in tests.values() for each in column_tests]
    adjusted = iter(significance.holm_adjusted(p_values))
    return [
        _drift(column, pair, tests[column], [next(adjusted) for _ in tests[column]], rule)
        for column, pair in pairs.items()
    ]


def share_drifted(fields: Sequence[FieldDrift]) -> float:
    """Return the share of the fields that drifted; 0 without fields."""
    return sum(each.drifted for each in fields) / len(fields) if fields else 0.0


def _tests(pair: _Pair, rule: Rule) -> list[_Test]:
    before, now = pair.arrays()
    numeric = pair.numeric
    p_value = significance.numeric_p_value if numeric else significance.categorical_p_value
    tests = [
        _Test(
            "values",
            effects.distance(pair.reference, pair.window, numeric=numeric),
            rule.numbers if numeric else rule.categories,
            p_value(before, now),
        )
    ]
    if any(pair.missing):
        share_before, share_now = pair.missing_shares()
        counts = (pair.missing[0], len(before)), (pair.missing[1], len(now))
        change = abs(share_now - share_before)
        tests.append(_Test("missing", change, rule.missing, significance.missing_p_value(*counts)))
    if numeric and len(before) and len(now):
        range_p_value = significance.range_p_value(before, now)
        tests.append(_Test("range", pair.out_of_range(), rule.range, range_p_value))
    return tests


def _drift(
    column: str, pair: _Pair, tests: list[_Test], adjusted: list[float], rule: Rule
) -> FieldDrift:
    because = [
        test.condition
        for test, p_value in zip(tests, adjusted, strict=True)
        if p_value <= rule.alpha and test.effect >= test.threshold
    ]
    before, now = pair.missing_shares()
    known, seen, numeric = pair.reference, pair.window, pair.numeric
    return FieldDrift(
        field=column,
        numeric=numeric,
        effect=tests[0].effect,
        method=effects.NUMBER if numeric else effects.CATEGORY,
        threshold=tests[0].threshold,
        psi=effects.stability(known, seen, numeric=numeric),
        p_value=min(adjusted),
        drifted=bool(because),
        because=because,
        missing_share=now,
        reference_missing_share=before,
        out_of_range_share=pair.out_of_range(),
        new_category_share=pair.new_categories(),
        constant=seen.nunique() == 1 < known.nunique(),
        typical=_typical(seen, numeric),
        reference_typical=_typical(known, numeric),
    )


def _typical(values: "pd.Series", numeric: bool) -> str:
    if not len(values):
        return "none"
    if numeric:
        return f"{values.mean():.4g} ± {values.std(ddof=0):.3g}"
    shares: Any = values.value_counts(normalize=True).head(3)
    return ", ".join(f"{name[:30]} {share:.0%}" for name, share in shares.items())
