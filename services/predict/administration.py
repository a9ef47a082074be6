"""What an administrator may change while the server runs; each change is on record."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from services.predict.keeper import kick
from services.predict.pages import allow, summary
from services.web.problem import Problem
from slipway.access.scopes import Scope
from slipway.policy import VARIANTS

if TYPE_CHECKING:
    from services.predict.app import App

log = logging.getLogger("slipway.predict")
T = TypeVar("T")
EFFECT_SECONDS = 20.0
TURN_SECONDS = 0.05

Variant = Annotated[str, Path(pattern=f"^({'|'.join(VARIANTS)})$")]


class Assignment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(pattern="^[1-9][0-9]{0,8}$")]


def add(app: FastAPI, server: "App") -> None:
    @app.patch("/v1/admin/models/{name}/policy", tags=["administration"])
    async def policy(name: str, request: Request, change: dict[str, Any]) -> dict[str, Any]:
        """Change fields of the policy; answers when this worker divides traffic by it."""
        actor = allow(server, request, Scope.ADMIN)
        from slipway.policy.changes import change_policy

        written = await _changed(lambda: change_policy(name, change, actor=actor))
        await _in_effect(server, lambda: server.fleet.served[name].policy == written, name)
        return summary(server.fleet.served[name])

    @app.put("/v1/admin/models/{name}/variants/{variant}", tags=["administration"])
    async def assign(
        name: str, variant: Variant, request: Request, wanted: Assignment
    ) -> dict[str, Any]:
        """Have a version answer as champion, challenger or shadow; answers when it does."""
        actor = allow(server, request, Scope.ADMIN)
        from slipway.policy.changes import assign

        await _changed(lambda: assign(name, variant, wanted.version, actor=actor))

        def done() -> bool:
            unit = server.fleet.served[name].units.get(variant)
            return unit is not None and unit.version.version == wanted.version

        await _in_effect(server, done, name)
        return summary(server.fleet.served[name])

    @app.delete("/v1/admin/models/{name}/variants/{variant}", tags=["administration"])
    async def unassign(name: str, variant: Variant, request: Request) -> dict[str, Any]:
        """Take the challenger or the shadow away."""
        actor = allow(server, request, Scope.ADMIN)
        from slipway.policy.changes import assign

        await _changed(lambda: assign(name, variant, None, actor=actor))
        await _in_effect(server, lambda: variant not in server.fleet.served[name].units, name)
        return summary(server.fleet.served[name])


async def _changed(change: Callable[[], T]) -> T:
    """In a thread: it asks the registry.

    Raises:
        Problem: refused, or the registry is away.
    """
    from slipway.policy.changes import ChangeRefused

    try:
        return await run_in_threadpool(change)
    except ChangeRefused as refusal:
        raise Problem(422, "Change refused", str(refusal)) from None
    except Exception as error:
        log.exception("a change was not made")
        raise Problem(503, "Registry away", "nothing was changed; try again") from error


async def _in_effect(server: "App", done: Callable[[], bool], name: str) -> None:
    """Raises Problem: the change is in the registry, but this worker does not follow it."""
    kick(server.settings)
    deadline = asyncio.get_running_loop().time() + EFFECT_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        if name in server.fleet.served and done():
            return
        if name in server.fleet.faults:
            break
        await asyncio.sleep(TURN_SECONDS)
    fault = server.fleet.faults.get(name, f"not followed within {EFFECT_SECONDS:g} s")
    raise Problem(502, "Not in effect", f"written to the registry, but {name}: {fault}")
