"""A request that came through a proxy, which serves Catscope below a path, comes in; it goes on knowing that path.

Links, redirects and the OpenAPI document then begin with it. The path is the setting `root_path`, or what a trusted proxy
says in X-Forwarded-Prefix. Which proxies are trusted is decided as for uvicorn's other forwarded headers:
FORWARDED_ALLOW_IPS, by default this machine. What no path looks like is ignored: `//host` in a link would lead away.
"""

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware, _TrustedHosts

from app.settings import PREFIX_PATH, trusted_proxies


class BelowPath:
    """ASGI middleware, the outermost: sets `root_path`, and address and scheme of the client as uvicorn's own does."""

    def __init__(self, app: ASGIApp, root_path: str = "", trusted: str | None = None) -> None:
        hosts = trusted_proxies() if trusted is None else trusted
        self._app = ProxyHeadersMiddleware(app, trusted_hosts=hosts)  # type: ignore[arg-type]  # uvicorn has types of its own
        self._trusted = _TrustedHosts(hosts)
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; redirect from the path itself to the page below it."""
        if scope["type"] == "http":
            if scope["client"] and scope["client"][0].startswith("::ffff:"):  # IPv4 on a socket of both families
                scope["client"] = (scope["client"][0][len("::ffff:") :], scope["client"][1])
            said = self._said(scope)
            root, path = said or self._root_path, scope["path"]
            if root:
                if not said and path == root:
                    await RedirectResponse(root + "/")(scope, receive, send)
                    return
                if said or not path.startswith(root + "/"):  # the proxy has removed it
                    scope["path"], scope["raw_path"] = root + path, root.encode() + scope["raw_path"]
                scope["root_path"] = root
        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def _said(self, scope: Scope) -> str:
        """The path that a trusted proxy names, or nothing."""
        text = Headers(scope=scope).get("x-forwarded-prefix", "").strip().rstrip("/")
        if not text or not scope["client"] or scope["client"][0] not in self._trusted:
            return ""
        return text if PREFIX_PATH.fullmatch(text) and not {".", ".."} & set(text.split("/")) else ""
