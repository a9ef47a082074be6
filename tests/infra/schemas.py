"""Kubernetes' schemas, and those of custom resources, that let no unknown field pass."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.infra.manifests import Document, key, pods

# The oldest has what we use (`preStop.sleep` is on by default from 1.30 on), the newest is what
# there is.
VERSIONS = ("1.30", "1.37")
OWN = Path(__file__).with_name("crds")


def faults(document: Document) -> list[str]:
    """Return a line for each schema violation; a document without a schema is one."""
    return list(_faults(key(document)))


@cache
def _faults(text: str) -> tuple[str, ...]:
    document = yaml.safe_load(text)
    where = f"{document['kind']} {document['metadata']['name']}"
    schema = custom(document["apiVersion"], document["kind"])
    if schema is None:
        found = [message for version in VERSIONS for message in _built_in(document, version)]
    else:
        validator = jsonschema.Draft202012Validator(schema)
        found = [_message(error) for error in validator.iter_errors(document)]
        if document["kind"] == "RayJob" and not found:
            for pod in pods([document]):
                pod_document = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "pod", "labels": pod.labels},
                    "spec": pod.spec,
                }
                found += [
                    message for version in VERSIONS for message in _built_in(pod_document, version)
                ]
    return tuple(f"{where}: {message}" for message in found)


def _built_in(document: Document, version: str) -> list[str]:
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{version}: {_message(error)}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{version}: there is no schema of {document['apiVersion']} {document['kind']}"]
    return []


def _message(error: Any) -> str:
    return f"{'.'.join(map(str, error.path))}: {error.message[:300]}"


@cache
def custom(version: str, kind: str) -> dict[str, Any] | None:
    """Return a custom resource's schema, from a package or from crds/; None for other kinds."""
    from cloudcoil.models.keda import v1alpha1 as keda
    from cloudcoil.models.prometheus_operator import v1, v1alpha1

    modules = {
        "monitoring.coreos.com/v1": v1,
        "monitoring.coreos.com/v1alpha1": v1alpha1,
        "keda.sh/v1alpha1": keda,
    }
    if version in modules:
        return _strict(getattr(modules[version], kind).model_json_schema(by_alias=True))
    file = OWN / f"{kind}.yaml"
    return yaml.safe_load(file.read_text()) if file.is_file() else None


def _strict(node: Any) -> Any:
    """Forbid unknown fields, which packages allow and the API server prunes."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {name: _strict(each) for name, each in node.items()}
    if "properties" in made and isinstance(made["properties"], dict):
        made.setdefault("additionalProperties", False)
    return made
