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

from slipway.training import Candidate, Evaluation, Examples, Fitted, plots
from slipway.training.tabular import OPSET

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
    email: tuple[float, float] | None = None

    def column(self, numbers: np.ndarray) -> np.ndarray:
        """What it says of each row (rows,): a probability or a number."""
        inputs = numbers
        if self.email is not None:
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

    def arm(self, email: int) -> "Drawn":
        return self.at(self.email == email)


@dataclass(frozen=True)
class Estimators:
    """What the parts are made of."""

    classifier: Callable[[], BaseEstimator]
    regressor: Callable[[], BaseEstimator]


def boosting(seed: int, trees: int) -> Estimators:
    options = {
        "max_iter": trees,
        "learning_rate": 0.05,
        "max_leaf_nodes": 6,
        "min_samples_leaf": 300,  # effects of some points drown in smaller groups
        "l2_regularization": 10.0,
        "early_stopping": False,
        "random_state": seed,
    }
    return Estimators(
        lambda: HistGradientBoostingClassifier(**options),
        lambda: HistGradientBoostingRegressor(**options),
    )


def linear() -> Estimators:
    return Estimators(
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)),
        lambda: make_pipeline(StandardScaler(), Ridge(alpha=100.0)),
    )


def constant(drawn: Drawn, made: Estimators) -> Learner:
    """The mean of each arm for everyone: whom one mails is left to chance."""
    # Trees that never split: scikit-learn's dummies have no ONNX form.
    stump = Estimators(lambda: DecisionTreeClassifier(min_impurity_decrease=1.0), made.regressor)
    return t_learner(drawn, stump)


def response(drawn: Drawn, made: Estimators) -> Learner:
    """Who comes when mailed, as if those were the ones whom the mail brings."""
    mailed = drawn.at(drawn.email != NONE)
    model = made.classifier().fit(mailed.numbers, mailed.visited)
    rates = [drawn.arm(email).visited.mean() for email in range(3)]
    return Learner([Part(model)], np.array([rates]) / mailed.visited.mean())


def s_learner(drawn: Drawn, made: Estimators) -> Learner:
    """A single model that is told the e-mail. Künzel et al. (2019)."""
    emails = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    told = np.array(emails, dtype=np.float32)[drawn.email]
    model = made.classifier().fit(np.concatenate([drawn.numbers, told], axis=1), drawn.visited)
    return Learner([Part(model, email) for email in emails], np.eye(3))


def t_learner(drawn: Drawn, made: Estimators) -> Learner:
    """Two models, or here three: one an arm. Künzel et al. (2019)."""
    return Learner([Part(model) for model in by_arm(drawn, made)], np.eye(3))


def by_arm(drawn: Drawn, made: Estimators) -> list[BaseEstimator]:
    arms = [drawn.arm(email) for email in range(3)]
    return [made.classifier().fit(arm.numbers, arm.visited) for arm in arms]


def x_learner(drawn: Drawn, made: Estimators) -> Learner:
    """Effects imputed across the arms, learnt in each and averaged. Künzel et al. (2019)."""
    outcome = [Part(model) for model in by_arm(drawn, made)]
    without = drawn.arm(NONE)
    parts = [outcome[NONE]]
    for email in (MENS, WOMENS):
        mailed = drawn.arm(email)
        gained = mailed.visited - outcome[NONE].column(mailed.numbers)
        missed = outcome[email].column(without.numbers) - without.visited
        parts.append(Part(made.regressor().fit(without.numbers, missed)))
        parts.append(Part(made.regressor().fit(mailed.numbers, gained)))
    half = [PROPENSITY, 1 - PROPENSITY]
    mix = np.array([[1.0, 1.0, 1.0], *([0, w, 0] for w in half), *([0, 0, w] for w in half)])
    return Learner(parts, mix)


def transformed_outcome(drawn: Drawn, made: Estimators) -> Learner:
    """A target whose mean is the effect. Jaskowski and Jaroszewicz (2012); Athey and Imbens (2016).

    2 for a mailed customer who came, -2 for one who came unmailed, 0 for who did not.
    """
    without = drawn.arm(NONE)
    parts = [Part(made.classifier().fit(without.numbers, without.visited))]
    for email in (MENS, WOMENS):
        pair = drawn.at((drawn.email == NONE) | (drawn.email == email))
        sign = np.where(pair.email == email, 1 / PROPENSITY, -1 / (1 - PROPENSITY))
        parts.append(Part(made.regressor().fit(pair.numbers, sign * pair.visited)))
    return Learner(parts, np.array([[1.0, 1.0, 1.0], [0, 1, 0], [0, 0, 1]]))


Teach = Callable[[Drawn, Estimators], Learner]


def learners(seed: int, trees: int) -> dict[str, tuple[Teach, Estimators]]:
    trees_made, lines = boosting(seed, trees), linear()
    return {
        "baseline": (constant, lines),
        "response": (response, trees_made),
        "s_learner": (s_learner, trees_made),
        "t_learner": (t_learner, trees_made),
        "t_learner_linear": (t_learner, lines),
        "x_learner": (x_learner, trees_made),
        "x_learner_linear": (x_learner, lines),
        "transformed_outcome": (transformed_outcome, trees_made),
        "transformed_outcome_linear": (transformed_outcome, lines),
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
        rows = np.flatnonzero((drawn.email == NONE) | (drawn.email == email))
        order = rows[np.argsort(-uplift[rows], kind="stable")]
        last = np.append(np.diff(uplift[order]) != 0, True)
        return cls(order, drawn.email[order] == email, drawn.visited[order], last)

    def curve(self, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Share mailed and visits gained a customer, both from 0 on. Radcliffe (2007).

        Those who came of the mailed, less those of the others scaled to as many, over all mailed.
        `counts` (all rows,) says how often each customer counts.
        """
        weights = np.ones(len(self.order)) if counts is None else counts[self.order].astype(float)
        mailed = np.cumsum(weights * self.mailed)[self.last]
        others = np.cumsum(weights * ~self.mailed)[self.last]
        came = np.cumsum(weights * self.mailed * self.visited)[self.last]
        came_anyway = np.cumsum(weights * ~self.mailed * self.visited)[self.last]
        scale = np.divide(mailed, others, out=np.zeros_like(mailed), where=others > 0)
        gained = (came - came_anyway * scale) / max(mailed[-1], 1.0)
        shares = (mailed + others) / (mailed[-1] + others[-1])
        return np.append(0.0, shares), np.append(0.0, gained)

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


def validated(teach: Teach, made: Estimators, drawn: Drawn, splits: StratifiedKFold) -> Candidate:
    """Figures over folds, and the Qini curves of women's e-mail and of men's, averaged."""
    scores, curves = [], []
    grid = np.linspace(0, 1, 21)
    for kept, held in splits.split(drawn.numbers, 2 * drawn.email + drawn.visited):
        effects = uplifts(teach(drawn.at(kept), made).visits(drawn.numbers[held]))
        scores.append(figures(effects, drawn.at(held)))
        curves.append([np.interp(grid, *each.curve()) for each in ranked(effects, drawn.at(held))])
    metrics = {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}
    metrics["qini_std"] = float(np.std([each["qini"] for each in scores]))
    mean = np.mean(curves, axis=0)
    return Candidate("", metrics, {}, {"mens": mean[0].tolist(), "womens": mean[1].tolist()})


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
    tried = []
    # Trees this small are done before a second thread has started: 13 times faster with one.
    with threadpool_limits(limits=1):
        for name, (teach, made) in taught.items():
            found = validated(teach, made, drawn, splits)
            kinds = {"method": teach.__name__, "parts": "linear" if "linear" in name else "trees"}
            tried.append(Candidate(name, found.metrics, kinds, found.curves))
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
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, columns = [], [], []
    for place, part in enumerate(learner.parts):
        name = f"part_{place}"
        source = "numbers"
        if part.email is not None:
            source = f"{name}_numbers"
            widen = np.eye(len(NUMBERS), len(NUMBERS) + 2, dtype=np.float32)
            more = np.array([0.0] * len(NUMBERS) + list(part.email), dtype=np.float32)
            constants += [
                numpy_helper.from_array(widen, f"{name}_widen"),
                numpy_helper.from_array(more, f"{name}_email"),
            ]
            nodes.append(
                helper.make_node(
                    "Gemm", ["numbers", f"{name}_widen", f"{name}_email"], [source], name=source
                )
            )
        graph = converted(part, name, source)
        nodes += graph.node
        constants += graph.initializer
        columns.append(f"{name}_column")
    constants += [
        numpy_helper.from_array(np.array([1], dtype=np.int64), "second"),
        numpy_helper.from_array(learner.mix.astype(np.float32), "mix"),
    ]
    nodes.append(helper.make_node("Concat", columns, ["columns"], name="columns", axis=1))
    nodes.append(helper.make_node("MatMul", ["columns", "mix"], ["visits"], name="visits"))
    joined = helper.make_graph(
        nodes,
        "uplift",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, len(NUMBERS)])],
        [helper.make_tensor_value_info("visits", TensorProto.FLOAT, [None, 3])],
        constants,
    )
    opsets = [helper.make_opsetid(*each) for each in sorted(OPSET.items())]
    model = helper.make_model(joined, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString(deterministic=True))


def converted(part: Part, name: str, source: str) -> Any:
    """The part's graph, all its names its own; it reads `source` and writes `<name>_column`."""
    from onnx import helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    classifies = hasattr(part.estimator, "predict_proba")
    width = len(NUMBERS) + (0 if part.email is None else 2)
    options = {id(part.estimator): {"zipmap": False}} if classifies else None
    graph = to_onnx(
        part.estimator,
        initial_types=[("numbers", FloatTensorType([None, width]))],
        options=options,
        target_opset=OPSET,
        name=name,
    ).graph
    renamed = {"": "", "numbers": source}
    for node in graph.node:
        for places in (node.input, node.output):
            places[:] = [renamed.setdefault(each, f"{name}_{each}") for each in places]
        node.name = f"{name}_{node.name}"
    for constant_ in graph.initializer:
        constant_.name = renamed.setdefault(constant_.name, f"{name}_{constant_.name}")
    told = renamed["probabilities" if classifies else "variable"]
    column = f"{name}_column"
    if classifies:
        last = helper.make_node("Gather", [told, "second"], [column], name=column, axis=1)
    else:
        last = helper.make_node("Identity", [told], [column], name=column)
    graph.node.append(last)
    return graph


def told_effects(answers: list[Campaign]) -> np.ndarray:
    """Uplifts (rows, 2) as they were answered."""
    return np.array([[each.uplift_mens, each.uplift_womens] for each in answers])


def truths_drawn(truths: list[Truth]) -> Drawn:
    email = np.array([EMAILS.index(truth["email"]) for truth in truths])
    visited = np.array([truth["visited"] for truth in truths], dtype=bool)
    return Drawn(np.empty((len(truths), 0)), email, visited)


RESAMPLES = 300


def bootstrapped(
    figure: Callable[[np.ndarray], float], rows: int, *, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """A 95 % interval of a figure of how often each row counts. Efron (1979), percentiles."""
    rng = np.random.default_rng(0)
    even = np.full(rows, 1 / rows)
    drawn = [figure(rng.multinomial(rows, even)) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def mean_visits(follows: np.ndarray, visited: np.ndarray, counts: np.ndarray) -> float:
    """The share of visits if all were mailed by a policy: of those drawn to what it says.

    Every e-mail was as likely for everyone, so those are a fair sample.
    """
    weight = float(counts[follows].sum())
    return float(counts[follows & visited].sum()) / weight if weight else float("nan")


def score(*, answers: list[Campaign], truths: list[Truth]) -> dict[str, float]:
    drawn, effects = truths_drawn(truths), told_effects(answers)
    mens, womens = ranked(effects, drawn)

    def both(counts: np.ndarray) -> float:
        return (mens.qini(counts) + womens.qini(counts)) / 2

    low, high = bootstrapped(both, len(truths))
    told = np.array([EMAILS.index(each.recommendation) for each in answers])
    follows = {
        "by_policy": drawn.email == told,
        "all_mens": drawn.email == MENS,
        "unmailed": drawn.email == NONE,
    }
    ones = np.ones(len(truths))
    visits = {name: mean_visits(rows, drawn.visited, ones) for name, rows in follows.items()}

    def gain(counts: np.ndarray) -> float:
        ours, theirs = (
            mean_visits(follows[name], drawn.visited, counts) for name in ("by_policy", "all_mens")
        )
        return ours - theirs

    gain_low, gain_high = bootstrapped(gain, len(truths))
    return figures(effects, drawn) | {
        "qini_low": low,
        "qini_high": high,
        **{f"visits_{name}": value for name, value in visits.items()},
        "policy_gain": gain(ones),
        "policy_gain_low": gain_low,
        "policy_gain_high": gain_high,
        "mailed": float((told != NONE).mean()),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    drawn, effects = truths_drawn(evaluation.test.truths), told_effects(evaluation.answers)
    yield "qini", qini(evaluation, drawn, effects)
    yield "deciles", deciles(drawn, effects)
    yield "policy", policies(evaluation, drawn)
    yield "groups", groups(evaluation)
    yield "balance", balance(evaluation)


NAMES = {MENS: "men's e-mail", WOMENS: "women's e-mail"}
COLOURS = {
    "response": "#d1793b",
    "s_learner": "#7a8f3c",
    "t_learner": plots.INK,
    "x_learner": "#8a5fa8",
    "transformed_outcome": plots.PALE,
}


def qini(evaluation: Evaluation, drawn: Drawn, effects: np.ndarray) -> Figure:
    """As served, with a band from resampled customers; and the candidates on validation rows."""
    figure, axes = plots.panels(3)
    for panel, name, each in zip(axes, NAMES.values(), ranked(effects, drawn), strict=False):
        shares, gained = each.curve()
        grid = np.linspace(0, 1, 101)
        rng = np.random.default_rng(0)
        even = np.full(len(drawn.email), 1 / len(drawn.email))
        curves = [
            np.interp(grid, *each.curve(rng.multinomial(len(even), even))) for _ in range(RESAMPLES)
        ]
        low, high = np.quantile(curves, [0.025, 0.975], axis=0)
        panel.fill_between(100 * grid, 100 * low, 100 * high, color=plots.ACCENT, alpha=0.2)
        panel.plot(100 * shares, 100 * gained, color=plots.ACCENT, label=evaluation.chosen)
        panel.plot([0, 100], [0, 100 * gained[-1]], color=plots.INK, linestyle=":", label="random")
        panel.set(xlabel=f"sent the {name}, %", ylabel="visits gained, per 100 customers")
        panel.legend(frameon=False, fontsize=7, loc="upper left")
        panel.set_title(f"Qini {each.qini():.4f}, {name} (test rows)")
    compared(axes[2], evaluation.candidates, evaluation.chosen)
    return figure


def compared(axes: Axes, tried: list[Candidate], chosen: str) -> None:
    """What each gains over mailing at random with women's e-mail, on validation rows."""
    for each in tried:
        gained = np.array(each.curves["womens"])
        shares = np.linspace(0, 1, len(gained))
        over = 100 * (gained - shares * gained[-1])
        kind = COLOURS.get(each.name.removesuffix("_linear"), plots.PALE)
        colour = plots.ACCENT if each.name == chosen else kind
        style = "--" if each.name.endswith("linear") and each.name != chosen else "-"
        width = 2.2 if each.name == chosen else 1.0
        axes.plot(100 * shares, over, style, color=colour, linewidth=width, label=each.name)
    axes.set(xlabel="sent the women's e-mail, %", ylabel="gained over random, per 100")
    axes.legend(frameon=False, fontsize=6, loc="upper left")
    axes.set_xlim(-45, 102)
    axes.set_xticks(range(0, 101, 20))
    axes.set_title("Candidates (validation, women's e-mail)")


def deciles(drawn: Drawn, effects: np.ndarray) -> Figure:
    """Uplift told and seen, a tenth of the customers at a time."""
    figure, axes = plots.panels(2)
    for panel, (email, name) in zip(axes, NAMES.items(), strict=True):
        rows = np.flatnonzero((drawn.email == NONE) | (drawn.email == email))
        told = effects[:, email - 1]
        tenths = np.array_split(rows[np.argsort(-told[rows], kind="stable")], 10)
        seen = [effect(drawn.at(tenth), email) for tenth in tenths]
        places = np.arange(1, 11)
        panel.bar(
            places,
            [100 * mean for mean, _ in seen],
            yerr=[196 * error for _, error in seen],
            color=plots.PALE,
            ecolor=plots.INK,
            capsize=2,
            label="seen (95 %)",
        )
        means = [100 * told[tenth].mean() for tenth in tenths]
        panel.plot(places, means, "o", color=plots.ACCENT, label="told")
        panel.axhline(0, color=plots.INK, linewidth=0.6)
        panel.set_xticks(places)
        panel.set(xlabel="tenth of customers, by uplift told", ylabel="uplift, points")
        panel.set_ylim(top=20)
        panel.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)
        panel.set_title(f"Uplift by {name} (test rows)")
    return figure


def effect(drawn: Drawn, email: int) -> tuple[float, float]:
    """The difference of visits to the arm without an e-mail, and its standard error."""
    arms = [drawn.visited[drawn.email == arm] for arm in (email, NONE)]
    rates = [arm.mean() if len(arm) else float("nan") for arm in arms]
    variance = sum(
        rate * (1 - rate) / max(len(arm), 1) for rate, arm in zip(rates, arms, strict=True)
    )
    return float(rates[0] - rates[1]), float(np.sqrt(variance))


def policies(evaluation: Evaluation, drawn: Drawn) -> Figure:
    """Visits under each policy, and whom the served one sends what."""
    told = np.array([EMAILS.index(each.recommendation) for each in evaluation.answers])
    rows = len(told)
    kinds = {
        "no e-mail": np.full(rows, NONE),
        "women's to all": np.full(rows, WOMENS),
        "men's to all": np.full(rows, MENS),
        "as recommended": told,
    }
    figure, (left, right) = plots.panels(2)
    for place, (name, policy) in enumerate(kinds.items()):
        follows = drawn.email == policy
        visits = mean_visits(follows, drawn.visited, np.ones(rows))
        low, high = bootstrapped(partial(mean_visits, follows, drawn.visited), rows)
        colour = plots.ACCENT if name == "as recommended" else plots.PALE
        reach = [[100 * (visits - low)], [100 * (high - visits)]]
        left.barh([name], [100 * visits], xerr=reach, color=colour, ecolor=plots.INK)
        left.annotate(f"  {100 * visits:.1f}", (100 * high, place), va="center")
    left.margins(x=0.15)
    left.invert_yaxis()
    left.set_title("Customers who visit, % (test rows, 95 %)")
    best = np.array([each.uplift for each in evaluation.answers])
    colours = {"mens": plots.INK, "womens": plots.ACCENT, "none": plots.PALE}
    for name, colour in colours.items():
        chosen = told == EMAILS.index(name)
        label = f"{name}: {chosen.sum():,}"
        right.hist(100 * best[chosen], bins=40, color=colour, alpha=0.7, label=label)
    right.set(xlabel="uplift of the better e-mail, points", ylabel="customers")
    right.legend(frameon=False, title="recommended")
    right.set_title("What is recommended (test rows)")
    return figure


def groups(evaluation: Evaluation) -> Figure:
    """What each e-mail did to customers by what they had bought: all rows, no model."""
    records = evaluation.train.records + evaluation.test.records
    drawn = truths_drawn(list(evaluation.train.truths) + list(evaluation.test.truths))
    members: dict[str, list[bool]] = {
        "men's only": [each.mens and not each.womens for each in records],
        "women's only": [each.womens and not each.mens for each in records],
        "both": [each.mens and each.womens for each in records],
        "newcomer": [each.newcomer for each in records],
        "older customer": [not each.newcomer for each in records],
    }
    figure, (axes,) = plots.panels(1)
    for email, colour, shift in ((MENS, plots.INK, -0.12), (WOMENS, plots.ACCENT, 0.12)):
        seen = [effect(drawn.at(np.array(rows, dtype=bool)), email) for rows in members.values()]
        axes.errorbar(
            [100 * mean for mean, _ in seen],
            np.arange(len(members)) + shift,
            xerr=[196 * error for _, error in seen],
            fmt="o",
            color=colour,
            capsize=3,
            label=NAMES[email],
        )
    axes.set_yticks(range(len(members)), list(members))
    axes.invert_yaxis()
    axes.axvline(0, color=plots.INK, linewidth=0.6)
    axes.set(xlabel="visits gained, per 100 customers (95 %)")
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("Effect by past purchases (all rows)")
    return figure


def balance(evaluation: Evaluation) -> Figure:
    """Standardized differences between the arms in what was known before the draw."""
    records = evaluation.train.records + evaluation.test.records
    numbers = features(records)["numbers"].astype(float)
    email = truths_drawn(list(evaluation.train.truths) + list(evaluation.test.truths)).email
    figure, (axes,) = plots.panels(1, height=4.2)
    for arm, colour in ((MENS, plots.INK), (WOMENS, plots.ACCENT)):
        sent, without = numbers[email == arm], numbers[email == NONE]
        spread = np.sqrt((sent.var(axis=0) + without.var(axis=0)) / 2)
        apart = (sent.mean(axis=0) - without.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        axes.plot(apart, range(len(NUMBERS)), "o", color=colour, label=f"{NAMES[arm]} less none")
    axes.axvline(0, color=plots.INK, linewidth=0.6)
    axes.axvspan(-0.05, 0.05, color=plots.PALE, alpha=0.3)
    axes.set_xlim(-0.1, 0.1)
    axes.set_yticks(range(len(NUMBERS)), NUMBERS)
    axes.invert_yaxis()
    axes.set_xlabel("standard deviations")
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    axes.set_title("Balance of the draw (all rows)")
    return figure
