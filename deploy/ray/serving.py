"""The service's own application on Ray Serve: `serve deploy deploy/ray/serve.yaml` asks `build` for it.

Each replica is one process with the networks loaded, as `python -m app` would be; Ray's proxy receives the requests in place
of `app.server` and `app.protocol`. What that leaves out stands in the README beside this file.
"""

import logging.config
from typing import Any

from ray import serve

from app import logs
from app.errors import CatscopeError
from app.main import create_app
from app.settings import Settings


class NotReady(CatscopeError):
    """The replica cannot answer photos."""


@serve.deployment(name="catscope")
@serve.ingress()
class Catscope:
    """One replica. Its settings are CATSCOPE_ variables, as everywhere."""

    def __init__(self) -> None:
        settings = Settings.from_environment()
        logging.config.dictConfig(logs.config(settings.log_level, settings.log_format))
        self._app = create_app(settings)
        self._service = self._app.state.service
        self._service.load()  # Ray sends requests as soon as this returns; when it raises, the replicas of before go on
        self._asked = None

    def __serve_build_asgi_app__(self) -> Any:
        """What Ray sends requests to; the name is Ray's."""
        return self._app

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """`user_config` was deployed: when `reload` in it has changed, load the networks again, as SIGHUP does."""
        asked = config.get("reload")
        if self._asked is not None and asked != self._asked:
            await self._service.reload()
        self._asked = asked

    def check_health(self) -> None:
        """Raises NotReady when /health/ready would answer 503 for want of networks; Ray then replaces the replica."""
        if not self._service.ready:
            raise NotReady(self._service.failure or "The networks are not loaded.")


def build(arguments: dict[str, str]) -> serve.Application:
    """What Ray Serve's `import_path` names. It takes no arguments: settings are environment variables."""
    if arguments:
        raise ValueError(f"catscope takes no args; it was given {', '.join(arguments)}")
    return Catscope.bind()
