"""GET /: the page, plain files from app/web, under a policy that lets it reach only this service."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

router = APIRouter()

FILES = Path(__file__).parent.parent / "web"
ASSETS = "/web"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",  # pictures in answers, the visitor's own photo
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

# app.middleware.request_log adds the headers that every answer has.
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",  # revalidate each time, so that new files never mix with old ones
}


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page itself."""
    return FileResponse(FILES / "index.html", headers=HEADERS)


class _Assets(StaticFiles):
    """The page's files, served with the page's headers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def mount_assets(app: FastAPI) -> None:
    """Serve the page's scripts, styles and samples."""
    app.mount(ASSETS, _Assets(directory=FILES), name="web")
