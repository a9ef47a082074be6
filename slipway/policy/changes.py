"""Change a project's policy and aliases, with checks and a record in the audit log."""

from typing import Any

from pydantic import ValidationError

from slipway import policy
from slipway.access import audit
from slipway.policy.policy import Policy
from slipway.registry import promotions, tracking
from slipway.registry.aliases import NoSuchModel, RegisteredModel, registered_model


class ChangeRefused(Exception):
    """Raised for an invalid change; the message says why. Nothing was changed."""


def change_policy(project: str, change: dict[str, Any], *, actor: str) -> Policy:
    """Change some fields of the policy; return the whole policy.

    Raises:
        ChangeRefused: a field is unknown or out of range, or there is no such project.
        Exception: the registry cannot be reached.
    """
    registry = tracking.client()
    model = _model(project)
    before = policy.read(model.tags.get(policy.TAG))
    try:
        wanted = Policy.model_validate({**before.model_dump(exclude_unset=True), **change})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ChangeRefused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if "since" in change:
        raise ChangeRefused("since: is set by the server when the traffic split changes")
    for variant in ("challenger", "shadow"):
        if getattr(wanted, variant) and variant not in model.aliases:
            raise ChangeRefused(f"{variant}: no version of {project} is its {variant}")
    written = policy.write(registry, project, wanted)
    audit.record(actor=actor, action="policy", target=project, detail=change, outcome="done")
    return written


def assign(project: str, variant: str, version: str | None, *, actor: str) -> None:
    """Give the alias `variant` to a version, or remove it with None.

    Raises:
        ChangeRefused: there is no such variant, project or version, or no champion would be left.
        Exception: the registry cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    if variant not in policy.VARIANTS:
        raise ChangeRefused(f"variant: must be {', '.join(policy.VARIANTS)}, got {variant!r}")
    registry = tracking.client()
    before = _model(project).aliases.get(variant)
    if version is None:
        if variant == policy.CHAMPION:
            raise ChangeRefused("champion: assign another version; without one nothing is served")
        registry.delete_registered_model_alias(project, variant)
    else:
        try:
            registry.get_model_version(project, version)
        except MlflowException as error:
            raise ChangeRefused(f"version: {project} has no version {version!r}") from error
        if variant == policy.CHAMPION and before != version:
            # Log first: without a line in the log, the champion could not be explained later.
            promotions.append(
                promotions.Decision(
                    project, version, True, f"by hand of {actor}", {"champion_version": before}
                )
            )
        registry.set_registered_model_alias(project, variant, version)
    audit.record(
        actor=actor,
        action="assign",
        target=f"{project} {variant}",
        detail={"version": version, "before": None if before is None else str(before)},
        outcome="done",
    )


def _model(project: str) -> RegisteredModel:
    try:
        return registered_model(project)
    except NoSuchModel as error:
        raise ChangeRefused(str(error)) from None
