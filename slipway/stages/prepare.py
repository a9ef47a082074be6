"""The stage `prepare`: fetch the data set, and write its splits as Parquet."""

from slipway.datasets import fetch
from slipway.stages.start import empty_folder, seed_globally
from slipway.training import labelled_rows
from slipway.training.splits import REQUIRED
from slipway.training.workspace import Workspace


def prepare(work: Workspace) -> None:
    """Fetch the data set, and write the splits that `data.splits` returns as Parquet.

    Raises:
        ValueError: `data.splits` returned no `train` or no `test`, or a split is empty.
    """
    seed_globally()
    dataset = fetch(work.params.dataset)
    splits = work.project.module("data").splits(dataset, **work.params.prepare)
    if missing := [name for name in REQUIRED if name not in splits]:
        raise ValueError(f"{work.project.name}: data.splits returned no {' and no '.join(missing)}")
    folder = empty_folder(work.data)
    for name, rows in splits.items():
        count = labelled_rows.write(rows, folder / f"{name}.parquet", limit=work.rows)
        print(f"{work.project.name}: {name} {count} rows", flush=True)
    work.note("origins", dataset.origins)
