"""Score predicted uplifts and the policy; draw Qini curves, deciles, policies and balance."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.training import Candidate, LabelledRows

from .drawn import EMAILS, MENS, NONE, WOMENS, Label, RandomizedCustomers
from .model import NUMBERS, Campaign
from .ranked import ranked, ranking_metrics
from .tenths import compare_tenths, effect, predicted_effects


def recommended(predictions: list[Campaign]) -> np.ndarray:
    """Return the recommended e-mails (rows,), as places in `EMAILS`."""
    return np.array([EMAILS.index(each.recommendation) for each in predictions])


def bootstrapped(
    metric: Callable[[np.ndarray], Any], rows: int, *, resamples: int = 300
) -> tuple[Any, Any]:
    """Return the 95 % bootstrap interval of a metric (Efron 1979, percentiles).

    `metric` takes how often each row counts (rows,). If it returns an array, the ends are arrays.
    """
    rng = np.random.default_rng(0)
    even = np.full(rows, 1 / rows)
    values = [metric(rng.multinomial(rows, even)) for _ in range(resamples)]
    low, high = np.nanquantile(values, [0.025, 0.975], axis=0)
    return low, high


def mean_visits(follows: np.ndarray, visited: np.ndarray, counts: np.ndarray) -> float:
    """Return the share of visits among customers whose randomized e-mail follows a policy.

    Every e-mail was equally likely for everyone, so it estimates the visits if all followed it.
    """
    weight = float(counts[follows].sum())
    return float(counts[follows & visited].sum()) / weight if weight else float("nan")


def randomized(labels: list[Label]) -> RandomizedCustomers:
    """Return customers without features."""
    known = RandomizedCustomers.from_labelled_rows(LabelledRows([], labels))
    return replace(known, numbers=np.empty((len(labels), 0)))


def score(*, predictions: list[Campaign], labels: list[Label]) -> dict[str, float]:
    customers, effects = randomized(labels), predicted_effects(predictions)
    mens, womens = ranked(effects, customers)
    # One effect for all: the order in which customers are mailed is that of chance.
    baseline = ranked(np.zeros_like(effects), customers)
    policy, rows = recommended(predictions), len(labels)
    follows = {
        "by_policy": customers.email == policy,
        "all_mens": customers.email == MENS,
        "unmailed": customers.email == NONE,
    }

    def both(counts: np.ndarray) -> float:
        return (mens.qini(counts) + womens.qini(counts)) / 2

    def visits(name: str, counts: np.ndarray) -> float:
        return mean_visits(follows[name], customers.visited, counts)

    def gain(counts: np.ndarray) -> float:
        return visits("by_policy", counts) - visits("all_mens", counts)

    low, high = bootstrapped(both, rows)
    gain_low, gain_high = bootstrapped(gain, rows)
    return ranking_metrics(mens, womens) | {
        "qini_low": float(low),
        "qini_high": float(high),
        "baseline_qini": ranking_metrics(*baseline)["qini"],
        "tenths_contradicted": float(
            sum(each.contradicted for each in compare_tenths(predictions, customers))
        ),
        **{f"visits_{name}": visits(name, np.ones(rows)) for name in follows},
        "policy_gain": gain(np.ones(rows)),
        "policy_gain_low": float(gain_low),
        "policy_gain_high": float(gain_high),
        "mailed": float((policy != NONE).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    train, test = evaluation.train, evaluation.test
    customers, effects = (
        RandomizedCustomers.from_labelled_rows(test),
        predicted_effects(evaluation.predictions),
    )
    everyone = RandomizedCustomers.from_labelled_rows(
        LabelledRows(train.records + test.records, train.labels + test.labels)
    )
    yield "qini", qini(evaluation, customers, effects)
    yield "deciles", deciles(evaluation.predictions, customers)
    yield "policy", policies(evaluation, customers)
    yield "groups", groups(everyone)
    yield "balance", balance(everyone)


NAMES = {MENS: "men's e-mail", WOMENS: "women's e-mail"}
COLOURS = {
    "response": "#d1793b",
    "s_learner": "#7a8f3c",
    "t_learner": plots.INK,
    "x_learner": "#8a5fa8",
}


def qini(evaluation: Evaluation, customers: RandomizedCustomers, effects: np.ndarray) -> Figure:
    """Draw the served model's Qini curves with bootstrap bands, and the candidates."""
    figure, axes = plots.panels(3)
    for panel, name, each in zip(axes, NAMES.values(), ranked(effects, customers), strict=False):
        shares, gained = each.curve()
        grid = np.linspace(0, 1, 101)
        low, high = bootstrapped(partial(each.gained, grid), len(customers.email))
        panel.fill_between(100 * grid, 100 * low, 100 * high, color=plots.ACCENT, alpha=0.2)
        panel.plot(100 * shares, 100 * gained, color=plots.ACCENT, label=evaluation.chosen)
        panel.plot([0, 100], [0, 100 * gained[-1]], color=plots.INK, linestyle=":", label="random")
        panel.set(xlabel=f"sent the {name}, %", ylabel="visits gained, per 100 customers")
        panel.set_title(f"Qini {each.qini():.4f}, {name} (test rows)")
        panel.legend(fontsize=7, loc="upper left")
    draw_candidates(axes[2], evaluation.candidates, evaluation.chosen)
    return figure


def draw_candidates(axes: Axes, tried: list[Candidate], chosen: str) -> None:
    """Draw each candidate's gain over mailing at random, for women's e-mail, on validation rows."""
    for each in tried:
        gained = np.array(each.curves["womens"])
        shares = np.linspace(0, 1, len(gained))
        over = 100 * (gained - shares * gained[-1])
        style = "--" if each.name.endswith("linear") else "-"
        colour, width = COLOURS.get(each.name.removesuffix("_linear"), plots.PALE), 1.0
        if each.name == chosen:
            style, colour, width = "-", plots.ACCENT, 2.2
        axes.plot(100 * shares, over, style, color=colour, linewidth=width, label=each.name)
    axes.set(xlabel="sent the women's e-mail, %", ylabel="gained over random, per 100")
    axes.set(title="Candidates (validation, women's e-mail)", xlim=(0, 100))
    axes.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def deciles(predictions: list[Campaign], customers: RandomizedCustomers) -> Figure:
    """Draw served and observed uplift by tenths of the customers."""
    figure, axes = plots.panels(2)
    every = list(compare_tenths(predictions, customers))
    for panel, (email, name) in zip(axes, NAMES.items(), strict=True):
        tenths = [each for each in every if each.email == email]
        kinds = {"seen (95 %)": [each.seen for each in tenths]}
        halves = [each.seen_half for each in tenths]
        plots.bars(panel, range(1, 11), kinds, colours=[plots.PALE], half_width=halves)
        panel.errorbar(
            range(10),
            [each.served for each in tenths],
            yerr=[each.served_half for each in tenths],
            fmt="o",
            markersize=4,
            color=plots.ACCENT,
            label="served (95 %)",
        )
        panel.axhline(0, color=plots.INK, linewidth=0.6)
        panel.set(xlabel="tenth of customers, by served uplift", ylabel="uplift, points")
        panel.set(title=f"Uplift by {name} (test rows)", ylim=(None, 20))
        panel.legend(fontsize=8, loc="upper right", ncols=2)
    return figure


def policies(evaluation: Evaluation, customers: RandomizedCustomers) -> Figure:
    """Draw visits under each policy, and the recommendations of the served model."""
    policy = recommended(evaluation.predictions)
    kinds = {
        "no e-mail": customers.email == NONE,
        "women's to all": customers.email == WOMENS,
        "men's to all": customers.email == MENS,
        "as recommended": customers.email == policy,
    }
    found = {}
    for name, follows in kinds.items():
        visits = partial(mean_visits, follows, customers.visited)
        found[name] = (visits(np.ones(len(policy))), *bootstrapped(visits, len(policy)))
    figure, (left, right) = plots.panels(2)
    title, dark = "Customers who visit (test rows, 95 %)", [plots.INK] * 3
    plots.intervals(left, found, title, fmt="{:.1%}", colours=[*dark, plots.ACCENT])
    best = np.array([each.uplift for each in evaluation.predictions])
    colours = {"mens": plots.INK, "womens": plots.ACCENT, "none": plots.PALE}
    for name, colour in colours.items():
        chosen = policy == EMAILS.index(name)
        label = f"{name}: {chosen.sum():,}"
        right.hist(100 * best[chosen], bins=40, color=colour, alpha=0.7, label=label)
    right.set(xlabel="uplift of the better e-mail, points", ylabel="customers")
    right.set_title("What is recommended (test rows)")
    right.legend(title="recommended")
    return figure


def groups(everyone: RandomizedCustomers) -> Figure:
    """Draw the effect of each e-mail by earlier purchases, on all rows and without a model."""
    bought = ("mens", "womens", "newcomer")
    mens, womens, new = (everyone.numbers[:, NUMBERS.index(name)] == 1 for name in bought)
    members = {
        "men's only": mens & ~womens,
        "women's only": womens & ~mens,
        "both": mens & womens,
        "newcomer": new,
        "older customer": ~new,
    }
    figure, axes = plots.panels(2)
    axes[1].sharex(axes[0])
    for panel, (email, name) in zip(axes, NAMES.items(), strict=True):
        found = {group: effect(everyone.at(rows), email) for group, rows in members.items()}
        plots.intervals(panel, found, f"Effect of the {name} (all rows)", fmt="{:.1f}")
        panel.set_xlabel("visits gained, per 100 customers (95 %)")
    return figure


def balance(everyone: RandomizedCustomers) -> Figure:
    """Draw standardized differences between the arms in columns known before randomization."""
    figure, (axes,) = plots.panels(1, height=4.2)
    without = everyone.arms(NONE).numbers.astype(float)
    for arm, colour in ((MENS, plots.INK), (WOMENS, plots.ACCENT)):
        sent = everyone.arms(arm).numbers.astype(float)
        spread = np.sqrt((sent.var(axis=0) + without.var(axis=0)) / 2)
        apart = (sent.mean(axis=0) - without.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        axes.plot(apart, range(len(NUMBERS)), "o", color=colour, label=f"{NAMES[arm]} less none")
    axes.axvline(0, color=plots.INK, linewidth=0.6)
    axes.axvspan(-0.05, 0.05, color=plots.PALE, alpha=0.3)
    axes.set_yticks(range(len(NUMBERS)), NUMBERS)
    axes.invert_yaxis()
    axes.set(xlabel="standard deviations", title="Balance of the draw (all rows)", xlim=(-0.1, 0.1))
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure
