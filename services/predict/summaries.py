"""Summaries of predictions for the log, made where the model runs: pictures are decoded there."""

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import to_json

from slipway.contract import Model, Record
from slipway.contract.serving import carries_media
from slipway.media.summary import summarize_record
from slipway.predictions.facts import has_facts

log = logging.getLogger("slipway.predict")


@dataclass(slots=True)
class RequestSummary:
    """The part of a request that the prediction log keeps besides, or instead of, its bytes."""

    inputs: bytes | None = None
    """The records with facts in the place of media; None if the request itself is kept."""
    inputs_sha256: str | None = None
    """The hash of the request, if `inputs` does not hold all of it."""
    outputs: bytes | None = None
    """The predictions, like `inputs`."""
    features: bytes | None = None
    """A JSON object of the model's monitoring features, lists of a number for every record."""


class Summarizer:
    """Makes the summaries for a model; it is false if the model's requests are kept as they are."""

    def __init__(self, model: Model, *, thumbnails: bool) -> None:
        self._model, self._thumbnails = model, thumbnails
        self._media = any(map(carries_media, (model.input_type(), model.output_type())))
        self._features = type(model).monitoring_features is not Model.monitoring_features
        self._reported = False

    def __bool__(self) -> bool:
        return self._media or self._features

    def summarize(
        self, body: bytes, records: list[Record], predictions: list[Record]
    ) -> RequestSummary:
        """Return the summary of a request and its predictions."""
        summary = RequestSummary(features=self._monitoring_features(records, predictions))
        if self._media:
            inputs = self._summarize_records(records)
            summary.inputs, summary.outputs = (
                to_json(inputs),
                to_json(self._summarize_records(predictions)),
            )
            if has_facts(inputs):
                summary.inputs_sha256 = hashlib.sha256(body).hexdigest()
        return summary

    def _summarize_records(self, records: list[Record]) -> list[dict[str, Any]]:
        return [summarize_record(each, thumbnails=self._thumbnails) for each in records]

    def _monitoring_features(
        self, records: list[Record], predictions: list[Record]
    ) -> bytes | None:
        """Return the features as JSON; None if the model has none, or fails at them."""
        if not self._features:
            return None
        try:
            features = self._model.monitoring_features(records, predictions)
            values = {name: np.asarray(each, dtype=np.float64) for name, each in features.items()}
            for name, each in values.items():
                if each.shape != (len(records),):
                    raise ValueError(f"{name}: shape {each.shape} for {len(records)} records")
        except Exception:  # the prediction is good without them
            if not self._reported:
                log.exception("monitoring_features failed; predictions are recorded without")
            self._reported = True
            return None
        return to_json({name: each.tolist() for name, each in values.items()}, inf_nan_mode="null")
