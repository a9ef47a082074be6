"""Routes for administrators, who change policies and variants; each change is in the audit log."""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from services.predict.core import Core
from services.predict.pages import summary
from services.predict.registry_sync import kick
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.policy import VARIANTS

log = logging.getLogger("slipway.predict")
T = TypeVar("T")
EFFECT_SECONDS = 20.0
TURN_SECONDS = 0.05

Variant = Annotated[str, Path(pattern=f"^({'|'.join(VARIANTS)})$")]


class Assignment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(pattern="^[1-9][0-9]{0,8}$")]


def router(core: Core) -> APIRouter:
    """Return the routes under /v1/admin."""
    api = APIRouter(tags=["administration"])
    served = core.models.served

    @api.patch("/v1/admin/models/{name}/policy")
    async def policy(name: str, request: Request, change: dict[str, Any]) -> dict[str, Any]:
        """Change fields of the policy; respond when this worker divides traffic by it."""
        actor = core.admit(request, Scope.ADMIN)
        from slipway.policy.changes import change_policy

        written = await _make_change(lambda: change_policy(name, change, actor=actor))
        await _wait_for_effect(core, lambda: served[name].policy == written, name)
        return summary(served[name])

    @api.put("/v1/admin/models/{name}/variants/{variant}")
    async def assign(
        name: str, variant: Variant, request: Request, assignment: Assignment
    ) -> dict[str, Any]:
        """Make a version the champion, challenger or shadow; respond when it serves as such."""
        actor = core.admit(request, Scope.ADMIN)
        from slipway.policy.changes import assign

        await _make_change(lambda: assign(name, variant, assignment.version, actor=actor))

        def in_effect() -> bool:
            model = served[name].models.get(variant)
            return model is not None and model.version.version == assignment.version

        await _wait_for_effect(core, in_effect, name)
        return summary(served[name])

    @api.delete("/v1/admin/models/{name}/variants/{variant}")
    async def unassign(name: str, variant: Variant, request: Request) -> dict[str, Any]:
        """Remove the challenger or the shadow."""
        actor = core.admit(request, Scope.ADMIN)
        from slipway.policy.changes import assign

        await _make_change(lambda: assign(name, variant, None, actor=actor))
        await _wait_for_effect(core, lambda: variant not in served[name].models, name)
        return summary(served[name])

    return api


async def _make_change(change: Callable[[], T]) -> T:
    """Return the result of `change`, which runs in a thread because it calls the registry.

    Raises:
        Problem: the change was refused, or the registry is unreachable.
    """
    from slipway.policy.changes import ChangeRefused

    try:
        return await run_in_threadpool(change)
    except ChangeRefused as refusal:
        raise Problem(422, "Change refused", str(refusal)) from None
    except Exception as error:
        log.exception("a change was not made")
        raise Problem(503, "Registry away", "nothing was changed; try again") from error


async def _wait_for_effect(core: Core, in_effect: Callable[[], bool], name: str) -> None:
    """Wait until this worker follows the change.

    Raises:
        Problem: the change is in the registry, but this worker does not follow it.
    """
    models = core.models
    kick(core.settings)
    deadline = asyncio.get_running_loop().time() + EFFECT_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        if name in models.served and in_effect():
            return
        if name in models.faults:
            break
        await asyncio.sleep(TURN_SECONDS)
    fault = models.faults.get(name, f"not followed within {EFFECT_SECONDS:g} s")
    raise Problem(502, "Not in effect", f"written to the registry, but {name}: {fault}")
