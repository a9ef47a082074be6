"""The A/B analysis: compared with SciPy on the real players, and error rates of its rules."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from pipelines.ml.ab_test import data, report, stopping, train
from pipelines.ml.ab_test.model import Analysis, Experiment, Findings, Rule, analyse
from pipelines.ml.ab_test.reference import reference
from slipway.datasets import fetch
from slipway.statistics import always_valid
from slipway.training import Candidate

SERVED = Rule("always_valid")
MIXTURE = Rule("normal_mixture", tightest=3000)
Looks = tuple[list[Experiment], list[Analysis], list[dict[str, Any]]]
EFFECTS = {"retention_1": 0.03, "retention_7": 0.025, "log_rounds": 0.09}


@pytest.fixture(scope="module")
def players() -> pd.DataFrame:
    return pd.read_csv(fetch("cookie_cats").path("cookie_cats.csv.gz"))


@pytest.fixture(scope="module")
def watched() -> Looks:
    """The records, analyses and labels of six looks at 120 experiments."""
    splits = data.splits(
        fetch("cookie_cats"), seed=3, series=120, looks=6, arm=3000, effects=EFFECTS
    )
    rows = list(splits["train"])
    records, labels = [record for record, _ in rows], [label for _, label in rows]
    return records, [analyse(each, SERVED) for each in records], labels


def rates(a: tuple[int, int], b: tuple[int, int], **options: Any) -> Experiment:
    return Experiment(
        kind="rates",
        a_successes=a[0],
        a_size=a[1],
        b_successes=b[0],
        b_size=b[1],
        **options,
    )


def test_the_examples_are_the_real_experiment(players: pd.DataFrame) -> None:
    arms = [players[players["version"] == gate] for gate in ("gate_30", "gate_40")]
    week, day, rounds = report.EXAMPLES
    for each, column in ((week, "retention_7"), (day, "retention_1")):
        assert (each.a_size, each.b_size) == tuple(len(arm) for arm in arms)
        assert (each.a_successes, each.b_successes) == tuple(arm[column].sum() for arm in arms)
    logs = [np.log1p(arm["sum_gamerounds"]) for arm in arms]
    assert (rounds.a_mean, rounds.b_mean) == pytest.approx([each.mean() for each in logs], abs=5e-6)
    assert (rounds.a_variance, rounds.b_variance) == pytest.approx(
        [each.var() for each in logs], abs=5e-6
    )


def test_retention_of_the_real_players_agrees_with_scipy(players: pd.DataFrame) -> None:
    result = analyse(report.EXAMPLES[0], SERVED)
    table = pd.crosstab(players["version"], players["retention_7"])
    wanted = stats.chi2_contingency(table, correction=False)
    assert (result.statistic, result.p_value) == pytest.approx(
        (wanted.statistic, wanted.pvalue), rel=1e-9
    )
    rng = np.random.default_rng(0)
    a, b = (rng.beta(row[True] + 0.5, row[False] + 0.5, 400_000) for _, row in table.iterrows())
    assert result.probability_b_better == pytest.approx((b > a).mean(), abs=0.0003)
    assert (result.credible_low, result.credible_high) == pytest.approx(
        np.quantile(b - a, [0.025, 0.975]), abs=5e-5
    )
    assert result.expected_loss == pytest.approx(np.maximum(a - b, 0).mean(), rel=0.01)
    assert result.decision == "a"
    # 44,700 against 45,489 players: less than even, more than an accident of one in a thousand.
    assert result.split_p_value == pytest.approx(stats.chisquare([44_700, 45_489]).pvalue, rel=1e-9)
    assert result.note == ""


def test_rounds_of_the_real_players_agree_with_scipy(players: pd.DataFrame) -> None:
    arms = [
        np.log1p(players.loc[players["version"] == gate, "sum_gamerounds"])
        for gate in ("gate_30", "gate_40")
    ]
    result = analyse(report.EXAMPLES[2], SERVED)
    wanted = stats.ttest_ind(arms[1], arms[0], equal_var=False)
    assert result.test == "welch_t"
    assert result.p_value == pytest.approx(wanted.pvalue, rel=1e-3)
    assert result.degrees_of_freedom == pytest.approx(wanted.df, rel=1e-5)
    assert (result.confidence_low, result.confidence_high) == pytest.approx(
        tuple(wanted.confidence_interval(0.95)), abs=1e-5
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((30, 100), (45, 100)),
        ((3, 2000), (1, 300)),  # 0.5 expected: Fisher's test
        ((25, 1000), (70, 1000)),  # fewer than 30 of an outcome: the mixture gives way
        ((40_000, 90_000), (41_000, 90_000)),
    ],
)
@pytest.mark.parametrize(("alpha", "rule"), [(0.01, SERVED), (0.2, SERVED), (0.1, MIXTURE)])
def test_every_number_for_rates_is_scipys(
    a: tuple[int, int], b: tuple[int, int], alpha: float, rule: Rule
) -> None:
    experiment = rates(a, b, alpha=alpha, smallest_effect=0.02, watched=True)
    same(analyse(experiment, rule), reference(experiment, rule))


@pytest.mark.parametrize("rule", [SERVED, MIXTURE])
@pytest.mark.parametrize("sizes", [(40, 35), (9000, 300)])
def test_every_number_for_means_is_scipys(sizes: tuple[int, int], rule: Rule) -> None:
    experiment = Experiment(
        kind="means",
        a_size=sizes[0],
        b_size=sizes[1],
        a_mean=10.0,
        b_mean=10.4,
        a_variance=4.0,
        b_variance=9.0,
        smallest_effect=0.3,
    )
    same(analyse(experiment, rule), reference(experiment, rule))


def same(one: Analysis, other: Analysis) -> None:
    for name, value in one.model_dump().items():
        wanted = getattr(other, name)
        if isinstance(value, float):
            assert value == pytest.approx(wanted, rel=1e-5, abs=2e-6), name
        else:
            assert value == wanted, name


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "rates", "b_successes": 3}, {"a_successes"}),
        ({"kind": "rates", "a_successes": 11, "b_successes": 3}, {"a_successes"}),
        ({"kind": "rates", "a_successes": 1, "b_successes": 3, "b_mean": 2.0}, {"b_mean"}),
        ({"kind": "means", "a_mean": 1.0, "b_mean": 2.0, "a_variance": 1.0}, {"b_variance"}),
        ({"kind": "ranks"}, {"kind"}),
        ({"kind": "rates", "a_successes": 1, "b_successes": 3, "alpha": 0.7}, {"alpha"}),
    ],
)
def test_a_missing_or_superfluous_field_is_named(fields: dict[str, Any], named: set[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Experiment(a_size=10, b_size=10, **fields)
    assert {error["loc"][0] for error in caught.value.errors()} == named


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        ((0, 50), (0, 60), "nothing to test"),
        ((50, 50), (60, 60), "nothing to test"),
        ((100, 1000), (110, 1300), "do not fit the planned split"),
    ],
)
def test_the_note_names_what_is_unusual(a: tuple[int, int], b: tuple[int, int], note: str) -> None:
    result = analyse(rates(a, b), SERVED)
    assert note in result.note
    assert result.decision == "undecided"


@pytest.mark.parametrize(("a", "b"), [((500, 1000), (0, 1000)), ((990, 1000), (100, 1000))])
def test_a_clear_difference_is_decided_although_an_arm_has_few_of_an_outcome(
    a: tuple[int, int], b: tuple[int, int]
) -> None:
    result = analyse(rates(a, b, watched=True), MIXTURE)
    assert result.decision == "a"
    assert result.verdict.startswith("a is better (b less a: -0.")


def test_the_exact_interval_replaces_the_mixture_and_both_share_alpha() -> None:
    few, enough = (rates((yes, 9000), (60, 9000), alpha=0.1) for yes in (29, 30))
    wanted = always_valid.rate_interval((29, 60), (8971, 8940), coverage=MIXTURE.coverage(few))
    result = analyse(few, MIXTURE)
    assert (result.always_valid_low, result.always_valid_high) == wanted
    assert (MIXTURE.exact(few), MIXTURE.exact(enough)) == (True, False)
    spent = [1 - MIXTURE.coverage(each) for each in (few, enough)]
    assert sum(spent) == pytest.approx(0.1)
    assert min(spent) > 0
    assert SERVED.coverage(few) == 0.9


def test_the_switch_to_the_mixture_keeps_its_false_alarms() -> None:
    """Rates of 1.5 %: an arm reaches 30 successes about half-way."""
    rng, looks, alarms, switched = np.random.default_rng(4), 8, 0, 0
    for _ in range(200):
        counts = rng.binomial(500, 0.015, (2, looks)).cumsum(axis=1)
        seen = [
            rates((int(a), size), (int(b), size), alpha=0.2)
            for a, b, size in zip(*counts, range(500, 500 * looks + 1, 500), strict=True)
        ]
        switched += MIXTURE.exact(seen[0]) and not MIXTURE.exact(seen[-1])
        spans = [MIXTURE.sequence(each) for each in seen]
        alarms += any(span is None or not span[0] <= 0 <= span[1] for span in spans)
    assert switched > 190
    assert alarms <= 0.2 * 200


def test_a_look_without_an_interval_is_counted_apart() -> None:
    arms: dict[str, Any] = {
        "kind": "means",
        "a_mean": 1.0,
        "b_mean": 1.1,
        "a_variance": 1.0,
        "b_variance": 1.0,
    }
    analyses = [analyse(Experiment(a_size=n, b_size=n, **arms), MIXTURE) for n in (10, 100)]
    labels = [{"series": 0, "look": look, "effect": 0.1, "better": "b"} for look in (1, 2)]
    metrics = report.score(predictions=analyses, labels=labels)
    assert metrics["without_interval"] == 0.5
    assert metrics["coverage_at_every_look"] == 1


@pytest.mark.parametrize(
    ("a", "b", "test"),
    [
        ((0, 3), (3, 3), "fisher_exact"),
        ((4, 100), (5, 100), "fisher_exact"),
        ((5, 100), (5, 100), "chi_square"),
    ],
)
def test_small_expected_counts_use_fishers_test(
    a: tuple[int, int], b: tuple[int, int], test: str
) -> None:
    result = analyse(rates(a, b), SERVED)
    assert result.test == test
    assert ("Fisher" in result.note) == (test == "fisher_exact")
    assert (result.statistic is None) == (test == "fisher_exact")
    assert result.decision == "undecided"


def test_a_planned_split_is_no_mismatch() -> None:
    assert "split" not in analyse(rates((100, 1000), (900, 9000), share_b=0.9), SERVED).note


def test_values_without_variance_give_only_a_difference() -> None:
    flat = {"kind": "means", "a_size": 9, "b_size": 9, "a_variance": 0.0, "b_variance": 0.0}
    result = analyse(Experiment(a_mean=1.0, b_mean=2.0, **flat), SERVED)
    assert (result.decision, result.difference, result.p_value) == ("undecided", 1.0, None)
    assert result.verdict == "Nothing can be concluded yet."


def test_a_single_look_decides_earlier_than_a_watched_experiment() -> None:
    arms = ((200, 1000), (240, 1000))
    once, watched = (analyse(rates(*arms, watched=flag), SERVED) for flag in (False, True))
    assert (once.decision, watched.decision) == ("b", "undecided")
    assert once.p_value == watched.p_value
    assert "only look" in once.verdict


@pytest.mark.parametrize(
    ("rule", "decision"),
    [
        (Rule("normal_mixture"), "undecided"),
        (Rule("p_value"), "b"),
        (Rule("p_value", 10), "undecided"),
        (Rule("probability"), "b"),
        (Rule("always_valid"), "undecided"),
    ],
)
def test_each_rule_decides_by_its_own_method(rule: Rule, decision: str) -> None:
    found = Findings(0.02, 0.01, 0.995, (-0.01, 0.05))
    assert rule.decides(found, 0.05) == decision
    mirrored = Findings(-0.02, 0.01, 0.005, (-0.05, 0.01))
    assert rule.decides(mirrored, 0.05) == decision.replace("b", "a")
    assert rule.decides(Findings(0.0, None, None, None), 0.05) == "undecided"


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="got 'hunch'"):
        Rule("hunch").decides(Findings(0.0, None, None, None), 0.05)


def test_error_rates_match_a_count_by_hand() -> None:
    def labels_of(better: str, series: int) -> list[dict[str, Any]]:
        return [{"series": series, "look": look, "better": better} for look in (2, 1)]

    cases: list[tuple[str, list[str | None]]] = [
        ("same", ["undecided", "b"]),  # a false alarm at the first look
        ("same", ["undecided", "undecided"]),
        ("b", ["b", "undecided"]),  # found at the last look
        ("b", ["b", "a"]),  # the wrong arm at the first
        ("a", ["undecided", "undecided"]),
    ]
    rows = [
        label for series, (better, _) in enumerate(cases) for label in labels_of(better, series)
    ]
    decisions = [decision for _, each in cases for decision in each]
    metrics = stopping.error_rates(stopping.courses(rows, decisions))
    assert metrics["false_alarm"] == 0.5
    assert metrics["power"] == pytest.approx(1 / 3)
    assert metrics["wrong_arm"] == pytest.approx(1 / 3)
    assert metrics["error"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert metrics["sample_used"] == pytest.approx((1 + 0.5 + 1) / 3)


def test_the_standard_error_combines_those_of_two_shares() -> None:
    better = ["same"] * 4 + ["b"] * 10
    declared = ["a", *["undecided"] * 3, *["b"] * 8, "a", "undecided"]
    found = pd.DataFrame({"better": better, "declared": declared, "looks": 1, "at": 1})
    wanted = np.sqrt(0.25 * 0.75 / 4 + 0.8 * 0.2 / 10) / 2
    assert stopping.standard_error(found) == pytest.approx(wanted)


def test_the_simplest_rule_that_keeps_alpha_is_chosen() -> None:
    errors = {
        "baseline": (0.01, 0.2),
        "mixture_300": (0.09, 0.0),
        "mixture_3000": (0.055, 0.0),
        "mixture_10000": (0.05, 0.0),
        "bonferroni": (0.01, 0.0),
    }
    tried = [
        Candidate(name, {"error": error, "false_alarm": alarm, "error_se": 0.01})
        for name, (error, alarm) in errors.items()
    ]
    assert [name for name in stopping.rules(8) if name in errors] == list(errors)
    assert train.choose(tried, 0.05).name == "mixture_3000"
    assert train.choose(tried[:1], 0.05).name == "baseline"


def test_only_rules_for_every_look_keep_the_false_alarm_rate(watched: Looks) -> None:
    judged = {
        name: stopping.error_rates(
            stopping.courses(watched[2], stopping.decisions(name, rule, *watched))
        )
        for name, rule in stopping.rules(6).items()
    }
    assert judged["baseline"]["false_alarm"] > 0.08
    for name in ("always_valid", "mixture_300", "mixture_3000"):
        assert judged[name]["false_alarm"] <= 0.05
    assert judged["one_look_at_the_end"]["false_alarm"] < 0.15
    powers = [judged[name]["power"] for name in ("baseline", "mixture_3000", "always_valid")]
    assert powers == sorted(powers, reverse=True)


def test_the_planted_effects_are_in_the_data(watched: Looks) -> None:
    _, analyses, labels = watched
    last = [pair for pair in zip(analyses, labels, strict=True) if pair[1]["look"] == 6]
    for name, effect in EFFECTS.items():
        off = [
            analysis.difference - label["effect"]
            for analysis, label in last
            if label["outcome"] == name
        ]
        sizes = {abs(label["effect"]) for _, label in last if label["outcome"] == name}
        assert sizes == {0.0, effect}
        assert abs(np.mean(off)) < 4 * np.std(off) / np.sqrt(len(off))


def test_looks_of_an_experiment_grow_and_their_arms_are_drawn_evenly(
    players: pd.DataFrame,
) -> None:
    splits = data.splits(fetch("cookie_cats"), seed=3, series=4, looks=5, arm=2000, effects=EFFECTS)
    rows = list(splits["test"])
    assert len(rows) == 20
    for number in range(4):
        sizes = [
            record.a_size + record.b_size for record, label in rows if label["series"] == number
        ]
        assert sizes == [800, 1600, 2400, 3200, 4000]
    assert {label["better"] == "same" for _, label in rows} == {True, False}


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"arm": 40_000}, "arm must be at most 22547"), ({"effects": {"gold": 1.0}}, "got gold")],
)
def test_impossible_parameters_are_refused(options: dict[str, Any], reason: str) -> None:
    wanted = {"seed": 1, "series": 2, "looks": 2, "arm": 100, "effects": EFFECTS, **options}
    with pytest.raises(ValueError, match=reason):
        data.splits(fetch("cookie_cats"), **wanted)


def test_the_error_of_drawn_experiments_equals_that_of_their_table() -> None:
    rng = np.random.default_rng(0)
    kinds = {"better": ["same", "same", "a", "b"], "declared": ["a", "b", "undecided"]}
    found = pd.DataFrame({name: rng.choice(values, 80) for name, values in kinds.items()})
    found = found.assign(at=1, looks=8)
    rows = rng.integers(0, 80, 80)
    wanted = stopping.error_rates(found.iloc[rows])["error"]
    assert report.error_of(found)(rows) == pytest.approx(wanted)
