"""/corrections and the paths below it: a photo and what it shows come in and are kept; what is kept goes out."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from app import problems
from app.corrections import export
from app.corrections.keeper import record
from app.corrections.records import ID, SHA256
from app.corrections.store import MAX_LISTED, Store
from app.errors import InvalidRequest, StoreUnavailable
from app.inference.predict import PredictOptions
from app.routes.options import OptionsRoute
from app.routes.parameters import NetworkName, ServiceNeeded, VersionName, answered, source
from app.schemas import form, shared
from app.schemas.own import corrections

router = APIRouter(tags=["corrections"], route_class=OptionsRoute)


async def store(service: ServiceNeeded) -> Store:
    """The store, where one is configured."""
    return service.keeper.needed()


StoreNeeded = Annotated[Store, Depends(store)]
Kind = Annotated[Literal["corrected", "unsure"] | None, Query(description="Only these; default: both")]
Of = Annotated[str | None, Query(description="Only what this network said, even if it is no longer served")]
CorrectionId = Annotated[
    str, Path(description="A correction's id", openapi_examples={"one": {"value": corrections.EXAMPLE["id"]}})
]


@router.post(
    "/corrections",
    status_code=201,
    summary="That answer was wrong: keep the photo and what it shows",
    response_model=corrections.CorrectionAnswer,
    responses=corrections.CREATED | problems.responses(401, 403, 404, 413, 415, 422, 429, 503, 504),
    openapi_extra=corrections.FORM,
)
async def post_correction(
    service: ServiceNeeded,
    store: StoreNeeded,
    request: Request,
    label: Annotated[str, Query(description="What the photo shows, a class of the network", max_length=1000)],
    network: NetworkName = None,
    version: VersionName = None,
    sha256: Annotated[
        str | None, Query(description="Of a photo that is kept already, instead of the photo", pattern=f"^{SHA256.pattern}$")
    ] = None,
) -> Response:
    """Keeps the photo, what the network says about it, and what is right. Of several corrections of a photo and a network,
    the last one counts; deleting it makes the one before count again.
    """
    chosen = service.network(network, version)
    if sha256 is None:
        await form.take_options(request)
        photo = await form.file(request)
    else:
        kept = sha256
        photo = await service.keeper.run(lambda: store.photo(kept))
    if label not in chosen.contract.classes:
        raise InvalidRequest(
            f"The label {label[:80]!r} is no class of network {chosen.contract.network}; "
            f"its classes are {', '.join(chosen.contract.classes)}."
        )
    options = PredictOptions("none", precision="float32")  # as people saw it beside its maps
    answer = await service.workers.run(lambda: answered(photo, chosen, options, service))
    correction = record(answer, chosen, source(request), label)
    added = await service.keeper.run(lambda: store.add(correction, photo))
    response = shared.response(corrections.correction(added, store.days))
    response.status_code = 201
    return response


@router.get(
    "/corrections",
    summary="What was corrected, and what is to be reviewed",
    response_model=corrections.Corrections,
    responses=problems.responses(
        *(401, 404, 422, 429, 503, 504), success={"content": {"application/json": {"example": corrections.LIST_EXAMPLE}}}
    ),
)
async def get_corrections(
    service: ServiceNeeded,
    store: StoreNeeded,
    kind: Kind = None,
    network: Of = None,
    day: Annotated[str | None, Query(description="Only of this day in UTC, such as 2026-11-28")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="How many are listed at most")] = 100,
    after: Annotated[str | None, Query(description="The `next` of the page before", pattern=f"^{ID.pattern}$")] = None,
) -> Response:
    """Lists those that count, the latest first: of a photo and a network, the last. Unsure ones are kept where
    `CATSCOPE_KEEP` is `unsure`.
    """
    wanted = None if day is None else _day(day)

    def work() -> Response:
        with suppress(StoreUnavailable):  # what cannot be deleted now can be listed
            store.expire(datetime.now(UTC))
        found = store.list(kind, network, wanted, limit + 1 if limit < MAX_LISTED else limit, after)
        more = len(found) > limit or len(found) == MAX_LISTED
        return shared.response(corrections.corrections(found[:limit], more, store.kept(), store))

    return await service.keeper.run(work)


@router.delete(
    "/corrections",
    summary="Delete everything that was corrected or kept for review",
    response_model=corrections.Deleted,
    responses=problems.responses(401, 403, 404, 422, 429, 503, 504),
)
async def delete_corrections(
    service: ServiceNeeded,
    store: StoreNeeded,
    every: Annotated[Literal["true"], Query(alias="all", description="Has to be said, so that nobody does it by mistake")],
) -> Response:
    """Deletes every correction and every photo, and answers how many corrections there were."""
    return shared.response({"deleted": await service.keeper.run(store.delete_all)})


@router.get(
    "/corrections/export",
    summary="Everything as a zip file",
    response_class=Response,
    responses=problems.responses(401, 404, 422, 429, 503, 504, success=corrections.ZIP),
)
async def get_export(service: ServiceNeeded, store: StoreNeeded, kind: Kind = None, network: Of = None) -> Response:
    """Answers the photos in a folder for each label, as `catscope teach` takes them, and all else in `corrections.jsonl`."""
    await service.keeper.run(store.kept)  # a store that cannot be read is refused with a status
    pieces = export.pieces(lambda: store.all(kind, network), store.photo)
    headers = {"Content-Disposition": 'attachment; filename="corrections.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.get(
    "/corrections/{id}",
    summary="One correction",
    response_model=corrections.CorrectionAnswer,
    responses=problems.responses(
        *(401, 404, 422, 429, 503, 504), success={"content": {"application/json": {"example": corrections.EXAMPLE}}}
    ),
)
async def get_correction(service: ServiceNeeded, store: StoreNeeded, id: CorrectionId) -> Response:
    """Answers what is kept of it."""
    correction = await service.keeper.run(lambda: store.get(id))
    return shared.response(corrections.correction(correction, store.days))


@router.delete(
    "/corrections/{id}",
    status_code=204,
    summary="Delete one correction, or undo it",
    response_class=Response,
    responses=problems.responses(401, 403, 404, 422, 429, 503, 504),
)
async def delete_correction(service: ServiceNeeded, store: StoreNeeded, id: CorrectionId) -> Response:
    """Deletes it, and its photo unless another correction needs it. A correction of the same photo and network from before
    counts again, and a photo that was unsure is to be reviewed again.
    """
    await service.keeper.run(lambda: store.delete(id))
    return Response(status_code=204)


@router.get(
    "/corrections/{id}/photo",
    summary="The photo of a correction",
    response_class=Response,
    responses=problems.responses(401, 404, 422, 429, 503, 504, success=corrections.PHOTO),
)
async def get_photo(service: ServiceNeeded, store: StoreNeeded, id: CorrectionId) -> Response:
    """Answers the photo's bytes as they were sent."""
    photo = await service.keeper.run(lambda: store.photo(store.get(id).sha256))
    media_type, suffix = export.kind_of(photo)
    headers = {"Content-Disposition": f'attachment; filename="photo{suffix}"', "X-Content-Type-Options": "nosniff"}
    return Response(photo, media_type=media_type, headers=headers)


def _day(text: str) -> date:
    """A date as YYYY-MM-DD. Raises InvalidRequest for anything else."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"The day is {text[:40]!r}; it has to be a date such as 2026-11-28.") from None
