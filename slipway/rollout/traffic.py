"""Who answers: the aliases and the policy of a project, read and written in the registry.

Every change can be made twice. Servers follow within their reload time.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from slipway import policy
from slipway.policy import CHALLENGER, CHAMPION, SHADOW, Policy
from slipway.registry import tracking

PROBE_SECONDS = 3.0


class RegistryAway(Exception):
    """The registry does not answer; the message says where it should."""


class NoVersion(LookupError):
    """The registry has no such project or version."""


@dataclass(frozen=True)
class Standing:
    """Versions by variant, and the policy; None when the tag holds none."""

    aliases: dict[str, str]
    policy: Policy | None


def registry() -> Any:
    """A client, when the registry answers. MLflow's own retries would take four minutes.

    Raises:
        RegistryAway: it does not.
    """
    address = tracking.tracking_uri()
    if address.startswith(("http://", "https://")):
        import httpx

        try:
            httpx.get(f"{address.rstrip('/')}/health", timeout=PROBE_SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            raise RegistryAway(f"registry away: {address}: {error}") from error
    return tracking.client()


def standing(project: str) -> Standing:
    """Raises NoVersion: the registry has no such project."""
    model = _model(registry(), project)
    aliases = {
        variant: str(model.aliases[variant])
        for variant in policy.VARIANTS
        if variant in model.aliases
    }
    try:
        return Standing(aliases, policy.read(model.tags.get(policy.TAG)))
    except ValidationError:
        return Standing(aliases, None)


def version(project: str, number: str) -> Any:
    """The registered version.

    Raises:
        NoVersion: there is none.
    """
    from mlflow.exceptions import MlflowException

    client = registry()
    try:
        return client.get_model_version(project, number)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise NoVersion(f"version: {project} has no version {number!r}") from error


def divide(project: str, *, challenger: float, shadow: float) -> None:
    """Give challenger and shadow these percentages, in one write; the rest of the policy stays.

    A tag that holds no policy gives way to the default one with these percentages.
    """
    client = registry()
    try:
        before = policy.read(_model(client, project).tags.get(policy.TAG))
    except ValidationError:
        text = Policy(challenger=challenger, shadow=shadow).model_dump_json(exclude_defaults=True)
        client.set_registered_model_tag(project, policy.TAG, text)
        return
    wanted = before.model_copy(update={"challenger": challenger, "shadow": shadow})
    if wanted != before:
        policy.write(client, project, wanted)


def assign(project: str, variant: str, number: str) -> None:
    client = registry()
    if str(_model(client, project).aliases.get(variant)) != number:
        client.set_registered_model_alias(project, variant, number)


def release(project: str, number: str, *, variants: tuple[str, ...] = (CHALLENGER, SHADOW)) -> None:
    """Take these aliases from the version; another one's stay."""
    client = registry()
    aliases = _model(client, project).aliases
    for variant in variants:
        if str(aliases.get(variant)) == number:
            client.delete_registered_model_alias(project, variant)


def stop(project: str, number: str) -> None:
    """The champion answers everything; then the version loses its aliases."""
    divide(project, challenger=0, shadow=0)
    release(project, number)


def begin_shadow(project: str, number: str, percent: float) -> None:
    assign(project, SHADOW, number)
    divide(project, challenger=0, shadow=percent)


def begin_canary(project: str, number: str, percent: float) -> None:
    assign(project, CHALLENGER, number)
    divide(project, challenger=percent, shadow=0)
    release(project, number, variants=(SHADOW,))


def enthrone(project: str, number: str) -> None:
    """The version is champion before it loses its share: the old one never gets it back."""
    assign(project, CHAMPION, number)
    stop(project, number)


def _model(client: Any, project: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(project)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NoVersion(f"project: the registry has no {project!r}") from error
        raise
