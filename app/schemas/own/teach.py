"""The shapes of what POST /teach takes and what is told about its jobs."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.schemas.form import BINARY
from app.teach.jobs import Job

FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "Each part is a photo of the class that its name names, such as `rose`; at least five of "
                    "each, better twenty. A part `network` without a file's name stands for the parameter.",
                    "minProperties": 2,
                    "additionalProperties": {"type": "array", "items": BINARY},
                }
            }
        },
    }
}


class FigureAnswer(BaseModel):
    """A measured share with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int = Field(description="Photos that it was measured on")


class MistakeAnswer(BaseModel):
    """A photo that was answered wrongly by judges that had not seen it."""

    name: str = Field(description="Class and file's name", examples=["rose/IMG_0001.jpg"])
    shows: str
    said: str
    probability: float = Field(description="Of the class that was said")


class TwinAnswer(BaseModel):
    """What became of the network's twin in integers."""

    refused: str | None = Field(description="Why there is none, null where there is one")
    sets: dict[str, dict[str, int]] = Field(
        description="How the twin answered beside the network, by cross-validation; empty where that was not compared"
    )


class TaughtMetrics(BaseModel, extra="allow"):
    """How good the network is by cross-validation: judges answered photos that they had not seen."""

    folds: int
    photos: int
    alike: int = Field(description="Photos that look like another one")
    accuracy: FigureAnswer
    recall: dict[str, FigureAnswer] = Field(description="By class: the share of its photos that were answered right")
    confusion: list[list[int]] = Field(description="A row for each class that photos show, a column for each that was said")
    decided_accuracy: float = Field(description="Share of right answers among those that are not `unsure`")
    unsure: float = Field(description="Share of photos that are answered `unsure`")
    int8: TwinAnswer | None = Field(None, description="null for what was taught before networks had twins")
    mistakes: list[MistakeAnswer]
    warnings: list[str]


class SkippedAnswer(BaseModel):
    """A photo that was not used."""

    name: str
    why: str


class JobAnswer(BaseModel):
    """How it goes with a network that is being taught."""

    job: str = Field(examples=["0193695c4f2a1-5f0c33aa"])
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    progress: float = Field(description="0..1")
    network: str = Field(description="The network's name, once it is done")
    version: str
    classes: dict[str, int] = Field(description="Photos of each class")
    error: str | None = Field(description="Why it failed")
    metrics: TaughtMetrics | None = Field(description="How good the network is, once it is done")
    warnings: list[str]
    skipped: list[SkippedAnswer]


class StoreAnswer(BaseModel):
    """What is kept of what was taught."""

    kept: list[str] = Field(description="What is kept and where, in sentences")
    networks: int = Field(description="How many networks were taught")
    bytes: int = Field(description="How much they take")


class Jobs(BaseModel):
    """All that was taught, and is being taught."""

    jobs: list[JobAnswer] = Field(description="The newest first; of finished ones, the last 50")
    networks: list[str] = Field(description="Networks that were taught here")
    store: StoreAnswer


def job(job: Job) -> dict[str, Any]:
    """A job in the shape of `JobAnswer`."""
    plain = asdict(job)
    return {"job": plain.pop("id")} | plain
