"""The service's own application on Ray Serve: `serve deploy deploy/ray/serve.yaml` calls `build`.

Each replica is one process with the networks loaded, like `python -m app`; Ray's proxy receives the requests instead of
`app.server.uvicorn_setup` and `app.server.connection`. README.md in this folder lists what that leaves out.
"""

import logging.config
from typing import Any

from ray import serve

from app.errors import CatscopeError
from app.main import create_app
from app.settings import Settings
from app.telemetry import logs


class NotReady(CatscopeError):
    """The replica cannot answer photos yet."""


@serve.deployment(name="catscope")
@serve.ingress()
class Catscope:
    """One replica, configured by the same CATSCOPE_ variables as the service."""

    def __init__(self) -> None:
        settings = Settings.from_environment()
        logging.config.dictConfig(logs.config(settings.log_level, settings.log_format))
        self._app = create_app(settings)
        self._service = self._app.state.service
        self._service.load()  # Ray sends requests once this returns; if it raises, the old replicas stay
        self._reload = None

    def __serve_build_asgi_app__(self) -> Any:
        """The ASGI application; Ray looks for a method of this name."""
        return self._app

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Called when `user_config` is deployed: if its `reload` has changed, load the networks again, as SIGHUP does."""
        requested = config.get("reload")
        if self._reload is not None and requested != self._reload:
            await self._service.reload()
        self._reload = requested

    def check_health(self) -> None:
        """Raises NotReady if the networks are not loaded, when /health/ready answers 503; Ray then replaces the replica."""
        if not self._service.ready:
            raise NotReady(self._service.failure or "The networks are not loaded.")


def build(arguments: dict[str, str]) -> serve.Application:
    """The function that `import_path` in serve.yaml names. It takes no arguments: settings are environment variables."""
    if arguments:
        raise ValueError(f"catscope takes no args, but received {', '.join(arguments)}")
    return Catscope.bind()
