"""A simulation of the three stages over a million items, for a million viewers with state in Redis.

    python -m pipelines.ml.film_retrieval.scale --items 20000 --viewers 20000 --requests 300

There are no public ratings of a million films by a million people. So an item is drawn between a
trained film and one of its neighbours, with noise. A viewer has the history of a real training
viewer, with each film replaced by an item drawn from it. The simulation measures search, memory and
time for a million directions distributed like the trained ones. It does not measure the quality of
the suggestions. The towers, the ranker and the code of each stage are those that are served; only
the search through all films is replaced by an index of faiss.
"""

import argparse
import os
import resource
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss  # type: ignore[import-untyped]
import numpy as np
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from slipway import home
from slipway.programs import debian
from slipway.project import find
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace, write_json

from .model import CANDIDATES, FILMS, Catalogue, FilmRetrieval, Past, Stages, kinds, rerank

# The state of a viewer is the last ratings, five bytes each, the latest at the end.
RECENT = 20
RATING = struct.Struct("<IB")
NEIGHBOURS, NOISE = 8, 0.3
RECALL = 0.95
SUGGESTED = 10
BATCH = 10_000
Index = Any


@dataclass(frozen=True)
class World:
    """Items grouped by the film from which they were drawn: `order` from `starts` on."""

    catalogue: Catalogue
    order: np.ndarray
    starts: np.ndarray

    @classmethod
    def draw(cls, films: Catalogue, items: int, rng: np.random.Generator) -> "World":
        """Draw `items` items: one from every film, the others from random films."""
        parents = np.concatenate([np.arange(FILMS), rng.integers(FILMS, size=items - FILMS)])
        rng.shuffle(parents)
        nearest = np.argsort(-films.vectors @ films.vectors.T, axis=1)[:, 1 : NEIGHBOURS + 1]
        others = nearest[parents, rng.integers(NEIGHBOURS, size=items)]
        along = rng.random((items, 1), dtype=np.float32)
        vectors = films.vectors[parents] * (1 - along) + films.vectors[others] * along
        noise = rng.standard_normal(vectors.shape, dtype=np.float32) * NOISE
        vectors += noise / vectors.shape[1] ** 0.5
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        starts = np.searchsorted(np.sort(parents), np.arange(FILMS + 1))
        catalogue = replace(films.at(parents), vectors=vectors)
        return cls(catalogue, np.argsort(parents, kind="stable"), starts)

    def like(self, films: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return an item drawn from each of these films."""
        counts = self.starts[films + 1] - self.starts[films]
        return np.asarray(self.order[self.starts[films] + rng.integers(counts)])


class Viewers:
    """Recent ratings in Redis. Appending to a value and reading its end is one command each."""

    def __init__(self, client: redis.Redis, abouts: np.ndarray) -> None:
        self.client, self.abouts = client, abouts

    def fill(self, pasts: list[Past], world: World, count: int, rng: np.random.Generator) -> None:
        """Write `count` viewers, each modelled on one of the real ones."""
        for start in range(0, count, BATCH):
            states = {}
            for number in range(start, min(start + BATCH, count)):
                past = pasts[number % len(pasts)]
                kept = rng.permutation(len(past.places))[:RECENT]
                items = world.like(past.places[kept], rng).tolist()
                rated = map(RATING.pack, items, past.stars[kept].tolist())
                states[key(number)] = b"".join(rated)
            self.client.mset(states)

    def past(self, number: int) -> Past:
        """Read a viewer's recent ratings."""
        state: Any = self.client.getrange(key(number), -RECENT * RATING.size, -1)
        # The latest counts where an item was rated twice.
        rated: dict[int, int] = dict(RATING.iter_unpack(state))
        return Past(
            np.array(list(rated), dtype=np.int64),
            np.array(list(rated.values()), dtype=np.int64),
            self.abouts[number % len(self.abouts)],
        )

    def rate(self, number: int, item: int, stars: int) -> None:
        self.client.append(key(number), RATING.pack(item, stars))


def key(number: int) -> str:
    return f"viewer:{number}"


@contextmanager
def server() -> Iterator[redis.Redis]:
    """Start a redis-server without persistence, and stop it at the end of the block."""
    port = home.free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [str(debian.binary("redis-server")), "--port", str(port), "--save", ""]
        command += ["--bind", home.LOOPBACK, "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            patient = Retry(ConstantBackoff(0.1), 100)
            client = redis.Redis(host=home.LOOPBACK, port=port, retry=patient)
            client.ping()
            yield client
        finally:
            process.terminate()
            process.wait(60)


def build_indexes(vectors: np.ndarray) -> Iterator[tuple[str, Index, float, list[int]]]:
    """Yield each index with its name, its seconds to build, and the search widths to try.

    Flat compares every item. HNSW (Malkov and Yashunin 2020) searches a graph of neighbours. IVF-PQ
    (Jégou, Douze and Schmid 2011) searches the nearest lists, with two dimensions per byte.
    """
    items, width = vectors.shape
    lists = 2 ** round(np.log2(2 * items**0.5))
    hnsw = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction = 80
    coarse = faiss.IndexFlatIP(width)
    pq = faiss.IndexIVFPQ(coarse, width, lists, width // 2, 8, faiss.METRIC_INNER_PRODUCT)
    for name, index, reach in (
        ("flat", faiss.IndexFlatIP(width), [0]),
        ("hnsw", hnsw, [128, 256, 512, 1024]),
        ("ivf_pq", pq, [8, 32, 128]),
    ):
        faiss.omp_set_num_threads(2)
        start = time.perf_counter()
        if not index.is_trained:
            index.train(vectors[: 50 * lists])
        index.add(vectors)
        seconds = time.perf_counter() - start
        # A request is one search; more threads would slow other requests.
        faiss.omp_set_num_threads(1)
        yield name, index, seconds, [each for each in reach if each <= lists or name != "ivf_pq"]


def set_width(index: Index, name: str, width: int) -> None:
    """Set how many candidates HNSW keeps, or how many lists IVF searches."""
    if name == "hnsw":
        index.hnsw.efSearch = width
    elif name == "ivf_pq":
        index.nprobe = width


def measure_index(
    index: Index, name: str, widths: list[int], queries: np.ndarray, exact: np.ndarray
) -> list[dict[str, float]]:
    """Return the recall at 100 and the milliseconds of one search for each width."""
    results = []
    for width in widths:
        set_width(index, name, width)
        taken, hits = [], []
        for query, wanted in zip(queries, exact, strict=True):
            start = time.perf_counter()
            _, places = index.search(query[None], CANDIDATES)
            taken.append(time.perf_counter() - start)
            hits.append(len(np.intersect1d(places[0], wanted)) / CANDIDATES)
        recall = float(np.mean(hits))
        results.append({"width": width, "recall": recall, **milliseconds(taken, "_ms")})
    return results


def milliseconds(seconds: list[float], unit: str = "") -> dict[str, float]:
    return {f"p{share}{unit}": float(1000 * np.percentile(seconds, share)) for share in (50, 99)}


@dataclass
class Requests:
    """Requests: read the state, tower, index, rank, re-rank, and store that the first was seen."""

    viewers: Viewers
    stages: Stages
    catalogue: Catalogue
    index: Index

    def one(self, number: int) -> tuple[list[int], dict[str, float]]:
        """Run one request; return the suggested items and the seconds of each step."""
        taken, moments = {}, [time.perf_counter()]

        def done(step: str) -> None:
            moments.append(time.perf_counter())
            taken[step] = moments[-1] - moments[-2]

        past = self.viewers.past(number)
        done("read state")
        taste = self.stages.taste(past, self.catalogue)
        done("viewer tower")
        similarity, places = self.index.search(taste[None], CANDIDATES + RECENT)
        fresh = ~np.isin(places[0], past.places) & (places[0] >= 0)
        candidates, similarity = (each[0][fresh][:CANDIDATES] for each in (places, similarity))
        done("index")
        scores = self.stages.rank(past, self.catalogue, candidates, similarity)
        done("rank")
        own = kinds(self.catalogue.content[candidates])
        chosen = candidates[rerank(scores, own, SUGGESTED, self.stages.relevance)].tolist()
        done("re-rank")
        self.viewers.rate(number, chosen[0], 5)
        done("write state")
        taken["whole request"] = moments[-1] - moments[0]
        return chosen, taken


def measure(
    model: FilmRetrieval,
    pasts: list[Past],
    *,
    items: int,
    viewers: int,
    requests: int,
    seed: int = 27,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the simulation and return its results; memory is in MiB, of this process and of Redis.

    Raises:
        ValueError: there are fewer items than films.
    """
    if items < FILMS:
        raise ValueError(f"items must be at least {FILMS}, one per film; got {items}")
    rng = np.random.default_rng(seed)
    world = World.draw(model.catalogue, items, rng)
    results: dict[str, Any] = {"items": items, "viewers": viewers, "cpus": os.cpu_count()}
    log(f"simulated: {items:,} items, {viewers:,} viewers; {os.cpu_count()} CPUs")
    with server() as client:
        state = Viewers(client, np.stack([past.about for past in pasts]))
        start = time.perf_counter()
        state.fill(pasts, world, viewers, rng)
        results["state_s"] = time.perf_counter() - start
        memory: Any = client.info("memory")
        results["redis_mib"] = memory["used_memory"] / 2**20
        log(
            f"state in Redis: {results['redis_mib']:,.0f} MiB, filled in {results['state_s']:.0f} s"
        )
        numbers = rng.integers(viewers, size=requests).tolist()
        tastes = [model.stages.taste(state.past(each), world.catalogue) for each in numbers]
        queries = np.stack(tastes)
        results["indexes"] = {}
        for name, index, seconds, widths in build_indexes(world.catalogue.vectors):
            if name == "flat":
                exact = index.search(queries, CANDIDATES)[1]
            points = measure_index(index, name, widths, queries, exact)
            size = faiss.serialize_index(index).nbytes / 2**20
            results["indexes"][name] = {"build_s": seconds, "mib": size, "searches": points}
            for each in points:
                log(
                    f"{name:7} {each['width']:5} recall@100 {each['recall']:.3f}"
                    f"  p50 {each['p50_ms']:.2f} ms  p99 {each['p99_ms']:.2f} ms"
                    f"  built in {seconds:.1f} s, {size:,.0f} MiB"
                )
            if name == "hnsw":
                enough = [each for each in points if each["recall"] >= RECALL] or points[-1:]
                results["served_width"] = enough[0]["width"]
                set_width(index, name, results["served_width"])
                served = Requests(state, model.stages, world.catalogue, index)
        steps = [served.one(each)[1] for each in numbers]
    results["request_ms"] = {}
    for step in steps[0]:
        taken = results["request_ms"][step] = milliseconds([each[step] for each in steps])
        log(f"{step:14} p50 {taken['p50']:.2f} ms  p99 {taken['p99']:.2f} ms")
    results["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log(f"peak memory of this process {results['peak_mib']:,.0f} MiB")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    for name, count in (("items", 1_000_000), ("viewers", 1_000_000), ("requests", 1_000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--save", type=Path, help="write the results to this JSON file")
    given = vars(parser.parse_args())
    save = given.pop("save")
    work = Workspace.for_project(find("film_retrieval"))
    model = FilmRetrieval()
    model.load(work.weights)
    pasts = [Past.from_viewer(each) for each in read_split(work, "train").records if each.history]
    results = measure(model, pasts, **given)
    if save:
        write_json(save, results)


if __name__ == "__main__":
    main()
