"""The shapes of corrections: one, a page of them with how much is kept, and the form that makes one."""

from typing import Any

from pydantic import BaseModel, Field

from app.corrections.records import Correction, plain, text_of
from app.corrections.store import Kept, Store
from app.schemas import form

FORM = form.form(form.PART, "The photo; left out where `sha256` names one that is kept")
FORM["requestBody"]["required"] = False
FORM["requestBody"]["content"]["multipart/form-data"]["schema"].pop("required")
"""For the endpoint that takes a photo, or the name of one."""


class CorrectionAnswer(BaseModel):
    """A photo that is kept, what a network said about it, and what is right."""

    id: str = Field(examples=["000644a3b2c1d0e5f60718a9"])
    kind: str = Field(description="`corrected`, or `unsure`: kept for review because the verdict was unsure")
    sha256: str = Field(description="Of the photo's bytes; another correction may name it instead of sending the photo")
    label: str | None = Field(description="The right class; null where nobody has said it", examples=["cat"])
    network: str = Field(examples=["cat"])
    version: str = Field(examples=["2.0.0"])
    verdict: str = Field(description="What the network said", examples=["not_cat"])
    probabilities: dict[str, float] = Field(examples=[{"cat": 0.21, "not_cat": 0.79}])
    time: str = Field(description="When it was kept, in UTC", examples=["2026-11-28T01:02:03Z"])
    source: str = Field(description="`page`, `api` or `command`", examples=["page"])
    kept_until: str | None = Field(description="When it is deleted; null: never", examples=["2027-02-26T01:02:03Z"])


class KeptAnswer(BaseModel):
    """How much is kept, for how long and where."""

    corrected: int = Field(examples=[12])
    unsure: int = Field(examples=[3])
    photos: int = Field(examples=[14])
    bytes: int = Field(description="Of the photos", examples=[2481152])
    days: int = Field(description="After which everything is deleted; 0: never", examples=[90])
    where: str = Field(examples=["photos in /var/lib/catscope/photos, the rest in /var/lib/catscope/corrections.db"])


class Corrections(BaseModel):
    """A page of corrections, the latest first."""

    corrections: list[CorrectionAnswer]
    next: str | None = Field(description="What `after` has to be for the next page; null: there is none")
    kept: KeptAnswer


class Deleted(BaseModel):
    """How many corrections were deleted."""

    deleted: int = Field(examples=[15])


EXAMPLE: dict[str, Any] = {
    "id": "000644a3b2c1d0e5f60718a9",
    "kind": "corrected",
    "sha256": "0" * 64,
    "label": "cat",
    "network": "cat",
    "version": "2.0.0",
    "verdict": "not_cat",
    "probabilities": {"cat": 0.21, "not_cat": 0.79},
    "time": "2026-11-28T01:02:03Z",
    "source": "page",
    "kept_until": "2027-02-26T01:02:03Z",
}
LIST_EXAMPLE: dict[str, Any] = {
    "corrections": [EXAMPLE],
    "next": None,
    "kept": {
        "corrected": 1,
        "unsure": 0,
        "photos": 1,
        "bytes": 48211,
        "days": 90,
        "where": "photos in /var/lib/catscope/photos, the rest in /var/lib/catscope/corrections.db",
    },
}
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"model": CorrectionAnswer, "content": {"application/json": {"example": EXAMPLE}}}
}
PHOTO: dict[str, Any] = {"description": "The photo as it was sent", "content": {"image/*": {"schema": form.BINARY}}}
ZIP: dict[str, Any] = {
    "description": "Photos in a folder for each label, those of unsure ones in `unsure`, and corrections.jsonl",
    "content": {"application/zip": {"schema": form.BINARY}},
}


def correction(one: Correction, days: int) -> dict[str, Any]:
    """A correction in the shape of `CorrectionAnswer`; `days` is how long it is kept."""
    until = one.kept_until(days)
    return plain(one) | {"kept_until": None if until is None else text_of(until)}


def corrections(found: list[Correction], more: bool, kept: Kept, store: Store) -> dict[str, Any]:
    """A page in the shape of `Corrections`; `more` says whether another one follows."""
    return {
        "corrections": [correction(one, store.days) for one in found],
        "next": found[-1].id if more else None,
        "kept": {
            "corrected": kept.corrected,
            "unsure": kept.unsure,
            "photos": kept.photos,
            "bytes": kept.bytes,
            "days": store.days,
            "where": store.where,
        },
    }
