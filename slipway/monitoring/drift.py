"""Has a window drifted from the reference, and in which fields?

A field drifts when one of its tests stays significant after Holm's rule over all tests of the
window AND its effect reaches the threshold. The first keeps false alarms rare at any number of
fields and any size of sample; the second keeps differences quiet that are real but too small to
matter, of which a large window is full.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from slipway.monitoring import effects, significance
from slipway.monitoring.layout import ANSWER, Layout

if TYPE_CHECKING:
    import pandas as pd

Share = Annotated[float, Field(ge=0, le=1)]
What = Literal["values", "missing", "range"]


class Rule(BaseModel):
    """When a field counts as drifted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """The chance of any false alarm in a window, over all its fields together."""
    numbers: Annotated[float, Field(gt=0)] = 0.1
    """Wasserstein distance, in standard deviations of the reference."""
    categories: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Jensen-Shannon distance."""
    missing: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Change of the share of missing values."""
    range: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Share of numbers beyond all of the reference."""
    least_rows: Annotated[int, Field(ge=20)] = 100
    """In the window and in the reference: with fewer nothing is judged."""


class FieldDrift(BaseModel):
    """One column of the comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: str
    numeric: bool
    effect: float = Field(ge=0)
    method: str = Field(description="Evidently's name of the measure")
    threshold: float
    psi: float
    p_value: Share = Field(description="The smallest of the field's tests, adjusted by Holm")
    drifted: bool
    because: list[What] = Field(description="Which tests said so")
    missing_share: Share
    reference_missing_share: Share
    out_of_range_share: Share
    new_category_share: Share
    constant: bool
    typical: str = Field(description="Mean and standard deviation, or the commonest categories")
    reference_typical: str

    @property
    def of_answer(self) -> bool:
        return self.field.startswith(ANSWER)


class _Test(NamedTuple):
    what: What
    effect: float
    threshold: float
    p_value: float


class _Pair(NamedTuple):
    """A column of the reference and of the window, without what is missing."""

    reference: "pd.Series"
    window: "pd.Series"
    missing: tuple[int, int]
    numeric: bool

    @classmethod
    def of(cls, reference: "pd.Series", window: "pd.Series", *, numeric: bool) -> "_Pair":
        known, seen = reference.dropna(), window.dropna()
        missing = len(reference) - len(known), len(window) - len(seen)
        return cls(known, seen, missing, numeric)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        kind = np.float64 if self.numeric else np.str_
        return self.reference.to_numpy(dtype=kind), self.window.to_numpy(dtype=kind)

    def missing_shares(self) -> tuple[float, float]:
        counts = zip(self.missing, (self.reference, self.window), strict=True)
        before, now = (gone / (gone + len(held)) for gone, held in counts)
        return before, now

    def out_of_range(self) -> float:
        if not self.numeric or not len(self.reference) or not len(self.window):
            return 0.0
        known, seen = self.arrays()
        return float(((seen < known.min()) | (seen > known.max())).mean())

    def new_categories(self) -> float:
        if self.numeric or not len(self.window):
            return 0.0
        return float((~self.window.isin(self.reference.unique())).mean())


def compare(
    reference: "pd.DataFrame", window: "pd.DataFrame", layout: Layout, rule: Rule
) -> list[FieldDrift]:
    """Every column of the layout, as `Layout.table` gives them.

    Raises:
        ValueError: fewer rows than `rule.least_rows` in one of the two.
    """
    for name, rows in (("reference", len(reference)), ("window", len(window))):
        if rows < rule.least_rows:
            raise ValueError(f"{name}: at least {rule.least_rows} rows are needed, got {rows}")
    pairs = {
        column: _Pair.of(reference[column], window[column], numeric=numeric)
        for column, numeric in layout.numeric.items()
    }
    tests = {column: _tests(pair, rule) for column, pair in pairs.items()}
    adjusted = iter(significance.holm([each.p_value for found in tests.values() for each in found]))
    return [
        _drift(column, pair, tests[column], [next(adjusted) for _ in tests[column]], rule)
        for column, pair in pairs.items()
    ]


def share_drifted(found: Sequence[FieldDrift]) -> float:
    return sum(each.drifted for each in found) / len(found) if found else 0.0


def _tests(pair: _Pair, rule: Rule) -> list[_Test]:
    known, seen = pair.arrays()
    numeric = pair.numeric
    p_value = significance.of_numbers if numeric else significance.of_categories
    tests = [
        _Test(
            "values",
            effects.distance(pair.reference, pair.window, numeric=numeric),
            rule.numbers if numeric else rule.categories,
            p_value(known, seen),
        )
    ]
    if any(pair.missing):
        before, now = pair.missing_shares()
        counts = (pair.missing[0], len(known)), (pair.missing[1], len(seen))
        tests.append(
            _Test("missing", abs(now - before), rule.missing, significance.of_missing(*counts))
        )
    if numeric and len(known) and len(seen):
        tests.append(
            _Test("range", pair.out_of_range(), rule.range, significance.of_range(known, seen))
        )
    return tests


def _drift(
    column: str, pair: _Pair, tests: list[_Test], adjusted: list[float], rule: Rule
) -> FieldDrift:
    because = [
        test.what
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
