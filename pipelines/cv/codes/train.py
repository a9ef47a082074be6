"""Choose among readers by the training pictures; there are no weights to learn."""

import json
from pathlib import Path

from slipway.media import decode_image
from slipway.training import Candidate, Fitted, LabelledRows
from slipway.training.selection import simplest_within_error

from .metrics import read_metrics
from .model import CodeRequest, Payload
from .readers import READERS

SHOWN = (
    *("read_share", "read_share_se", "photograph_read_share", "qr_read_share"),
    *("ean_read_share", "other_kinds_read_share", "wrong_share"),
)


def fit(*, train: LabelledRows[CodeRequest, Payload], weights: Path, seed: int) -> Fitted:
    """Choose the simplest reader whose share is within one standard error of the best."""
    images = [decode_image(each.image, "L") for each in train.records if each.image is not None]
    tried = []
    for name, read in READERS.items():
        texts = [[seen.text for seen in read(image)] for image in images]
        metrics = read_metrics(texts, train.labels, seed=seed)
        tried.append(Candidate(name, {key: metrics[key] for key in SHOWN if key in metrics}))
        print(f"{name}: {metrics['read_share']:.3f} read", flush=True)
    chosen = simplest_within_error(tried, "read_share", best="highest").name
    (weights / "reader.json").write_text(json.dumps({"reader": chosen}) + "\n")
    return Fitted(tried, chosen)
