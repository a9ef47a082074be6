"""FedAvg and FedProx over clients that are alike or not, against pooled rows and each client alone.

The loop here and Flower's simulation run the same client: `flower` in params.yaml says whether
both run, and they must end with the same weights. Privacy is tried on many more clients: the noise
that hides one is divided by how many take part.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from slipway.environments import python_of
from slipway.training import Candidate, Evaluation, Examples, Fitted, measures, plots
from slipway.training.graph import write_graph

from .client import Local, averaged, learnt, private_sum, sigmoid
from .model import COLUMNS, Income, Person, features, incomes
from .privacy import epsilon

LEAST_ROWS = 8
SAME = 1e-9
OFTEN = Local(epochs=5)
SERVED = ("fedavg", "fedavg_5", "fedprox_5")
Clients = list[np.ndarray]


def dirichlet(groups: np.ndarray, clients: int, alpha: float, seed: int) -> Clients:
    """Places of the rows of each client, which has its own mixture of `groups` (rows,).

    Each group is shared out in shares drawn from a Dirichlet distribution (Hsu, Qi and Brown,
    2019): the smaller `alpha`, the less alike the clients. Drawn again until each has some rows.
    """
    rng = np.random.default_rng(seed)
    least = min(LEAST_ROWS, len(groups) // (4 * clients))
    while True:
        parts: list[list[int]] = [[] for _ in range(clients)]
        for group in np.unique(groups):
            rows = rng.permutation(np.flatnonzero(groups == group))
            cuts = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1] * len(rows)
            for part, own in zip(parts, np.split(rows, cuts.astype(int)), strict=True):
                part.extend(own.tolist())
        if min(map(len, parts)) >= least:
            return [np.array(sorted(part)) for part in parts]


def alike(rows: int, clients: int, seed: int) -> Clients:
    return np.array_split(np.random.default_rng(seed).permutation(rows), clients)


class Table:
    """Features (rows, 58) and truths (rows,), and how good weights are on them."""

    def __init__(self, people: list[Person], truths: list[bool]) -> None:
        self.columns = features(people)["columns"].astype(np.float64)
        self.truths = np.array(truths, dtype=np.float64)
        self.jobs = np.array([str(each.occupation) for each in people])

    def measured(self, weights: np.ndarray) -> dict[str, float]:
        told = sigmoid(self.columns @ weights)
        names = ("roc_auc", "accuracy", "log_loss")
        return measures.of_forecasts(self.truths, *names, told=told, decided=told >= 0.5)


def federated(table: Table, clients: Clients, local: Local, rounds: int, seed: int) -> np.ndarray:
    """FedAvg with every client in every round: the weights after each (rounds, 58)."""
    found = [np.zeros(len(COLUMNS))]
    for number in range(rounds):
        updates = [
            learnt(found[-1], table.columns[own], table.truths[own], local, (seed, client, number))
            for client, own in enumerate(clients)
        ]
        found.append(averaged(updates, [len(own) for own in clients]))
    return np.stack(found[1:])


def private(
    table: Table, parts: Clients, rounds: int, seed: int, *, share: float, clip: float, noise: float
) -> np.ndarray:
    """Each client takes part with chance `share`; the sum is divided by how many are expected.

    Not by how many came, nor by their rows: either would tell of them.
    """
    rng = np.random.default_rng((seed, 1))
    weights = np.zeros(len(COLUMNS))
    for number in range(rounds):
        came = np.flatnonzero(rng.random(len(parts)) < share)
        changes = [np.zeros(len(COLUMNS))]
        for client in came.tolist():
            own, draw = parts[client], (seed, client, number)
            found = learnt(weights, table.columns[own], table.truths[own], OFTEN, draw)
            changes.append(found - weights)
        weights = weights + private_sum(changes, clip, noise, rng) / (share * len(parts))
    return weights


def by_flower(table: Table, clients: Clients, local: Local, rounds: int, seed: int) -> np.ndarray:
    """What Flower's simulation makes of the same clients.

    Raises:
        EnvironmentMissing: Flower cannot be installed.
        RuntimeError: the simulation failed; the message is its last line.
    """
    told = {"local": asdict(local), "rounds": rounds, "seed": seed}
    told |= {"clients": len(clients), "columns": len(COLUMNS)}
    with tempfile.TemporaryDirectory(prefix="fl-") as place:
        folder = Path(place)
        (folder / "told.json").write_text(json.dumps(told))
        held = {f"columns_{client}": table.columns[own] for client, own in enumerate(clients)}
        held |= {f"truths_{client}": table.truths[own] for client, own in enumerate(clients)}
        np.savez(folder / "clients.npz", **held)  # type: ignore[arg-type]
        # What points Python at Slipway's own packages would hide Flower's. Ray's sockets lie under
        # a path of at most 107 characters.
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        env |= {"RAY_TMPDIR": "/tmp", "FLWR_HOME": str(folder / "flwr")}
        command = [python_of("federated"), Path(__file__).with_name("flower.py"), folder]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
        if done.returncode or not (folder / "weights.npy").is_file():
            lines = (done.stderr.strip() or "no message").splitlines()
            raise RuntimeError(f"Flower's simulation failed: {lines[-1]}")
        return np.asarray(np.load(folder / "weights.npy"))


def fit(
    *,
    train: Examples[Person, bool],
    weights: Path,
    seed: int,
    rounds: int,
    clients: int,
    alpha: float,
    devices: int,
    private_rounds: int,
    device_share: float,
    noises: list[float],
    clip: float,
    delta: float,
    flower: bool,
) -> Fitted:
    """Choose among the federated with unlike clients by validation area, which is served."""
    kept, held = train_test_split(
        np.arange(len(train)), test_size=0.2, random_state=seed, stratify=train.truths
    )
    learn, then = (
        Table([train.records[row] for row in rows], [train.truths[row] for row in rows])
        for rows in (kept, held)
    )
    by_income = dirichlet(learn.truths, clients, alpha, seed)
    by_occupation = dirichlet(learn.jobs, clients, alpha, seed)
    drawn = Local(epochs=5, pull=0.1)
    ways: dict[str, tuple[Clients, Local]] = {
        "centralized": ([np.arange(len(kept))], Local()),
        "fedavg_alike": (alike(len(kept), clients, seed), Local()),
        "fedavg": (by_income, Local()),
        "fedavg_5": (by_income, OFTEN),
        "fedprox_5": (by_income, drawn),
        "fedavg_jobs": (by_occupation, Local()),
        "fedavg_jobs_5": (by_occupation, OFTEN),
        "fedprox_jobs_5": (by_occupation, drawn),
    }
    same = np.zeros(len(COLUMNS))
    same[-1] = logit(learn.truths.mean())
    tried, found = [Candidate("baseline", then.measured(same))], {}
    for name, (own, local) in ways.items():
        path = federated(learn, own, local, rounds, seed)
        areas = [then.measured(each)["roc_auc"] for each in path]
        told = {"clients": len(own), "rounds": rounds, **asdict(local)}
        tried.append(Candidate(name, then.measured(path[-1]), told, {"roc_auc": areas}))
        found[name] = path[-1]
    tried.append(Candidate("centralized_converged", then.measured(converged(learn))))
    tried.append(alone(learn, then, by_income, rounds, seed))
    phones = alike(len(kept), devices, seed)
    for noise in (0.0, *sorted(noises)):
        got = private(
            learn, phones, private_rounds, seed, share=device_share, clip=clip, noise=noise
        )
        metrics = then.measured(got)
        if noise:
            metrics["epsilon"] = epsilon(device_share, noise, private_rounds, delta)
        name = f"private_noise_{noise:g}" if noise else "devices_clipped"
        told = {"noise": noise, "clip": clip, "delta": delta, "clients": devices}
        tried.append(Candidate(name, metrics, told))
    chosen = max((each for each in tried if each.name in SERVED), key=area).name
    # Served as judged: other rows would be other clients, and end elsewhere.
    best = found[chosen]
    if flower:
        tried.append(checked(best, then, by_flower(learn, *ways[chosen], rounds, seed)))
    export(best, weights / "model.onnx")

    def native(people: list[Person]) -> list[Income]:
        return incomes(sigmoid(features(people)["columns"].astype(np.float64) @ best))

    return Fitted(tried, chosen, native)


def converged(table: Table) -> np.ndarray:
    """The weights (58,) of all rows in one place, to the end: constant steps swing about them."""
    # Hardly any penalty, for the columns that add up to the last, which is the constant.
    model = LogisticRegression(C=1e4, tol=1e-6, fit_intercept=False, max_iter=5_000)
    return np.asarray(model.fit(table.columns, table.truths).coef_[0])


def area(candidate: Candidate) -> float:
    return candidate.metrics["roc_auc"]


def alone(learn: Table, then: Table, clients: Clients, rounds: int, seed: int) -> Candidate:
    """The mean client that shares nothing, judged on everybody's rows."""
    found = [
        then.measured(federated(learn, [own], Local(), rounds, seed + place)[-1])
        for place, own in enumerate(clients)
    ]
    curves = {
        "alone": [each["roc_auc"] for each in found],
        "share": [float(learn.truths[own].mean()) for own in clients],
        "rows": [float(len(own)) for own in clients],
    }
    metrics = measures.over_folds(found, "roc_auc")
    return Candidate("alone", metrics, {"clients": len(clients)}, curves)


def checked(ours: np.ndarray, then: Table, theirs: np.ndarray) -> Candidate:
    """Raises RuntimeError: Flower ended with other weights than the loop here."""
    apart = float(np.abs(ours - theirs).max())
    if apart > SAME:
        raise RuntimeError(f"Flower's weights are {apart:.2g} from ours, more than {SAME:g}")
    return Candidate("flower", then.measured(theirs))


def export(best: np.ndarray, file: Path) -> None:
    """`columns` (rows, 58) to `probabilities` (rows, 1)."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["columns", "weights"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["probabilities"]),
    ]
    constants = {"weights": best[:, None]}
    inputs, outputs = {"columns": len(COLUMNS)}, {"probabilities": 1}
    write_graph(file, nodes, inputs=inputs, outputs=outputs, constants=constants)


def score(*, answers: list[Income], truths: list[bool]) -> dict[str, float]:
    told, decided = [each.probability for each in answers], [each.over_50k for each in answers]
    names = ("roc_auc", "accuracy", "log_loss", "brier")
    return {
        **measures.of_forecasts(truths, *names, told=told, decided=decided),
        "told": float(np.mean(told)),
        "happened": float(np.mean(truths)),
    }


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    named = {each.name: each for each in evaluation.candidates}
    figure, axes = plots.panels(2)
    for panel, kind, unlike in zip(axes, ("", "_jobs"), ("income", "occupation"), strict=True):
        shown = ["centralized", "fedavg_alike", f"fedavg{kind}"]
        shown += [f"{way}{kind}_5" for way in ("fedavg", "fedprox")]
        title = f"Unlike by {unlike} (validation)"
        plots.curves(panel, [named[name] for name in shown], "roc_auc", title)
        level = area(named["centralized_converged"])
        panel.axhline(level, color=plots.INK, linestyle=":", label="centralized_converged")
        panel.legend()
        panel.set(xlabel="round", ylim=(0.87, 0.92))
    yield "rounds", figure
    figure, (left, right) = plots.panels(2)
    each_alone(left, named)
    privacy(right, named)
    yield "alone_and_private", figure
    figure, (left, right) = plots.panels(2)
    plots.roc(left, evaluation.test.truths, [each.probability for each in evaluation.answers])
    groups(right, evaluation)
    yield "errors", figure


def each_alone(axes: Axes, named: dict[str, Candidate]) -> None:
    curves, level = named["alone"].curves, area(named["fedavg"])
    size = np.sqrt(np.array(curves["rows"])) * 2
    axes.scatter(curves["share"], curves["alone"], s=size, color=plots.ACCENT, label="a client")
    axes.axhline(level, color=plots.INK, linestyle=":", label="all, by FedAvg")
    axes.set(xlabel="its share over 50,000 dollars (size: rows)", ylabel="roc_auc")
    axes.legend(loc="lower right")
    axes.set_title("Each client alone (validation)")


def privacy(axes: Axes, named: dict[str, Candidate]) -> None:
    shown = [each for each in named.values() if "epsilon" in each.metrics]
    spent, areas = [each.metrics["epsilon"] for each in shown], [area(each) for each in shown]
    axes.plot(spent, areas, "o-", color=plots.ACCENT)
    for each, place in zip(shown, zip(spent, areas, strict=True), strict=True):
        text = f"noise {each.parameters['noise']:g}\nepsilon {place[0]:.2g}"
        # Up and to the left, off the curve and the level.
        axes.annotate(
            text, place, (-4, 4), textcoords="offset points", size=7, ha="right", va="bottom"
        )
    clipped = named["devices_clipped"]
    axes.axhline(area(clipped), color=plots.INK, linestyle=":", label="clipped, no noise")
    axes.margins(x=0.25, y=0.15)
    label = f"epsilon at delta {clipped.parameters['delta']:g}"
    title = f"Privacy, {clipped.parameters['clients']:,} clients (validation)"
    axes.set(xscale="log", xlabel=label, ylabel="roc_auc", title=title)
    axes.legend(loc="lower right")


def groups(axes: Axes, evaluation: Evaluation) -> None:
    """What was told of each protected group, beside what happened."""
    told = pd.DataFrame([each.model_dump() for each in evaluation.test.records])
    told["told"] = [each.probability for each in evaluation.answers]
    told["happened"] = evaluation.test.truths
    means = [told.groupby(field)[["told", "happened"]].mean() for field in ("sex", "race")]
    found = pd.concat(means)
    shares = {str(kind): column.tolist() for kind, column in found.items()}
    names = found.index.str.replace("_", " ").tolist()
    plots.bars(axes, names, shares, "Over 50,000 dollars (test rows)", lying=True)
