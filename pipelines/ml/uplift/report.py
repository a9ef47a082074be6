"""Score predicted uplifts and the policy; draw Qini curves, deciles, policies and balance."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slipway.reporting import Evaluation, plots
from slipway.training import Candidate, Examples

from .drawn import EMAILS, MENS, NONE, WOMENS, Drawn, Truth
from .model import NUMBERS, Campaign
from .ranked import figures, ranked


def told_effects(answers: list[Campaign]) -> np.ndarray:
    """Uplifts (rows, 2) as they were answered."""
    return np.array([[each.uplift_mens, each.uplift_womens] for each in answers])


def recommended(answers: list[Campaign]) -> np.ndarray:
    return np.array([EMAILS.index(each.recommendation) for each in answers])


def bootstrapped(
    figure: Callable[[np.ndarray], Any], rows: int, *, resamples: int = 300
) -> tuple[Any, Any]:
    """A 95 % interval of a figure of how often each row counts. Efron (1979), percentiles.

    Of many figures at once it is an interval each.
    """
    rng = np.random.default_rng(0)
    even = np.full(rows, 1 / rows)
    drawn = [figure(rng.multinomial(rows, even)) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return low, high


def mean_visits(follows: np.ndarray, visited: np.ndarray, counts: np.ndarray) -> float:
    """The share of visits if all were mailed by a policy: of those drawn to what it says.

    Every e-mail was as likely for everyone, so those are a fair sample.
    """
    weight = float(counts[follows].sum())
    return float(counts[follows & visited].sum()) / weight if weight else float("nan")


def score(*, answers: list[Campaign], truths: list[Truth]) -> dict[str, float]:
    drawn, effects = Drawn.of(Examples([], truths)), told_effects(answers)
    mens, womens = ranked(effects, drawn)
    told, rows = recommended(answers), len(truths)
    follows = {
        "by_policy": drawn.email == told,
        "all_mens": drawn.email == MENS,
        "unmailed": drawn.email == NONE,
    }

    def both(counts: np.ndarray) -> float:
        return (mens.qini(counts) + womens.qini(counts)) / 2

    def visits(name: str, counts: np.ndarray) -> float:
        return mean_visits(follows[name], drawn.visited, counts)

    def gain(counts: np.ndarray) -> float:
        return visits("by_policy", counts) - visits("all_mens", counts)

    low, high = bootstrapped(both, rows)
    gain_low, gain_high = bootstrapped(gain, rows)
    return figures(mens, womens) | {
        "qini_low": float(low),
        "qini_high": float(high),
        **{f"visits_{name}": visits(name, np.ones(rows)) for name in follows},
        "policy_gain": gain(np.ones(rows)),
        "policy_gain_low": float(gain_low),
        "policy_gain_high": float(gain_high),
        "mailed": float((told != NONE).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    train, test = evaluation.train, evaluation.test
    drawn, effects = Drawn.of(test), told_effects(evaluation.answers)
    everyone = Drawn.of(Examples(train.records + test.records, train.truths + test.truths))
    yield "qini", qini(evaluation, drawn, effects)
    yield "deciles", deciles(drawn, effects)
    yield "policy", policies(evaluation, drawn)
    yield "groups", groups(everyone)
    yield "balance", balance(everyone)


NAMES = {MENS: "men's e-mail", WOMENS: "women's e-mail"}
COLOURS = {
    "response": "#d1793b",
    "s_learner": "#7a8f3c",
    "t_learner": plots.INK,
    "x_learner": "#8a5fa8",
}


def qini(evaluation: Evaluation, drawn: Drawn, effects: np.ndarray) -> Figure:
    """As served, with a band from resampled customers; and the candidates on validation rows."""
    figure, axes = plots.panels(3)
    for panel, name, each in zip(axes, NAMES.values(), ranked(effects, drawn), strict=False):
        shares, gained = each.curve()
        grid = np.linspace(0, 1, 101)
        low, high = bootstrapped(partial(each.gained, grid), len(drawn.email))
        panel.fill_between(100 * grid, 100 * low, 100 * high, color=plots.ACCENT, alpha=0.2)
        panel.plot(100 * shares, 100 * gained, color=plots.ACCENT, label=evaluation.chosen)
        panel.plot([0, 100], [0, 100 * gained[-1]], color=plots.INK, linestyle=":", label="random")
        panel.set(xlabel=f"sent the {name}, %", ylabel="visits gained, per 100 customers")
        panel.set_title(f"Qini {each.qini():.4f}, {name} (test rows)")
        panel.legend(fontsize=7, loc="upper left")
    compared(axes[2], evaluation.candidates, evaluation.chosen)
    return figure


def compared(axes: Axes, tried: list[Candidate], chosen: str) -> None:
    """What each gains over mailing at random with women's e-mail, on validation rows."""
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
    axes.set(title="Candidates (validation, women's e-mail)", xlim=(-45, 102))
    axes.set_xticks(range(0, 101, 20))
    axes.legend(fontsize=6, loc="upper left")


def deciles(drawn: Drawn, effects: np.ndarray) -> Figure:
    """Uplift told and seen, a tenth of the customers at a time."""
    figure, axes = plots.panels(2)
    for panel, (email, name) in zip(axes, NAMES.items(), strict=True):
        rows = drawn.places(NONE, email)
        told = 100 * effects[:, email - 1]
        tenths = np.array_split(rows[np.argsort(-told[rows], kind="stable")], 10)
        seen, _, high = np.array([effect(drawn.at(tenth), email) for tenth in tenths]).T
        kinds = {"seen (95 %)": seen}
        plots.bars(panel, range(1, 11), kinds, colours=[plots.PALE], reach=high - seen)
        means = [told[tenth].mean() for tenth in tenths]
        panel.plot(range(10), means, "o", color=plots.ACCENT, label="told")
        panel.axhline(0, color=plots.INK, linewidth=0.6)
        panel.set(xlabel="tenth of customers, by uplift told", ylabel="uplift, points")
        panel.set(title=f"Uplift by {name} (test rows)", ylim=(None, 20))
        panel.legend(fontsize=8, loc="upper right", ncols=2)
    return figure


def effect(drawn: Drawn, email: int) -> tuple[float, float, float]:
    """The difference of visits to the arm without an e-mail, with its 95 % interval, in points."""
    arms = [drawn.visited[drawn.email == arm] for arm in (email, NONE)]
    (mailed, spread), (without, other) = (
        (arm.mean(), arm.var() / len(arm)) if len(arm) else (np.nan, np.nan) for arm in arms
    )
    value, reach = 100 * float(mailed - without), 196 * float(np.sqrt(spread + other))
    return value, value - reach, value + reach


def policies(evaluation: Evaluation, drawn: Drawn) -> Figure:
    """Visits under each policy, and whom the served one sends what."""
    told = recommended(evaluation.answers)
    kinds = {
        "no e-mail": drawn.email == NONE,
        "women's to all": drawn.email == WOMENS,
        "men's to all": drawn.email == MENS,
        "as recommended": drawn.email == told,
    }
    found = {}
    for name, follows in kinds.items():
        visits = partial(mean_visits, follows, drawn.visited)
        found[name] = (visits(np.ones(len(told))), *bootstrapped(visits, len(told)))
    figure, (left, right) = plots.panels(2)
    title, dark = "Customers who visit (test rows, 95 %)", [plots.INK] * 3
    plots.intervals(left, found, title, form="{:.1%}", colours=[*dark, plots.ACCENT])
    best = np.array([each.uplift for each in evaluation.answers])
    colours = {"mens": plots.INK, "womens": plots.ACCENT, "none": plots.PALE}
    for name, colour in colours.items():
        chosen = told == EMAILS.index(name)
        label = f"{name}: {chosen.sum():,}"
        right.hist(100 * best[chosen], bins=40, color=colour, alpha=0.7, label=label)
    right.set(xlabel="uplift of the better e-mail, points", ylabel="customers")
    right.set_title("What is recommended (test rows)")
    right.legend(title="recommended")
    return figure


def groups(everyone: Drawn) -> Figure:
    """What each e-mail did to customers by what they had bought: all rows, no model."""
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
        plots.intervals(panel, found, f"Effect of the {name} (all rows)", form="{:.1f}")
        panel.set_xlabel("visits gained, per 100 customers (95 %)")
    return figure


def balance(everyone: Drawn) -> Figure:
    """Standardized differences between the arms in what was known before the draw."""
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
