"""Read and write which version gets which traffic: a project's aliases and policy in the registry.

Every change is idempotent. Servers follow within their reload time.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from slipway import policy
from slipway.policy import CHALLENGER, CHAMPION, SHADOW, Policy
from slipway.registry import tracking
from slipway.registry.aliases import NoSuchModel, RegisteredModel, registered_model

PROBE_SECONDS = 3.0


class RegistryUnavailable(Exception):
    """Raised if the registry does not respond; the message has its address."""


class NoVersion(LookupError):
    """Raised if the registry has no such project or version."""


@dataclass(frozen=True)
class TrafficSplit:
    """The versions of a project by the traffic that they get."""

    aliases: dict[str, str]
    """Versions by variant."""
    policy: Policy | None
    """None if the registry's tag cannot be read as a policy."""


def registry() -> Any:
    """Return a client if the registry responds; MLflow's own retries would take four minutes.

    Raises:
        RegistryUnavailable: it does not.
    """
    address = tracking.tracking_uri()
    if address.startswith(("http://", "https://")):
        import httpx

        try:
            httpx.get(f"{address.rstrip('/')}/health", timeout=PROBE_SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"registry unavailable: {address}: {error}") from error
    return tracking.client()


def current_split(project: str) -> TrafficSplit:
    """Return the project's aliases and policy.

    Raises:
        NoVersion: the registry has no such project.
    """
    registry()
    model = _model(project)
    aliases = {
        variant: model.aliases[variant] for variant in policy.VARIANTS if variant in model.aliases
    }
    try:
        return TrafficSplit(aliases, policy.read(model.tags.get(policy.TAG)))
    except ValidationError:
        return TrafficSplit(aliases, None)


def version(project: str, number: str) -> Any:
    """Return the registered version.

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


def set_shares(project: str, *, challenger: float, shadow: float) -> None:
    """Set the percentages of challenger and shadow in one write; keep the rest of the policy.

    A tag that cannot be read is replaced by the default policy with these percentages.
    """
    client = registry()
    try:
        before = policy.read(_model(project).tags.get(policy.TAG))
    except ValidationError:
        text = Policy(challenger=challenger, shadow=shadow).model_dump_json(exclude_defaults=True)
        client.set_registered_model_tag(project, policy.TAG, text)
        return
    changed = before.model_copy(update={"challenger": challenger, "shadow": shadow})
    if changed != before:
        policy.write(client, project, changed)


def assign(project: str, variant: str, number: str) -> None:
    """Give the alias `variant` to the version, unless it has it."""
    client = registry()
    if _model(project).aliases.get(variant) != number:
        client.set_registered_model_alias(project, variant, number)


def remove_aliases(
    project: str, number: str, *, variants: tuple[str, ...] = (CHALLENGER, SHADOW)
) -> None:
    """Remove these aliases from the version; those of other versions stay."""
    client = registry()
    aliases = _model(project).aliases
    for variant in variants:
        if aliases.get(variant) == number:
            client.delete_registered_model_alias(project, variant)


def stop(project: str, number: str) -> None:
    """Send all traffic to the champion, then remove the version's aliases."""
    set_shares(project, challenger=0, shadow=0)
    remove_aliases(project, number)


def start_shadow(project: str, number: str, percent: float) -> None:
    """Mirror this percentage of the requests to the version."""
    assign(project, SHADOW, number)
    set_shares(project, challenger=0, shadow=percent)


def start_canary(project: str, number: str, percent: float) -> None:
    """Send this percentage of the requests to the version."""
    assign(project, CHALLENGER, number)
    set_shares(project, challenger=percent, shadow=0)
    remove_aliases(project, number, variants=(SHADOW,))


def make_champion(project: str, number: str) -> None:
    """Make the version champion, and only then remove its share: the old one never gets it back."""
    assign(project, CHAMPION, number)
    stop(project, number)


def _model(project: str) -> RegisteredModel:
    try:
        return registered_model(project)
    except NoSuchModel as error:
        raise NoVersion(str(error)) from None
