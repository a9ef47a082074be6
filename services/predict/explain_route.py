"""POST /v1/models/{name}/explain: why the champion makes a prediction, as JSON or a heat map."""

from fastapi import APIRouter, Request, Response

from services.predict import body as bodies
from services.predict import metrics
from services.predict.core import Core
from services.predict.endpoint import RecordsRequest
from services.predict.explaining import PNG, not_explainable
from services.predict.negotiation import choose_type
from services.predict.predictor import GONE, stop_with_caller
from services.predict.snapshot import Profile
from slipway.access.scopes import Scope as KeyScope
from slipway.explain.ways import Way

JSON = "application/json"


def router(core: Core) -> APIRouter:
    """Return the route of this module."""
    api = APIRouter()

    @api.post("/v1/models/{name}/explain", tags=["predict"])
    async def explain(name: str, request: Request) -> Response:
        """Divide the champion's prediction among the parts of the record: Shapley values."""
        core.admit(request, KeyScope.PREDICT)
        try:
            return await _explain(core, name, request)
        except bodies.Disconnected:
            metrics.REFUSED.labels(metrics.DISCONNECTED).inc()
            return Response(status_code=GONE)

    return api


async def _explain(core: Core, name: str, request: Request) -> Response:
    served = core.predictor.project(name)
    model = served.champion
    profile = model.version.profile
    if not profile.explains:
        raise not_explainable(name)
    headers = dict(request.scope["headers"])
    headers.setdefault(b"content-type", JSON.encode())
    kind = choose_type(headers.get(b"accept", b""), _types(profile), f"explanations of {name} are")
    records = RecordsRequest(core.predictor, request.scope, request.receive, headers)
    await records.read(served)
    body = await records.records(model)
    await core.models.load(model)
    work = model.explain(body, as_picture=kind == PNG)
    found = await stop_with_caller(records, work)
    about = {"slipway-model": name, "slipway-version": model.version.version}
    if kind == PNG:
        facts = {f"slipway-{fact}": _header(text) for fact, text in found.facts.items()}
        return Response(found.content, media_type=PNG, headers=about | facts)
    head = f'{{"model":"{name}","version":"{model.version.version}","explanations":'
    return Response(head.encode() + found.content + b"}", media_type=JSON)


def _types(profile: Profile) -> tuple[str, ...]:
    return (JSON, PNG) if profile.explained_by is Way.PICTURE else (JSON,)


def _header(text: str) -> str:
    """Return the text as a header can hold it: a label may have any letters."""
    return text.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
