"""Meta-learners for the effect of two e-mails, by their Qini coefficients on rows held out.

Every learner is a weighted sum of parts, each a classifier or a regressor of its own. So one
graph holds any of them: the parts side by side, then a matrix.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.graph import write_graph
from slipway.training.tabular import export_onnx

from .model import NUMBERS, Campaign, Shopper, campaigns, features

EMAILS = ("none", "mens", "womens")
NONE, MENS, WOMENS = range(3)
# Each customer was as likely to be in an arm as in the one without an e-mail.
PROPENSITY = 0.5
Truth = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One estimator; `email` holds values of two more columns, the same for every row."""

    estimator: BaseEstimator
    email: tuple[float, ...] = ()

    def column(self, numbers: np.ndarray) -> np.ndarray:
        """What it says of each row (rows,): a probability or a number."""
        more = np.tile(np.array(self.email, dtype=np.float32), (len(numbers), 1))
        inputs = np.concatenate([numbers, more], axis=1)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(inputs)[:, 1])
        return np.asarray(self.estimator.predict(inputs)).ravel()


@dataclass(frozen=True)
class Learner:
    """The probabilities of a visit (rows, 3) are the parts' columns times `mix` (parts, 3)."""

    parts: list[Part]
    mix: np.ndarray

    def visits(self, numbers: np.ndarray) -> np.ndarray:
        columns = np.stack([part.column(numbers) for part in self.parts], axis=1)
        return np.asarray(columns @ self.mix)


@dataclass(frozen=True)
class Drawn:
    """Customers (rows, 11), the e-mail that each was drawn to get (rows,), and who came (rows,)."""

    numbers: np.ndarray
    email: np.ndarray
    visited: np.ndarray

    @classmethod
    def of(cls, examples: Examples[Shopper, Truth]) -> "Drawn":
        return cls(
            features(examples.records)["numbers"],
            np.array([EMAILS.index(truth["email"]) for truth in examples.truths]),
            np.array([truth["visited"] for truth in examples.truths], dtype=bool),
        )

    def at(self, rows: np.ndarray) -> "Drawn":
        return Drawn(self.numbers[rows], self.email[rows], self.visited[rows])

    def places(self, *emails: int) -> np.ndarray:
        """Rows of the arms."""
        return np.flatnonzero(np.isin(self.email, emails))

    def arms(self, *emails: int) -> "Drawn":
        return self.at(self.places(*emails))


@dataclass(frozen=True)
class Estimators:
    """What the parts are made of."""

    classifier: Callable[[], BaseEstimator]
    regressor: Callable[[], BaseEstimator]


def constant(drawn: Drawn, made: Estimators) -> Learner:
    """The mean of each arm for everyone: whom one mails is left to chance."""
    # Trees that never split: scikit-learn's dummies have no ONNX form.
    stump = Estimators(lambda: DecisionTreeClassifier(min_impurity_decrease=1.0), made.regressor)
    return t_learner(drawn, stump)


def response(drawn: Drawn, made: Estimators) -> Learner:
    """Who comes when mailed, as if those were the ones whom the mail brings."""
    mailed = drawn.arms(MENS, WOMENS)
    model = made.classifier().fit(mailed.numbers, mailed.visited)
    rates = [drawn.arms(email).visited.mean() for email in range(3)]
    return Learner([Part(model)], np.array([rates]) / mailed.visited.mean())


def s_learner(drawn: Drawn, made: Estimators) -> Learner:
    """A single model that is told the e-mail. Künzel et al. (2019)."""
    emails = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    told = np.array(emails, dtype=np.float32)[drawn.email]
    model = made.classifier().fit(np.concatenate([drawn.numbers, told], axis=1), drawn.visited)
    return Learner([Part(model, email) for email in emails], np.eye(3))


def t_learner(drawn: Drawn, made: Estimators) -> Learner:
    """Two models, or here three: one an arm. Künzel et al. (2019)."""
    arms = [drawn.arms(email) for email in range(3)]
    models = [made.classifier().fit(arm.numbers, arm.visited) for arm in arms]
    return Learner([Part(model) for model in models], np.eye(3))


def x_learner(drawn: Drawn, made: Estimators) -> Learner:
    """Effects imputed across the arms, learnt in each and averaged. Künzel et al. (2019)."""
    outcome, without = t_learner(drawn, made).parts, drawn.arms(NONE)
    parts = [outcome[NONE]]
    for email in (MENS, WOMENS):
        mailed = drawn.arms(email)
        gained = mailed.visited - outcome[NONE].column(mailed.numbers)
        missed = outcome[email].column(without.numbers) - without.visited
        for arm, imputed in ((without, missed), (mailed, gained)):
            parts.append(Part(made.regressor().fit(arm.numbers, imputed)))
    half = [PROPENSITY, 1 - PROPENSITY]
    mix = np.array([[1.0, 1.0, 1.0], *([0, w, 0] for w in half), *([0, 0, w] for w in half)])
    return Learner(parts, mix)


def transformed_outcome(drawn: Drawn, made: Estimators) -> Learner:
    """A target whose mean is the effect. Jaskowski and Jaroszewicz (2012); Athey and Imbens (2016).

    2 for a mailed customer who came, -2 for one who came unmailed, 0 for who did not.
    """
    without = drawn.arms(NONE)
    parts = [Part(made.classifier().fit(without.numbers, without.visited))]
    for email in (MENS, WOMENS):
        pair = drawn.arms(NONE, email)
        sign = np.where(pair.email == email, 1 / PROPENSITY, -1 / (1 - PROPENSITY))
        parts.append(Part(made.regressor().fit(pair.numbers, sign * pair.visited)))
    return Learner(parts, np.array([[1.0, 1.0, 1.0], [0, 1, 0], [0, 0, 1]]))


Teach = Callable[[Drawn, Estimators], Learner]


def learners(seed: int, trees: int) -> dict[str, tuple[Teach, Estimators]]:
    options = {
        "max_iter": trees,
        "learning_rate": 0.05,
        "max_leaf_nodes": 6,
        "min_samples_leaf": 300,  # effects of some points drown in smaller groups
        "l2_regularization": 10.0,
        "early_stopping": False,
        "random_state": seed,
    }
    boosting = Estimators(
        partial(HistGradientBoostingClassifier, **options),
        partial(HistGradientBoostingRegressor, **options),
    )
    linear = Estimators(
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        lambda: make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
    )
    return {
        "baseline": (constant, linear),
        "response": (response, boosting),
        "s_learner": (s_learner, boosting),
        "t_learner": (t_learner, boosting),
        "t_learner_linear": (t_learner, linear),
        "x_learner": (x_learner, boosting),
        "x_learner_linear": (x_learner, linear),
        "transformed_outcome": (transformed_outcome, boosting),
        "transformed_outcome_linear": (transformed_outcome, linear),
    }


@dataclass(frozen=True)
class Ranked:
    """One e-mail against none: customers from the highest uplift told to the lowest."""

    order: np.ndarray
    """Places of the arms' rows among all."""
    mailed: np.ndarray
    visited: np.ndarray
    last: np.ndarray
    """Of customers with the same uplift: among them no order is known."""

    @classmethod
    def of(cls, uplift: np.ndarray, drawn: Drawn, email: int) -> "Ranked":
        rows = drawn.places(NONE, email)
        order = rows[np.argsort(-uplift[rows], kind="stable")]
        last = np.append(np.diff(uplift[order]) != 0, True)
        return cls(order, drawn.email[order] == email, drawn.visited[order], last)

    def curve(self, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Share mailed and visits gained a customer, both from 0 on. Radcliffe (2007).

        Those who came of the mailed, less those of the others scaled to as many, over all mailed.
        `counts` (all rows,) says how often each customer counts.
        """
        weights = np.ones(len(self.order)) if counts is None else counts[self.order].astype(float)
        arms = (self.mailed, ~self.mailed)
        mailed, others, came, came_anyway = (
            np.cumsum(weights * counted)[self.last]
            for counted in (*arms, *(arm & self.visited for arm in arms))
        )
        scale = np.divide(mailed, others, out=np.zeros_like(mailed), where=others > 0)
        gained = (came - came_anyway * scale) / max(mailed[-1], 1.0)
        shares = (mailed + others) / (mailed[-1] + others[-1])
        return np.append(0.0, shares), np.append(0.0, gained)

    def gained(self, shares: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
        """The curve at some shares."""
        return np.asarray(np.interp(shares, *self.curve(counts)))

    def area(self, counts: np.ndarray | None = None) -> float:
        """Under the curve: the AUUC."""
        shares, gained = self.curve(counts)
        return float(np.trapezoid(gained, shares))

    def qini(self, counts: np.ndarray | None = None) -> float:
        """The area between the curve and the straight line of mailing at random."""
        shares, gained = self.curve(counts)
        return float(np.trapezoid(gained, shares) - gained[-1] / 2)


def uplifts(visits: np.ndarray) -> np.ndarray:
    """Of men's and women's e-mail (rows, 2), from the probabilities of a visit (rows, 3)."""
    return np.asarray(visits[:, 1:] - visits[:, :1])


def ranked(effects: np.ndarray, drawn: Drawn) -> list[Ranked]:
    return [Ranked.of(effects[:, email - 1], drawn, email) for email in (MENS, WOMENS)]


def figures(effects: np.ndarray, drawn: Drawn) -> dict[str, float]:
    mens, womens = ranked(effects, drawn)
    return {
        "qini": (mens.qini() + womens.qini()) / 2,
        "qini_mens": mens.qini(),
        "qini_womens": womens.qini(),
        "auuc": (mens.area() + womens.area()) / 2,
    }


def validated(
    name: str, teach: Teach, made: Estimators, drawn: Drawn, splits: StratifiedKFold
) -> Candidate:
    """Figures over folds, and the Qini curves of women's e-mail and of men's, averaged."""
    scores, curves = [], []
    for kept, held in splits.split(drawn.numbers, 2 * drawn.email + drawn.visited):
        effects = uplifts(teach(drawn.at(kept), made).visits(drawn.numbers[held]))
        scores.append(figures(effects, drawn.at(held)))
        both = ranked(effects, drawn.at(held))
        curves.append([each.gained(np.linspace(0, 1, 21)) for each in both])
    kinds = {"method": teach.__name__, "parts": "linear" if "linear" in name else "trees"}
    mens, womens = np.mean(curves, axis=0).tolist()
    metrics = measures.over_folds(scores, "qini")
    return Candidate(name, metrics, kinds, {"mens": mens, "womens": womens})


def fit(
    *,
    train: Examples[Shopper, Truth],
    weights: Path,
    seed: int,
    folds: int,
    trees: int,
    least_uplift: float,
) -> Fitted:
    """Choose by the mean of both Qini coefficients, and fit the chosen on all training rows."""
    drawn = Drawn.of(train)
    splits = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    taught = learners(seed, trees)
    # Trees this small are done before a second thread has started: 13 times faster with one.
    with threadpool_limits(limits=1):
        tried = [validated(name, *each, drawn, splits) for name, each in taught.items()]
        chosen = max(tried, key=lambda each: each.metrics["qini"]).name
        teach, made = taught[chosen]
        best = teach(drawn, made)
    export(best, weights / "model.onnx")
    (weights / "least.json").write_text(json.dumps({"least_uplift": least_uplift}) + "\n")

    def native(shoppers: list[Shopper]) -> list[Campaign]:
        return campaigns(best.visits(features(shoppers)["numbers"]), least_uplift)

    return Fitted(tried, chosen, native)


def export(learner: Learner, file: Path) -> None:
    """One graph: `numbers` (rows, 11) to `visits` (rows, 3)."""
    import onnx
    from onnx import compose, helper

    width, node = len(NUMBERS), helper.make_node
    constants, nodes, columns = {"last": np.array([-1]), "mix": learner.mix}, [], []
    for place, part in enumerate(learner.parts):
        prefix = f"part_{place}_"
        export_onnx(part.estimator, {"numbers": width + len(part.email)}, file.parent)
        # A part that is told the e-mail reads wider numbers, the others those of the whole graph.
        graph = compose.add_prefix(onnx.load(file), prefix, rename_inputs=bool(part.email)).graph
        if part.email:
            constants["widen"] = np.eye(width, width + len(part.email))
            constants[f"{prefix}email"] = np.array([0.0] * width + [*part.email])
            widened = ["numbers", "widen", f"{prefix}email"]
            nodes.append(node("Gemm", widened, [graph.input[0].name]))
        nodes += [node("Constant", [], [each.name], value=each) for each in graph.initializer]
        nodes += graph.node
        # Of a classifier's two columns the last is that of a visit; a regressor has but one.
        columns.append(f"{prefix}column")
        nodes.append(node("Gather", [graph.output[-1].name, "last"], columns[-1:], axis=1))
    nodes.append(node("Concat", columns, ["columns"], axis=1))
    nodes.append(node("MatMul", ["columns", "mix"], ["visits"]))
    write_graph(file, nodes, inputs={"numbers": width}, outputs={"visits": 3}, constants=constants)


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
    return figures(effects, drawn) | {
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
