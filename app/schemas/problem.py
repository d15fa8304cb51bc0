"""The shape of an error."""

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = Field(description="What kind of problem it is, a name that never changes")
    title: str = Field(description="The kind of problem in words")
    status: int = Field(description="The HTTP status code")
    detail: str = Field(description="What was received and what is accepted")
    error: str | None = Field(None, description="Below /v2, the same once more, where that protocol's clients look")
