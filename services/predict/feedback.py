"""Routes for feedback: labels for predictions, and the comparison of two versions by them."""

import math
import sqlite3
import threading
from functools import cached_property
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from services.predict import metrics
from services.predict.core import Core
from services.predict.settings import Settings
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.policy import CHALLENGER, CHAMPION
from slipway.predictions.feedback_store import (
    Attached,
    BadLabel,
    FeedbackStore,
    NotLogged,
    UnknownPrediction,
    VariantScore,
)
from slipway.statistics.ab import Comparison, Sample, compare

# The squares of larger scores would leave no digits for the others in a mean and a variance.
LARGEST_SCORE = 1e9


class Feedback(BaseModel):
    """The true outcome of one record of a prediction."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: Annotated[UUID, Field(description="The id in the response to the prediction")]
    row: Annotated[int, Field(ge=0, description="Which of its records, from 0")] = 0
    label: Annotated[
        dict[str, Any] | None,
        Field(description="Some of the predicted fields, with their true values"),
    ] = None
    reward: Annotated[
        float | None,
        Field(
            ge=-LARGEST_SCORE,
            le=LARGEST_SCORE,
            description="A score of the prediction; without it, the label is compared",
        ),
    ] = None

    @model_validator(mode="after")
    def _is_not_empty(self) -> "Feedback":
        if self.label is None and self.reward is None:
            raise ValueError("give label, reward or both")
        try:
            to_json(self.label)
        except ValueError:  # half of a surrogate pair, which JSON can name and no text can hold
            raise ValueError("label must be valid Unicode") from None
        return self


class LazyFeedbackStore:
    """The feedback store, opened when it is first needed: its disk may be unavailable."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = threading.Lock()

    @cached_property
    def _open_store(self) -> FeedbackStore:
        return FeedbackStore(self._settings.records)

    @property
    def store(self) -> FeedbackStore:
        with self._opening:
            return self._open_store


def router(core: Core) -> APIRouter:
    """Return the routes of feedback."""
    api = APIRouter(tags=["feedback"])
    lazy = LazyFeedbackStore(core.settings)

    @api.post(
        "/v1/feedback",
        status_code=201,
        responses={200: {"description": "Attached before; replaced, or the same again"}},
    )
    async def feedback(label: Feedback, request: Request) -> Response:
        """Attach a label to a prediction, now or days later, once or corrected."""
        core.admit(request, Scope.FEEDBACK)
        attached = await run_in_threadpool(_attach, lazy, label)
        metrics.FEEDBACK.labels(attached.project, attached.status).inc()
        body = to_json({"id": str(label.id), "row": label.row, **vars(attached)})
        status = 201 if attached.status == "recorded" else 200
        return Response(body, status, media_type="application/json")

    @api.get("/v1/models/{name}/comparison")
    async def comparison(
        name: str,
        request: Request,
        smallest_effect: Annotated[
            float | None, Query(ge=1 / LARGEST_SCORE, le=LARGEST_SCORE)
        ] = None,
        credible: Annotated[float, Query(ge=0.5, le=0.999)] = 0.95,
        power: Annotated[float, Query(ge=0.5, le=0.999)] = 0.8,
    ) -> Response:
        """Compare challenger and champion by the labels since the traffic was divided."""
        core.admit(request, Scope.PREDICT)
        served = core.predictor.project(name)
        since = served.policy.since
        scores = await run_in_threadpool(_summarize, lazy, name, since)
        sides = {}
        for variant in (CHAMPION, CHALLENGER):
            model = served.models.get(variant)
            version = model.version.version if model else None
            sides[variant] = _side(version, variant, scores)
        effect = smallest_effect or _small_effect(sides)
        content = {
            "project": name,
            "smallest_effect": effect,
            "since": since,
            "policy": served.policy.model_dump(),
            **sides,
            "comparison": _compare(
                sides, smallest_effect=effect, credible=credible, power=power
            ).model_dump(),
        }
        return Response(to_json(content), media_type="application/json")

    return api


def _attach(lazy: LazyFeedbackStore, label: Feedback) -> Attached:
    """Attach the label to its prediction.

    Raises:
        Problem: the prediction is unknown, the label does not fit, or the disk is unavailable.
    """
    try:
        return lazy.store.attach(
            id=str(label.id), label=label.label, row=label.row, reward=label.reward
        )
    except NotLogged as error:
        raise Problem(404, "Prediction not on record", str(error)) from None
    except UnknownPrediction as error:
        raise Problem(404, "Unknown prediction", str(error)) from None
    except BadLabel as error:
        raise Problem(422, "Label does not fit", str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise Problem(
            503, "Feedback not stored", "its disk is unavailable; send it again"
        ) from error


def _summarize(lazy: LazyFeedbackStore, name: str, since: float) -> list[VariantScore]:
    """Return the scores of each version and variant.

    Raises:
        Problem: the disk is unavailable.
    """
    try:
        return lazy.store.summary(name, since=since)
    except (OSError, sqlite3.Error) as error:
        raise Problem(503, "Feedback away", "the disk of the feedback is unavailable") from error


def _side(version: str | None, variant: str, scores: list[VariantScore]) -> dict[str, Any]:
    for each in scores:
        if (each.version, each.variant) == (version, variant):
            return {"version": version, "n": each.n, "mean": each.mean, "variance": each.variance}
    return {"version": version, "n": 0, "mean": None, "variance": None}


def _small_effect(sides: dict[str, dict[str, Any]]) -> float | None:
    """Return 0.2 standard deviations of the scores: a small effect by Cohen (1988)."""
    spread = [side["variance"] for side in sides.values() if side["variance"]]
    return 0.2 * math.sqrt(sum(spread) / len(spread)) if spread else None


def _compare(sides: dict[str, dict[str, Any]], **options: Any) -> Comparison:
    a, b = (
        Sample(side["n"], side["mean"] or 0.0, side["variance"] or 0.0)
        for side in (sides[CHAMPION], sides[CHALLENGER])
    )
    return compare(a, b, **options)
