"""FedAvg and FedProx over similar and different clients, beside pooled rows and clients alone.

The loop here and Flower's simulation run the same client. With `flower` in params.yaml both run,
and they must end with the same weights. Privacy is tried with many more clients, since the noise
that hides one of them is divided by the number that take part. Of the federated methods with
clients that differ in income, the simplest within one standard error of the best validation area is
served.
"""

import json
import os
import subprocess
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from slipway.programs.environments import python_of
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.graph import write_graph
from slipway.training.resampled import roc_auc_by_rows
from slipway.training.selection import bootstrap_error, fold_error, simplest_within_error
from slipway.training.validation import binary_metrics, mean_over_folds

from .client import Local, average, private_sum, sigmoid, train_client
from .model import COLUMNS, Income, Person, features, incomes
from .privacy import epsilon

LEAST_ROWS = 8
SAME = 1e-9
OFTEN = Local(epochs=5)
Clients = list[np.ndarray]


def dirichlet(groups: np.ndarray, clients: int, alpha: float, seed: int) -> Clients:
    """Return the row numbers of each client, which has its own mixture of `groups` (rows,).

    Each group is divided among the clients by shares drawn from a Dirichlet distribution (Hsu, Qi
    and Brown, 2019): the smaller `alpha`, the more clients differ. The shares are drawn again until
    each client has some rows.
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


def similar(rows: int, clients: int, seed: int) -> Clients:
    """Return the row numbers of each client, divided evenly at random."""
    return np.array_split(np.random.default_rng(seed).permutation(rows), clients)


class Table:
    """Features (rows, 58) and labels (rows,), with the metrics of weights on them.

    `seed` draws the resamples of `area_error`.
    """

    def __init__(self, people: list[Person], labels: list[bool], seed: int = 0) -> None:
        self.seed = seed
        self.columns = features(people)["columns"].astype(np.float64)
        self.labels = np.array(labels, dtype=np.float64)
        self.jobs = np.array([str(each.occupation) for each in people])

    def metrics(self, weights: np.ndarray) -> dict[str, float]:
        """Return area, accuracy and log-loss of the model with `weights` (58,) on these rows."""
        y_prob = self.probabilities(weights)
        names = ("roc_auc", "accuracy", "log_loss")
        return binary_metrics(self.labels, *names, y_prob=y_prob, y_pred=y_prob >= 0.5)

    def probabilities(self, weights: np.ndarray) -> np.ndarray:
        return sigmoid(self.columns @ weights)

    def area_error(self, weights: np.ndarray) -> dict[str, float]:
        """Return the standard error of the area under the ROC curve, by resampling the rows."""
        area = roc_auc_by_rows(self.labels, self.probabilities(weights))
        return {"roc_auc_se": bootstrap_error(area, len(self.labels), seed=self.seed)}


def federated(table: Table, clients: Clients, local: Local, rounds: int, seed: int) -> np.ndarray:
    """Run FedAvg with every client in every round; return the weights after each (rounds, 58)."""
    path = [np.zeros(len(COLUMNS))]
    for number in range(rounds):
        updates = [
            train_client(
                path[-1], table.columns[own], table.labels[own], local, (seed, client, number)
            )
            for client, own in enumerate(clients)
        ]
        path.append(average(updates, [len(own) for own in clients]))
    return np.stack(path[1:])


def private(
    table: Table, parts: Clients, rounds: int, seed: int, *, share: float, clip: float, noise: float
) -> np.ndarray:
    """Run private averaging; return the weights.

    Each client takes part with chance `share`. The sum is divided by the expected number of
    clients. The actual number or their rows would reveal something about them.
    """
    rng = np.random.default_rng((seed, 1))
    weights = np.zeros(len(COLUMNS))
    for number in range(rounds):
        present = np.flatnonzero(rng.random(len(parts)) < share)
        changes = [np.zeros(len(COLUMNS))]
        for client in present.tolist():
            own, draw = parts[client], (seed, client, number)
            updated = train_client(weights, table.columns[own], table.labels[own], OFTEN, draw)
            changes.append(updated - weights)
        weights = weights + private_sum(changes, clip, noise, rng) / (share * len(parts))
    return weights


def by_flower(table: Table, clients: Clients, local: Local, rounds: int, seed: int) -> np.ndarray:
    """Return the weights after Flower's simulation of the same clients.

    Raises:
        EnvironmentMissing: Flower cannot be installed.
        RuntimeError: the simulation failed; the message is its last line.
    """
    settings = {"local": asdict(local), "rounds": rounds, "seed": seed}
    settings |= {"clients": len(clients), "columns": len(COLUMNS)}
    with tempfile.TemporaryDirectory(prefix="fl-") as place:
        folder = Path(place)
        (folder / "settings.json").write_text(json.dumps(settings))
        held = {f"columns_{client}": table.columns[own] for client, own in enumerate(clients)}
        held |= {f"labels_{client}": table.labels[own] for client, own in enumerate(clients)}
        np.savez(folder / "clients.npz", **held)  # type: ignore[arg-type]
        # Without Python's variables, which would make Slipway's packages hide Flower's. The path of
        # Ray's sockets may have at most 107 characters, hence /tmp.
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
    train: LabelledRows[Person, bool],
    weights: Path,
    seed: int,
    rounds: int,
    pulls: list[float],
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
    """Train by every method, and choose by validation area among those in SERVED."""
    kept, held = train_test_split(
        np.arange(len(train)), test_size=0.2, random_state=seed, stratify=train.labels
    )
    learn, validation = (
        Table([train.records[row] for row in rows], [train.labels[row] for row in rows], seed)
        for rows in (kept, held)
    )
    by_income = dirichlet(learn.labels, clients, alpha, seed)
    by_occupation = dirichlet(learn.jobs, clients, alpha, seed)
    ways: dict[str, tuple[Clients, Local]] = {
        "centralized": ([np.arange(len(kept))], Local()),
        "fedavg_alike": (similar(len(kept), clients, seed), Local()),
        **unlike("", by_income, pulls),
        **unlike("_jobs", by_occupation, pulls),
    }
    same = np.zeros(len(COLUMNS))
    same[-1] = logit(learn.labels.mean())
    baseline = Candidate("baseline", validation.metrics(same) | validation.area_error(same))
    tried, by_name = [baseline], {}
    for name, (own, local) in ways.items():
        path = federated(learn, own, local, rounds, seed)
        areas = [validation.metrics(each)["roc_auc"] for each in path]
        parameters = {"clients": len(own), "rounds": rounds, **asdict(local)}
        metrics = validation.metrics(path[-1]) | validation.area_error(path[-1])
        tried.append(Candidate(name, metrics, parameters, {"roc_auc": areas}))
        by_name[name] = path[-1]
    pooled = converged(learn)
    metrics = validation.metrics(pooled) | validation.area_error(pooled)
    tried.append(Candidate("centralized_converged", metrics))
    tried.append(alone(learn, validation, by_income, rounds, seed))
    phones = similar(len(kept), devices, seed)
    for noise in (0.0, *sorted(noises)):
        noisy = private(
            learn, phones, private_rounds, seed, share=device_share, clip=clip, noise=noise
        )
        metrics = validation.metrics(noisy)
        if noise:
            metrics["epsilon"] = epsilon(device_share, noise, private_rounds, delta)
        metrics |= validation.area_error(noisy)
        name = f"private_noise_{noise:g}" if noise else "devices_clipped"
        parameters = {"noise": noise, "clip": clip, "delta": delta, "clients": devices}
        tried.append(Candidate(name, metrics, parameters))
    served = list(unlike("", by_income, pulls))
    allowed = [each for each in tried if each.name in served]
    chosen = simplest_within_error(allowed, "roc_auc", best="highest").name
    # Not fitted again on all rows: that would make other clients and another result.
    best = by_name[chosen]
    if flower:
        tried.append(
            compare_with_flower(best, validation, by_flower(learn, *ways[chosen], rounds, seed))
        )
    export(best, weights / "model.onnx")

    def framework_predict(people: list[Person]) -> list[Income]:
        return incomes(sigmoid(features(people)["columns"].astype(np.float64) @ best))

    return Fitted(tried, chosen, framework_predict)


def unlike(kind: str, clients: Clients, pulls: list[float]) -> dict[str, tuple[Clients, Local]]:
    """Return the federated methods for clients that differ, from the simplest to the most complex.

    Fewer local epochs are simpler, and no pull is simpler than one. `kind` marks the clients.
    """
    pulled = {
        f"fedprox{kind}_{pull:g}": (clients, replace(OFTEN, pull=pull)) for pull in sorted(pulls)
    }
    return {f"fedavg{kind}": (clients, Local()), f"fedavg{kind}_5": (clients, OFTEN), **pulled}


def converged(table: Table) -> np.ndarray:
    """Return the weights (58,) of logistic regression on all rows, trained to convergence."""
    # A tiny penalty, because some columns add up to the last one, which is the constant.
    model = LogisticRegression(C=1e4, tol=1e-6, fit_intercept=False, max_iter=5_000)
    return np.asarray(model.fit(table.columns, table.labels).coef_[0])


def alone(learn: Table, validation: Table, clients: Clients, rounds: int, seed: int) -> Candidate:
    """Return the mean of the clients that share nothing, validated on everybody's rows."""
    metrics_of_each = [
        validation.metrics(federated(learn, [own], Local(), rounds, seed + place)[-1])
        for place, own in enumerate(clients)
    ]
    curves = {
        "alone": [each["roc_auc"] for each in metrics_of_each],
        "share": [float(learn.labels[own].mean()) for own in clients],
        "rows": [float(len(own)) for own in clients],
    }
    areas, shares = np.array(curves["alone"]), np.array(curves["share"])
    metrics = mean_over_folds(metrics_of_each, "roc_auc") | {
        "roc_auc_se": fold_error(areas),
        # A client whose people all earn alike cannot learn to rank.
        "roc_auc_of_mixed_clients": float(areas[(shares > 0) & (shares < 1)].mean()),
    }
    return Candidate("alone", metrics, {"clients": len(clients)}, curves)


def compare_with_flower(ours: np.ndarray, validation: Table, theirs: np.ndarray) -> Candidate:
    """Return the candidate of Flower's weights.

    Raises:
        RuntimeError: Flower ended with other weights than the loop here.
    """
    apart = float(np.abs(ours - theirs).max())
    if apart > SAME:
        raise RuntimeError(f"Flower's weights are {apart:.2g} from ours, more than {SAME:g}")
    return Candidate("flower", validation.metrics(theirs) | validation.area_error(theirs))


def export(best: np.ndarray, file: Path) -> None:
    """Write the graph from `columns` (rows, 58) to `probabilities` (rows, 1)."""
    from onnx import helper

    nodes = [
        helper.make_node("MatMul", ["columns", "weights"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["probabilities"]),
    ]
    constants = {"weights": best[:, None]}
    inputs, outputs = {"columns": len(COLUMNS)}, {"probabilities": 1}
    write_graph(file, nodes, inputs=inputs, outputs=outputs, constants=constants)
