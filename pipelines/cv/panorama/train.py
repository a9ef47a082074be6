"""Choose by training photos how they are matched, then how they are blended.

There are no weights to learn. Matching is chosen by the share of photos whose corners are close,
exposure and blending by the decibels that panoramas gain towards their scenes.
"""

from pathlib import Path

import numpy as np

from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import bootstrap_error, simplest_within_error

from .blending import BLENDERS, blend
from .metrics import Fidelity, close_share, fidelity, median_error, photo_errors
from .model import PhotoSet, Settings, TrueScene, placed_photos
from .placing import Placement
from .stitching import Recipe, layers_of, place_photos

# From the simplest to the most complex: detector, and whether homographies are refined.
MATCHING = {
    "baseline": ("orb", False),
    "orb_refined": ("orb", True),
    "sift": ("sift", False),
    "sift_refined": ("sift", True),
}


def fit(*, train: LabelledRows[PhotoSet, TrueScene], weights: Path, seed: int) -> Fitted:
    """Choose the settings by the training photos, and write them."""
    images = [[decode_image(each) for each in row.images] for row in train.records]
    tried, places = [], {}
    for name, (detector, refined) in MATCHING.items():
        recipe = Recipe(detector, refined, equal=False, blender="none")
        places[name] = [place_photos(each, recipe)[0] for each in images]
        matrices = [
            [photo.matrix for photo in placed_photos(len(each), place, each, {})]
            for each, place in zip(images, places[name], strict=True)
        ]
        tried.append(Candidate(name, matching_metrics(matrices, train.labels, seed)))
        print(f"{name}: {tried[-1].metrics['close_share']:.3f} close", flush=True)
    chosen = simplest_within_error(tried, "close_share", best="highest").name
    blends = blending_candidates(images, places[chosen], train.labels)
    pasted = [each for each in blends if each.parameters["blender"] == "none"]
    equal = simplest_within_error(pasted, "gain_db", best="highest").parameters["equal"]
    alike = [each for each in blends if each.parameters["equal"] == equal]
    blending = simplest_within_error(alike, "blend_gain_db", best="highest")
    detector, refined = MATCHING[chosen]
    settings = Settings(
        detector=detector,
        refined=refined,
        equal=equal,
        blender=blending.parameters["blender"],
    )
    (weights / "settings.json").write_text(settings.model_dump_json() + "\n")
    return Fitted([*tried, *blends], chosen)


def matching_metrics(
    matrices: list[list[list[float]]], labels: list[TrueScene], seed: int
) -> dict[str, float]:
    """Return how near photos are to their places, and the share of strangers that were placed."""
    found = [
        photo_errors(each, label.matrices) for each, label in zip(matrices, labels, strict=True)
    ]
    errors = [off for off, _ in found]
    strangers = [placed for _, each in found for placed in each]

    def share(rows: np.ndarray) -> float:
        return close_share([errors[row] for row in rows])

    return {
        "close_share": close_share(errors),
        "close_share_se": bootstrap_error(share, len(errors), seed=seed),
        "corner_error_median": median_error(errors),
        "strangers_placed": float(np.mean(strangers)) if strangers else 0.0,
    }


def blending_candidates(
    images: list[list[np.ndarray]], places: list[Placement | None], labels: list[TrueScene]
) -> list[Candidate]:
    """Return the candidates for blending, with the likeness of their panoramas to the scenes."""
    scores: dict[tuple[bool, str], list[Fidelity | None]] = {
        (equal, blender): [] for equal in (False, True) for blender in BLENDERS
    }
    for photos, place, label in zip(images, places, labels, strict=True):
        if place is None:
            continue
        layers = layers_of(photos, place)
        matrices = [each.matrix for each in placed_photos(len(photos), place, photos, {})]
        scene = decode_image(label.scene)
        for (equal, blender), found in scores.items():
            picture, _ = blend(layers, blender, equal=equal)
            found.append(fidelity(picture, scene, matrices, label.matrices))
    tried = []
    decibels = {
        key: np.array([each.psnr for each in found if each is not None])
        for key, found in scores.items()
    }
    for (equal, blender), found in scores.items():
        kept = [each for each in found if each is not None]
        # By set, since scenes differ more than ways of blending do.
        gain = decibels[equal, blender] - decibels[False, "none"]
        blend_gain = decibels[equal, blender] - decibels[equal, "none"]
        metrics = {
            "gain_db": float(gain.mean()),
            "gain_db_se": float(gain.std(ddof=1) / np.sqrt(len(gain))),
            "blend_gain_db": float(blend_gain.mean()),
            "blend_gain_db_se": float(blend_gain.std(ddof=1) / np.sqrt(len(gain))),
            "psnr": float(decibels[equal, blender].mean()),
            "seam_error": float(np.mean([each.seam_error for each in kept])),
        }
        name = f"blend_{blender}_{'equal' if equal else 'plain'}"
        tried.append(Candidate(name, metrics, {"equal": equal, "blender": blender}))
    return tried
