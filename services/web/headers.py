"""Security headers for browsers."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "default-src 'none'; frame-ancestors 'none'"
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": POLICY,
}


class SecurityHeaders:
    """Middleware that adds the security headers to every response that lacks them."""

    def __init__(
        self, inner: ASGIApp, *, policy: str = POLICY, policies: Mapping[str, str] | None = None
    ) -> None:
        """Wrap an application.

        Args:
            policy: the content security policy.
            policies: by path, the policy of a page that needs more permissions.
        """
        self.inner, self.policy, self.policies = inner, policy, policies or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                policy = self.policies.get(scope["path"], self.policy)
                headers.setdefault("content-security-policy", policy)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.inner(scope, receive, send_with_headers)
