"""FedAvg and FedProx over clients that are alike or not, against pooled rows and each client alone.

The loop here and Flower's simulation run the same client: `flower` in params.yaml says whether
both run, and they must end with the same weights. Privacy is tried on many more clients: the noise
that hides one is divided by how many take part. Of the federated ways with clients unlike by
income, the simplest within one standard error of the best validation area is served.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from slipway.environments import python_of
from slipway.training import Candidate, Examples, Fitted
from slipway.training.graph import write_graph
from slipway.training.selection import bootstrap_error, fold_error, simplest_within_error
from slipway.training.validation import binary_metrics, mean_over_folds

from .client import Local, averaged, learnt, private_sum, sigmoid
from .model import COLUMNS, Income, Person, features, incomes
from .privacy import epsilon

LEAST_ROWS = 8
SAME = 1e-9
OFTEN = Local(epochs=5)
# Simpler is fewer local epochs, and then no pull to choose a strength for.
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
    """Features (rows, 58) and truths (rows,), and how good weights are on them.

    `seed` draws the resamples of `area_error`.
    """

    def __init__(self, people: list[Person], truths: list[bool], seed: int = 0) -> None:
        self.seed = seed
        self.columns = features(people)["columns"].astype(np.float64)
        self.truths = np.array(truths, dtype=np.float64)
        self.jobs = np.array([str(each.occupation) for each in people])

    def measured(self, weights: np.ndarray) -> dict[str, float]:
        """Return area, accuracy and log-loss of the model with `weights` (58,) on these rows."""
        y_prob = self.probabilities(weights)
        names = ("roc_auc", "accuracy", "log_loss")
        return binary_metrics(self.truths, *names, y_prob=y_prob, y_pred=y_prob >= 0.5)

    def probabilities(self, weights: np.ndarray) -> np.ndarray:
        return sigmoid(self.columns @ weights)

    def area_error(self, weights: np.ndarray) -> dict[str, float]:
        """Return the standard error of the area under the ROC curve, by resampling the rows."""
        area = resampled_area(self.truths, self.probabilities(weights))
        return {"roc_auc_se": bootstrap_error(area, len(self.truths), seed=self.seed)}


def resampled_area(y_true: np.ndarray, y_prob: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return a function from row numbers to the area under the ROC curve over these rows.

    The rows are sorted once for all resamples; of two rows with one probability half counts.
    """
    levels, place = np.unique(y_prob, return_inverse=True)

    def area(rows: np.ndarray) -> float:
        positive, negative = (
            np.bincount(place[rows][y_true[rows] == label], minlength=len(levels))
            for label in (1, 0)
        )
        below = np.cumsum(negative) - negative / 2
        return float(positive @ below / (positive.sum() * negative.sum()))

    return area


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
    """Train every way, and choose by validation area among those in SERVED."""
    kept, held = train_test_split(
        np.arange(len(train)), test_size=0.2, random_state=seed, stratify=train.truths
    )
    learn, then = (
        Table([train.records[row] for row in rows], [train.truths[row] for row in rows], seed)
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
    tried, found = [Candidate("baseline", then.measured(same) | then.area_error(same))], {}
    for name, (own, local) in ways.items():
        path = federated(learn, own, local, rounds, seed)
        areas = [then.measured(each)["roc_auc"] for each in path]
        parameters = {"clients": len(own), "rounds": rounds, **asdict(local)}
        metrics = then.measured(path[-1]) | then.area_error(path[-1])
        tried.append(Candidate(name, metrics, parameters, {"roc_auc": areas}))
        found[name] = path[-1]
    pooled = converged(learn)
    metrics = then.measured(pooled) | then.area_error(pooled)
    tried.append(Candidate("centralized_converged", metrics))
    tried.append(alone(learn, then, by_income, rounds, seed))
    phones = alike(len(kept), devices, seed)
    for noise in (0.0, *sorted(noises)):
        got = private(
            learn, phones, private_rounds, seed, share=device_share, clip=clip, noise=noise
        )
        metrics = then.measured(got)
        if noise:
            metrics["epsilon"] = epsilon(device_share, noise, private_rounds, delta)
        metrics |= then.area_error(got)
        name = f"private_noise_{noise:g}" if noise else "devices_clipped"
        parameters = {"noise": noise, "clip": clip, "delta": delta, "clients": devices}
        tried.append(Candidate(name, metrics, parameters))
    allowed = [each for each in tried if each.name in SERVED]
    chosen = simplest_within_error(allowed, "roc_auc", best="highest").name
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
    metrics = mean_over_folds(found, "roc_auc") | {"roc_auc_se": fold_error(curves["alone"])}
    return Candidate("alone", metrics, {"clients": len(clients)}, curves)


def checked(ours: np.ndarray, then: Table, theirs: np.ndarray) -> Candidate:
    """Raises RuntimeError: Flower ended with other weights than the loop here."""
    apart = float(np.abs(ours - theirs).max())
    if apart > SAME:
        raise RuntimeError(f"Flower's weights are {apart:.2g} from ours, more than {SAME:g}")
    return Candidate("flower", then.measured(theirs) | then.area_error(theirs))


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
