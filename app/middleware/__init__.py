"""What every request passes before a route sees it, from outside in: request log, admission, API keys, rate limit."""
