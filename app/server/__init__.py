"""From sockets to requests. Everything that depends on uvicorn's private parts lives here, and nowhere else.

Tested with uvicorn 0.54.0, the only minor version that pyproject.toml allows. Before allowing another, read the changes to
what is overridden, then run tests/security/test_connection.py, tests/app/server and tests/faults:

- connection.py: subclasses `HttpToolsProtocol` (`cycle`, `pipeline`, `parser`, `flow`, `headers`, `url`, `server_state`, its
  parser callbacks, `send_400_response`, `timeout_keep_alive_handler`, `shutdown`, `_unset_keepalive_if_required`).
- body.py: replaces `RequestResponseCycle.receive` for one request and uses its `body`, `more_body`, `message_event`,
  `disconnected`, `response_complete` and `waiting_for_100_continue`.
- uvicorn_setup.py: extends `Server.startup` and `Server.shutdown`, and sets `should_exit`.
"""
