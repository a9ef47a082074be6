"""What turned out to be true, and what follows from it about two versions that share traffic."""

import math
import sqlite3
import threading
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from services.predict import metrics
from services.predict.pages import allow
from services.predict.settings import Settings
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.policy import CHALLENGER, CHAMPION
from slipway.predictions.feedback import (
    Attached,
    BadTruth,
    FeedbackStore,
    NotLogged,
    UnknownPrediction,
    VariantScore,
)
from slipway.statistics.ab import Comparison, Sample, compare

if TYPE_CHECKING:
    from services.predict.app import App


class Feedback(BaseModel):
    """What really happened to one record of a prediction."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    id: Annotated[UUID, Field(description="Of the prediction, as its answer holds it")]
    row: Annotated[int, Field(ge=0, description="Which of its records, from 0")] = 0
    truth: Annotated[
        dict[str, Any] | None, Field(description="Some of the answer's fields, as they should be")
    ] = None
    reward: Annotated[
        float | None, Field(description="How well it did; without it, the truth is compared")
    ] = None

    @model_validator(mode="after")
    def _says_something(self) -> "Feedback":
        if self.truth is None and self.reward is None:
            raise ValueError("give truth, reward or both")
        return self


class Truths:
    """The feedback store, opened when it is first needed: its disk may be away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = threading.Lock()

    @cached_property
    def _opened(self) -> FeedbackStore:
        return FeedbackStore(self._settings.records)

    @property
    def store(self) -> FeedbackStore:
        with self._opening:
            return self._opened


def add(app: FastAPI, server: "App") -> None:
    truths = Truths(server.settings)

    @app.post(
        "/v1/feedback",
        tags=["feedback"],
        status_code=201,
        responses={200: {"description": "Attached before; replaced, or the same again"}},
    )
    async def feedback(given: Feedback, request: Request) -> Response:
        """Attach the truth to a prediction: now or days later, once or corrected."""
        allow(server, request, Scope.FEEDBACK)
        told = await run_in_threadpool(_attached, truths, given)
        metrics.FEEDBACK.labels(told.project, told.status).inc()
        body = to_json({"id": str(given.id), "row": given.row, **vars(told)})
        status = 201 if told.status == "recorded" else 200
        return Response(body, status, media_type="application/json")

    @app.get("/v1/models/{name}/comparison", tags=["feedback"])
    async def comparison(
        name: str,
        request: Request,
        smallest_effect: Annotated[float | None, Query(gt=0)] = None,
        credible: Annotated[float, Query(ge=0.5, le=0.999)] = 0.95,
        power: Annotated[float, Query(ge=0.5, le=0.999)] = 0.8,
    ) -> Response:
        """Challenger against champion by the truths that came back since traffic was divided."""
        allow(server, request, Scope.PREDICT)
        served = server.predict.served(name)
        since = served.policy.since
        scores = await run_in_threadpool(_summary, truths, name, since)
        sides = {}
        for variant in (CHAMPION, CHALLENGER):
            unit = served.units.get(variant)
            version = unit.version.version if unit else None
            sides[variant] = _side(version, variant, scores)
        effect = smallest_effect or _small(sides)
        told = {
            "project": name,
            "smallest_effect": effect,
            "since": since,
            "policy": served.policy.model_dump(),
            **sides,
            "comparison": _compared(
                sides, smallest_effect=effect, credible=credible, power=power
            ).model_dump(),
        }
        return Response(to_json(told), media_type="application/json")


def _attached(truths: Truths, given: Feedback) -> Attached:
    """Raises Problem."""
    try:
        return truths.store.attach(
            id=str(given.id), truth=given.truth, row=given.row, reward=given.reward
        )
    except NotLogged as error:
        raise Problem(404, "Prediction not on record", str(error)) from None
    except UnknownPrediction as error:
        raise Problem(404, "Unknown prediction", str(error)) from None
    except BadTruth as error:
        raise Problem(422, "Truth does not fit", str(error)) from None
    except (OSError, sqlite3.Error) as error:
        raise Problem(503, "Feedback not stored", "its disk is away; send it again") from error


def _summary(truths: Truths, name: str, since: float) -> list[VariantScore]:
    """Raises Problem."""
    try:
        return truths.store.summary(name, since=since)
    except (OSError, sqlite3.Error) as error:
        raise Problem(503, "Feedback away", "the disk of the feedback is away") from error


def _side(version: str | None, variant: str, scores: list[VariantScore]) -> dict[str, Any]:
    for each in scores:
        if (each.version, each.variant) == (version, variant):
            return {"version": version, "n": each.n, "mean": each.mean, "variance": each.variance}
    return {"version": version, "n": 0, "mean": None, "variance": None}


def _small(sides: dict[str, dict[str, Any]]) -> float | None:
    """A fifth of the spread: small by Cohen's measure (1988), in whatever unit the scores are."""
    spread = [side["variance"] for side in sides.values() if side["variance"]]
    return 0.2 * math.sqrt(sum(spread) / len(spread)) if spread else None


def _compared(sides: dict[str, dict[str, Any]], **options: Any) -> Comparison:
    a, b = (
        Sample(side["n"], side["mean"] or 0.0, side["variance"] or 0.0)
        for side in (sides[CHAMPION], sides[CHALLENGER])
    )
    return compare(a, b, **options)
