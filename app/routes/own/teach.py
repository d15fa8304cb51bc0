"""POST /teach and the jobs that it begins, and DELETE /models/{network}: people's own classes come in, networks go out."""

import asyncio
import shutil
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from app import problems
from app.errors import InvalidRequest, NotFound
from app.learn.rollback import ASIDE
from app.routes.options import OptionsRoute
from app.routes.parameters import NetworkPath, ServiceNeeded
from app.schemas.own import teach
from app.schemas.own.spool import Spool, Spooled
from app.service import Service
from app.teach.folder import check_start
from app.teach.jobs import Jobs, Photo, unavailable
from app.teach.photos import MOST_CLASSES, MOST_TOGETHER, check, check_name

router = APIRouter(tags=["teaching"], route_class=OptionsRoute)

START = "cat"
"""The network that teaching starts from."""

JobPath = Annotated[str, Path(description="A job, as POST /teach answered it")]
NewName = Annotated[
    str | None,
    Query(
        description="The name of the network, not taken yet. Default: taught, taught-2 and so on.",
        openapi_examples={"default": {"summary": "taught", "value": None}},
    ),
]


@router.post(
    "/teach",
    summary="Teach classes of your own",
    status_code=202,
    response_model=teach.JobAnswer,
    responses=problems.responses(401, 403, 404, 413, 422, 429, 503),
    openapi_extra=teach.FORM,
)
async def post_teach(service: ServiceNeeded, request: Request, network: NewName = None) -> Response:
    """Takes photos of two classes or more, each in a part that is named after its class, and begins a job that teaches a
    network to tell them apart: the convolutions of `cat`, with a judge of each class. GET /teach/{job} says how it goes. The
    photos are deleted when the job ends; the network stays.
    """
    jobs = _jobs(service)
    begin = service.network(START).contract
    check_start(begin)
    await asyncio.to_thread(jobs.free_name, network, service.networks)  # before the photos are sent
    draft = await asyncio.to_thread(jobs.draft)
    started = False
    try:
        seen: Counter[str] = Counter()

        def check_part(name: str) -> None:
            seen[name] += 1
            check_name(name)
            if len(seen) > MOST_CLASSES or seen.total() > MOST_TOGETHER:
                raise InvalidRequest(f"At most {MOST_CLASSES} classes and {MOST_TOGETHER} photos can be taught at once.")

        spool = Spool(draft.photos, ("network",), service.settings.max_bytes, check_part)
        with unavailable("keep the photos until they are taught"):
            await spool.receive(request)
        classes = _classes(spool.files)
        check(classes)
        name = spool.values.get("network") if network is None else network
        job = await asyncio.to_thread(
            jobs.start, draft, name, service.networks, classes, begin.folder, service.settings.max_pixels
        )
        started = True
    finally:
        if not started:
            await asyncio.shield(asyncio.to_thread(draft.discard))
    return JSONResponse(teach.job(job), 202, {"Location": f"{request.scope.get('root_path', '')}/teach/{job.id}"})


@router.get(
    "/teach",
    summary="What was taught, and what is kept of it",
    response_model=teach.Jobs,
    responses=problems.responses(401, 404, 422, 429, 503),
)
async def get_jobs(service: ServiceNeeded) -> dict[str, Any]:
    """Lists the jobs, the newest first, and the networks that were taught here."""
    jobs = _jobs(service)
    known = await asyncio.to_thread(jobs.all)
    taught = [name for name, network in service.networks.items() if service.is_taught(network)]
    size = await asyncio.to_thread(_bytes, jobs)
    return {
        "jobs": [teach.job(job) for job in known],
        "networks": taught,
        "store": {"kept": _kept(jobs), "networks": len(taught), "bytes": size},
    }


@router.get(
    "/teach/{job}",
    summary="How a job goes",
    response_model=teach.JobAnswer,
    responses=problems.responses(401, 404, 422, 429, 503),
)
async def get_job(service: ServiceNeeded, job: JobPath) -> dict[str, Any]:
    """Says how far a job is. When it is done, its network is served."""
    jobs = _jobs(service)
    known = await asyncio.to_thread(jobs.get, job)
    if known.state == "done" and known.network not in service.networks and (jobs.networks / known.network).exists():
        await service.reload()
    return teach.job(known)


@router.delete(
    "/teach/{job}",
    summary="Cancel a job",
    response_model=teach.JobAnswer,
    responses=problems.responses(401, 403, 404, 422, 429, 503),
)
async def delete_job(service: ServiceNeeded, job: JobPath) -> dict[str, Any]:
    """Cancels a job that has not finished: there will be no network, and its photos are deleted. A finished one stays as it
    is; DELETE /models/{network} deletes a network.
    """
    return teach.job(await asyncio.to_thread(_jobs(service).cancel, job))


@router.delete(
    "/models/{network}",
    summary="Delete a network that was taught here",
    status_code=204,
    response_class=Response,
    responses=problems.responses(401, 403, 404, 422, 429, 503),
    tags=["networks"],
)
async def delete_network(service: ServiceNeeded, network: NetworkPath) -> Response:
    """Deletes a network that was taught here, with all that is kept of it. Requests under way are still answered by it."""
    jobs = _jobs(service)
    known = service.network(network)
    if not service.is_taught(known):
        raise NotFound(f"Network {network} was not taught here, so it is not deleted here.")
    with unavailable("delete the network"):
        await asyncio.to_thread(_remove, jobs, network)
    await service.reload()
    return Response(status_code=204)


def _classes(files: list[Spooled]) -> dict[str, list[Photo]]:
    """The photos of each class. Those of one class and file name are numbered."""
    classes: dict[str, list[Photo]] = {}
    names: Counter[str] = Counter()
    for file in files:
        of_class = classes.setdefault(file.name, [])
        name = f"{file.name}/{file.filename or f'photo {len(of_class) + 1}'}"[:300]
        names[name] += 1
        of_class.append(Photo(name if names[name] == 1 else f"{name} ({names[name]})", file.path.name))
    return classes


def _remove(jobs: Jobs, network: str) -> None:
    """It disappears at once, whole; then the versions of it that were rolled back."""
    aside = jobs.networks / f".deleted-{network}"
    shutil.rmtree(aside, ignore_errors=True)
    (jobs.networks / network).rename(aside)
    shutil.rmtree(aside)
    shutil.rmtree(jobs.networks / ASIDE / network, ignore_errors=True)


def _jobs(service: Service) -> Jobs:
    """Raises NotFound where nothing can be taught."""
    if service.jobs is None:
        raise NotFound(service.no_store)
    return service.jobs


def _bytes(jobs: Jobs) -> int:
    return sum(path.stat().st_size for path in jobs.networks.rglob("*") if path.is_file())


def _kept(jobs: Jobs) -> list[str]:
    return [
        f"Networks are kept in {jobs.networks} until you delete them, with the names of the photos that they get wrong and, "
        "of each photo, its SHA-256, its fingerprint and what the network saw in it and in its mirror image and its twin in "
        "integers in it, 1,280 numbers each.",
        "Photos that are taught are deleted when the job ends, whatever its end.",
    ]
