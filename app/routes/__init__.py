"""The endpoints, one file a family; each reads a request, calls a step that knows no HTTP, and shapes the answer."""

from fastapi import Request

from app.service import Service


async def service(request: Request) -> Service:
    """The running service that the application was assembled with. (Async: FastAPI sends other dependencies to a thread.)"""
    found: Service = request.app.state.service
    return found
