"""Test metrics of the served codes, and pictures of what they keep and where they lie."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from slipway.kits.metrics.pictures import psnr
from slipway.media import decode_image
from slipway.reporting import Evaluation, plots
from slipway.training.batches import predict_all
from slipway.training.selection import bootstrap_interval

from .components import Components
from .model import NUMBERS, CleanPicture, Decoded, PictureCodes, SmallPicture
from .rates import code_rates, jpeg_rates

COMPARED = {"input": "nothing", "gaussian": "Gaussian", "bilateral": "bilateral", "pca": "PCA"}


def score(*, predictions: list[Decoded], labels: list[CleanPicture]) -> dict[str, float]:
    """Return the PSNR of the served pictures, with what they gain on other methods, and intervals.

    Without noise they are compared with PCA of equal size; with noise, with the better filter.
    """
    made, tables = ratios(predictions, labels), table(labels)
    noisy = tables["noise"] > 0
    metrics = {"psnr": float(made.mean())}
    # Each picture is there twice in a row, without and with noise.
    metrics["psnr_low"], metrics["psnr_high"] = mean_interval(made.reshape(-1, 2).mean(1))
    best = max(("gaussian", "bilateral"), key=lambda each: tables[each][noisy].mean())
    for kind, rows, other in (("clean", ~noisy, "pca"), ("noisy", noisy, best)):
        gain = made[rows] - tables[other][rows]
        low, high = mean_interval(gain)
        metrics |= {
            f"{kind}_psnr": float(made[rows].mean()),
            f"{kind}_gain_db": float(gain.mean()),
            f"{kind}_gain_db_low": low,
            f"{kind}_gain_db_high": high,
        }
    metrics["baseline_psnr"] = float(tables["pca"].mean())
    metrics["baseline_clean_psnr"] = float(tables["pca"][~noisy].mean())
    for name in COMPARED:
        metrics[f"{name}_noisy_psnr"] = float(tables[name][noisy].mean())
    return metrics


def ratios(predictions: list[Decoded], labels: list[CleanPicture]) -> np.ndarray:
    """Return the PSNR of each served picture to the clean one, (rows,)."""
    pairs = zip(labels, predictions, strict=True)
    return np.array([psnr(decode_image(a.picture), decode_image(b.picture)) for a, b in pairs])


def table(labels: list[CleanPicture]) -> dict[str, np.ndarray]:
    """Return the noise and the PSNR of each other method, (rows,) each."""
    columns = {name: [getattr(each, f"{name}_psnr") for each in labels] for name in COMPARED}
    return {name: np.array(each) for name, each in columns.items()} | {
        "noise": np.array([each.noise for each in labels])
    }


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of values (pictures,)."""
    return bootstrap_interval(lambda rows: float(values[rows].mean()), len(values), seed=0)


def draw(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    model = PictureCodes()
    model.load(evaluation.weights)
    yield "pictures", pictures(evaluation)
    yield "noise", filters(evaluation)
    figure, (left, right) = plots.panels(2)
    networks = [each for each in evaluation.candidates if each.curves]
    plots.curves(left, networks, "psnr", "PSNR without noise, pictures held out")
    linear = next(each for each in evaluation.candidates if each.name == "baseline")
    left.axhline(linear.metrics["clean_psnr"], color=plots.INK, linestyle=":", linewidth=1)
    left.annotate("PCA", (1, linear.metrics["clean_psnr"]), (0, 3), textcoords="offset points")
    left.set_ylabel("PSNR (dB)")
    rates(right, evaluation, model)
    yield "learning_and_rate", figure
    yield "latent_space", latent_space(evaluation, model)
    yield "between", between(evaluation, model)
    yield "neighbours", neighbours(evaluation, model)


def shown_rows(evaluation: Evaluation, noise: bool, count: int) -> list[int]:
    """Return the first rows with or without noise, one of each class for every ten."""
    labels = evaluation.test.labels
    return [row for row, each in enumerate(labels) if (each.noise > 0) == noise][:count]


def pictures(evaluation: Evaluation, count: int = 8) -> Figure:
    """Draw pictures as sent, from PCA's code and from the served code, without and with noise."""
    components = Components.from_pictures(pixels(evaluation.train.records), NUMBERS)
    figure, grid = plt.subplots(6, count, figsize=(0.72 * count, 4.8))
    for first, noise in ((0, False), (3, True)):
        rows = shown_rows(evaluation, noise, count)
        sent = pixels([evaluation.test.records[row] for row in rows])
        linear = components.reconstructed(sent)
        for column, row in enumerate(rows):
            made = decode_image(evaluation.predictions[row].picture)
            for step, image in enumerate((sent[column], linear[column], made)):
                grid[first + step, column].imshow(image, interpolation="nearest")
    names = ("as sent", "PCA", "served", "with noise", "PCA", "served")
    for axes, name in zip(grid[:, 0], names, strict=True):
        axes.set_ylabel(name, size=9)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def pixels(records: list[SmallPicture]) -> np.ndarray:
    """Return the pictures (rows, height, width, 3), from 0 to 1."""
    return np.stack([decode_image(each.image) for each in records]) / 255


def filters(evaluation: Evaluation) -> Figure:
    """Draw the PSNR that each method reaches, without and with noise."""
    made, tables = (
        ratios(evaluation.predictions, evaluation.test.labels),
        table(evaluation.test.labels),
    )
    noisy = tables["noise"] > 0
    figure, (left, right) = plots.panels(2, height=2.6)
    values = [float(tables["pca"][~noisy].mean()), float(made[~noisy].mean())]
    title = "Without noise: code and back"
    plots.bars(
        left, ["PCA", "served"], values, title, horizontal=True, fmt="{:.2f}", chosen="served"
    )
    names = [*COMPARED.values(), "served"]
    values = [float(tables[each][noisy].mean()) for each in COMPARED] + [float(made[noisy].mean())]
    title = f"Noise of {tables['noise'].max():.0f} levels removed"
    plots.bars(right, names, values, title, horizontal=True, fmt="{:.2f}", chosen="served")
    for axes in (left, right):
        axes.set_xlabel("PSNR to the clean picture (dB)")
    left.set_xlim(left=20)
    right.set_xlim(left=12)
    return figure


def clean_part(evaluation: Evaluation, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first clean test pictures as bytes (rows, height, width, 3), and their codes."""
    rows = shown_rows(evaluation, False, count)
    images = np.stack([decode_image(evaluation.test.records[row].image) for row in rows])
    codes = np.array([evaluation.predictions[row].code for row in rows], dtype=np.float32)
    return images, codes


def rates(axes: Axes, evaluation: Evaluation, model: PictureCodes) -> None:
    """Draw likeness by size of the code, with few bits a number, and of JPEG."""
    images, codes = clean_part(evaluation, 300)
    lines = {
        "JPEG, whole file": (jpeg_rates(images, whole=True), plots.PALE),
        "JPEG without its tables": (jpeg_rates(images, whole=False), plots.INK),
        "code, 2 to 6 bits a number": (code_rates(images, codes, model.decode), plots.ACCENT),
    }
    for name, (points, colour) in lines.items():
        axes.plot(*np.array(points).T, "o-", markersize=3, color=colour, label=name)
    axes.set(xlabel="bytes a picture", ylabel="PSNR (dB)", title="Size and likeness")
    axes.legend(loc="lower right", fontsize=8)


def latent_space(evaluation: Evaluation, model: PictureCodes) -> Figure:
    """Draw pictures at the places of their codes in a plane that keeps neighbors together."""
    images, codes = clean_part(evaluation, 220)
    perplexity = min(30.0, len(codes) / 4)
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(codes)
    figure, axes = plt.subplots(figsize=(6.6, 4.6))
    width = float(np.ptp(places[:, 0])) / 26
    for (x, y), image in zip(places.tolist(), images, strict=True):
        axes.imshow(image, extent=(x - width / 2, x + width / 2, y - width / 2, y + width / 2))
    axes.set(xlim=edges(places[:, 0], width), ylim=edges(places[:, 1], width), xticks=[], yticks=[])
    axes.set(title="Pictures by their codes (t-SNE of 192 numbers to 2)", aspect="equal")
    return figure


def edges(values: np.ndarray, margin: float) -> tuple[float, float]:
    return float(values.min()) - margin, float(values.max()) + margin


def between(evaluation: Evaluation, model: PictureCodes, steps: int = 9) -> Figure:
    """Draw pictures of codes between those of two pictures, beside the faded pictures."""
    images, codes = clean_part(evaluation, 20)
    pairs = ((1, 9), (7, 4)) if len(images) > 9 else ((0, 1), (1, 2))
    figure, grid = plt.subplots(2 * len(pairs), steps, figsize=(5.0, 2.6))
    for place, (one, other) in enumerate(pairs):
        shares = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
        made = model.decode((1 - shares) * codes[one] + shares * codes[other])
        faded = (1 - shares[..., None, None]) * images[one] + shares[..., None, None] * images[
            other
        ]
        for column in range(steps):
            grid[2 * place, column].imshow(made[column].transpose(1, 2, 0))
            grid[2 * place + 1, column].imshow(faded[column].astype(np.uint8))
        grid[2 * place, 0].set_ylabel("codes mixed", size=8)
        grid[2 * place + 1, 0].set_ylabel("pixels mixed", size=8)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    figure.suptitle("On the way from one picture to another")
    return figure


def neighbours(evaluation: Evaluation, model: PictureCodes, count: int = 7) -> Figure:
    """Draw test pictures with the training pictures of the nearest codes."""
    images, codes = clean_part(evaluation, 6)
    records = evaluation.train.records[:3000]
    known = np.array([each.code for each in predict_all(model, records)], dtype=np.float32)
    figure, grid = plt.subplots(len(images), count + 1, figsize=(8.2, 6.2))
    for row, (image, code) in enumerate(zip(images, codes, strict=True)):
        nearest = np.argsort(np.linalg.norm(known - code, axis=1))[:count]
        found = [decode_image(records[place].image) for place in nearest]
        for axes, each in zip(grid[row], (image, *found), strict=True):
            axes.imshow(each, interpolation="nearest")
    for axes in grid.flat:
        axes.set_axis_off()
    grid[0, 0].set_title("sent", size=8)
    grid[0, 1].set_title("nearest codes", size=8)
    return figure
