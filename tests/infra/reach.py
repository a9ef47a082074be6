"""The calls that the network policies of a rendering allow."""

from tests.infra.manifests import Document, Pod, by_kind, matches


def allowed(found: list[Document], caller: Pod, called: Pod, port: int) -> list[str]:
    """Return the policies that are missing for a call between two pods; none if it is allowed."""
    policies = by_kind(found, "NetworkPolicy")
    missing = []
    if not _lets(policies, "Egress", caller, called, called, port):
        missing.append(f"{caller.name} may not call {called.name} on {port}")
    if not _lets(policies, "Ingress", called, caller, called, port):
        missing.append(f"{called.name} may not be called by {caller.name} on {port}")
    return missing


def selecting(policies: list[Document], direction: str, pod: Pod) -> list[Document]:
    return [
        each
        for each in policies
        if direction in each["spec"]["policyTypes"]
        and matches(pod.labels, each["spec"]["podSelector"])
    ]


def _lets(
    policies: list[Document], direction: str, pod: Pod, peer: Pod, called: Pod, port: int
) -> bool:
    side = "to" if direction == "Egress" else "from"
    return any(
        any(_is(peer, each) for each in rule.get(side, []))
        and _on(rule.get("ports", []), called, port)
        for policy in selecting(policies, direction, pod)
        for rule in policy["spec"].get(direction.lower(), [])
    )


def _is(pod: Pod, peer: Document) -> bool:
    """Return whether the peer is this pod; peers in other namespaces and IP blocks are not."""
    if "namespaceSelector" in peer or "podSelector" not in peer:
        return False
    return matches(pod.labels, peer["podSelector"])


def _on(ports: list[Document], called: Pod, port: int) -> bool:
    """Return whether a rule allows the port; named ports are resolved in the called pod."""
    names = {
        each["name"]: each["containerPort"]
        for container in called.running
        for each in container.get("ports", [])
    }
    return not ports or any(names.get(each["port"], each["port"]) == port for each in ports)
