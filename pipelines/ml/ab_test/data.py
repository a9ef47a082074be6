"""Experiments cut from the players of Cookie Cats, half of them with a planted difference.

Each experiment is a series of looks at growing arms. The splits use different players.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from slipway.datasets import Dataset

from .model import Experiment

SCHEMA = pa.DataFrameSchema(
    {
        "userid": pa.Column(int, unique=True),
        "version": pa.Column(str, pa.Check.isin(["gate_30", "gate_40"])),
        "sum_gamerounds": pa.Column(int, pa.Check.in_range(0, 100_000)),
        "retention_1": pa.Column(bool),
        "retention_7": pa.Column(bool),
    }
)
OUTCOMES = ["retention_1", "retention_7", "log_rounds"]
Look = tuple[Experiment, dict[str, Any]]


def splits(
    dataset: Dataset, *, seed: int, series: int, looks: int, arm: int, effects: dict[str, float]
) -> dict[str, Iterable[Look]]:
    """Return looks at experiments, each with its label: the planted effect and the better arm.

    Each split has `series` experiments with `arm` players per arm at the last of `looks` looks.
    Every second experiment has a planted effect, of the size that `effects` gives for its outcome.

    Raises:
        ValueError: `effects` names an unknown outcome, or there are too few players for `arm`.
    """
    frame = SCHEMA.validate(pd.read_csv(dataset.path("cookie_cats.csv.gz")))
    # Rounds reach 49,854, and half the players stop at 16: a few players would decide the mean.
    frame["log_rounds"] = np.log1p(frame.pop("sum_gamerounds"))
    if unknown := effects.keys() - set(OUTCOMES):
        raise ValueError(f"effects must name {', '.join(OUTCOMES)}, got {', '.join(unknown)}")
    halves = np.array_split(np.random.default_rng(seed).permutation(len(frame)), 2)
    if 2 * arm > len(halves[1]):
        raise ValueError(f"arm must be at most {len(halves[1]) // 2}, got {arm}")
    return {
        name: cut(
            frame.loc[players, OUTCOMES].astype(float),
            rng=np.random.default_rng([seed, place]),
            series=series,
            looks=looks,
            arm=arm,
            effects=effects,
        )
        for place, (name, players) in enumerate(zip(("train", "test"), halves, strict=True))
    }


def cut(
    outcomes: pd.DataFrame,
    *,
    rng: np.random.Generator,
    series: int,
    looks: int,
    arm: int,
    effects: dict[str, float],
) -> Iterator[Look]:
    """Yield `looks` rows for each of `series` experiments."""
    names = list(effects)
    for number in range(series):
        name = names[number // 2 % len(names)]
        better = "same" if number % 2 == 0 else str(rng.choice(["a", "b"]))
        players = rng.choice(len(outcomes), 2 * arm, replace=False)
        values, in_b = outcomes[name].to_numpy()[players], rng.random(2 * arm) < 0.5
        if better != "same":
            favoured = in_b == (better == "b")
            values[favoured] = improved(values[favoured], effects[name], name, rng)
        effect = {"a": -effects[name], "same": 0.0, "b": effects[name]}[better]
        for look in range(1, looks + 1):
            until = 2 * arm * look // looks
            seen, sides = values[:until], in_b[:until]
            label = {"outcome": name, "look": look, "effect": effect, "better": better}
            record = experiment(seen[~sides], seen[sides], name, effects[name])
            yield record, {"series": number} | label


def improved(values: np.ndarray, effect: float, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return values whose mean is higher by `effect`.

    Of a rate, some players who left come back; of rounds, every player plays more.
    """
    if name == "log_rounds":
        return values + effect
    rate = float(values.mean())
    return np.where(rng.random(len(values)) < effect / (1 - rate), 1.0, values)


def experiment(a: np.ndarray, b: np.ndarray, name: str, effect: float) -> Experiment:
    """Return the record of two arms, given the outcome `name` of their players."""
    kind = "means" if name == "log_rounds" else "rates"
    fields: dict[str, Any] = {"kind": kind, "smallest_effect": effect, "watched": True}
    for arm, values in (("a", a), ("b", b)):
        fields[f"{arm}_size"] = len(values)
        if kind == "rates":
            fields[f"{arm}_successes"] = int(values.sum())
        else:
            fields |= {f"{arm}_mean": values.mean(), f"{arm}_variance": values.var(ddof=1)}
    return Experiment.model_validate(fields)
