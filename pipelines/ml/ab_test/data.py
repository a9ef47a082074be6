"""Experiments cut from the players of Cookie Cats: with no difference, and with a planted one.

Each is a series of looks at growing arms. Train and test cut theirs from different players.
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
    """Looks at experiments, each with what was planted: the effect, and the arm that is better.

    `series` experiments a split, of `arm` players an arm at the last of `looks` looks. Every
    second has a planted effect, of the size that `effects` gives for its outcome.
    """
    frame = SCHEMA.validate(pd.read_csv(dataset.path("cookie_cats.csv.gz")))
    # Rounds reach 49,854 where half the players stop at 16: their mean hangs on a few.
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
    """`looks` rows for each of `series` experiments."""
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
            truth = {"outcome": name, "look": look, "effect": effect, "better": better}
            told = experiment(seen[~sides], seen[sides], name, effects[name])
            yield told, {"series": number} | truth


def improved(values: np.ndarray, effect: float, name: str, rng: np.random.Generator) -> np.ndarray:
    """Values whose mean is higher by `effect`: some of those who left come back, or all play on."""
    if name == "log_rounds":
        return values + effect
    rate = float(values.mean())
    return np.where(rng.random(len(values)) < effect / (1 - rate), 1.0, values)


def experiment(a: np.ndarray, b: np.ndarray, name: str, effect: float) -> Experiment:
    kind = "means" if name == "log_rounds" else "rates"
    told: dict[str, Any] = {"kind": kind, "smallest_effect": effect, "watched": True}
    for arm, values in (("a", a), ("b", b)):
        told[f"{arm}_size"] = len(values)
        if kind == "rates":
            told[f"{arm}_successes"] = int(values.sum())
        else:
            told |= {f"{arm}_mean": values.mean(), f"{arm}_variance": values.var(ddof=1)}
    return Experiment.model_validate(told)
