"""Requirements that every pod must meet."""

import re
from typing import Any

from tests.infra.manifests import Pod

# KServe and KubeRay add the probes to these pods.
PROBED_BY_OTHERS = frozenset({"RayJob", "InferenceService"})
UNITS = {"requests", "limits"}


def shortcomings(pod: Pod) -> list[str]:
    """Return a line for each requirement that the pod misses."""
    found = _pod_faults(pod)
    for container in pod.containers:
        own = _container_faults(container)
        if container in pod.running and not pod.ends and pod.kind not in PROBED_BY_OTHERS:
            own += _server_faults(container)
        found += [f"{container['name']}: {message}" for message in own]
    return [f"{pod.where}: {message}" for message in found]


def _pod_faults(pod: Pod) -> list[str]:
    spec, found = pod.spec, []
    context = spec.get("securityContext", {})
    if spec.get("automountServiceAccountToken") is not False:
        found.append("a token of its service account is mounted")
    if spec.get("serviceAccountName", "default") == "default":
        found.append("it has no service account of its own")
    if spec.get("enableServiceLinks") is not False:
        found.append("variables of Services come in, which may bear our names")
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser", 0):
        found.append("it may run as root")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("no seccomp profile")
    found += [
        f"{name} is the node's" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)
    ]
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            found.append(f"volume {volume['name']} is the node's")
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            found.append(f"volume {volume['name']} has no limit")
    return found


def _container_faults(container: dict[str, Any]) -> list[str]:
    context, found = container.get("securityContext", {}), []
    if context.get("readOnlyRootFilesystem") is not True:
        found.append("its root file system can be written")
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        found.append("it may gain privileges")
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        found.append("it keeps capabilities")
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        found.append("it runs as root")
    resources = container.get("resources", {})
    for each in sorted(UNITS):
        missing = {"cpu", "memory"} - resources.get(each, {}).keys()
        found += [f"no {what} in {each}" for what in sorted(missing)]
    tag = re.search(r":([\w.-]+)$", container["image"])
    if tag and tag[1] == "latest":
        found.append("its image is whatever is latest")
    found += [
        f"the port {port['containerPort']} is the node's"
        for port in container.get("ports", [])
        if "hostPort" in port
    ]
    return found


def _server_faults(container: dict[str, Any]) -> list[str]:
    wanted = ("startupProbe", "livenessProbe", "readinessProbe")
    return [f"no {probe}" for probe in wanted if probe not in container]
