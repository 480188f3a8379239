"""What a person asks of the sandbox itself: what runs, the clock, the faults, the calls."""

from typing import TYPE_CHECKING, Any

from tests.sandbox.web import Answer, Request, said

if TYPE_CHECKING:
    from tests.sandbox.sandbox import Sandbox


def respond(sandbox: "Sandbox", request: Request) -> Answer:
    """GET /sandbox, GET /sandbox/calls, POST /sandbox/clock, POST and DELETE /sandbox/faults, POST /sandbox/reset."""
    try:
        match request.method, request.path.rstrip("/"):
            case "GET", "/sandbox":
                return said(state(sandbox))
            case "GET", "/sandbox/calls":
                return said(list(sandbox.calls))
            case "POST", "/sandbox/clock":
                sandbox.clock.advance(float(request.json()["advance_seconds"]))
                return said({"now": sandbox.clock.now().isoformat()})
            case "POST", "/sandbox/faults":
                given = request.json()
                sandbox.faults.add(given["call"], given["fault"], int(given.get("nth", 1)))
                return said(given)
            case "DELETE", "/sandbox/faults":
                sandbox.faults.clear()
                return said({})
            case "POST", "/sandbox/reset":
                sandbox.reset()
                return said({})
    except (ValueError, KeyError, TypeError) as error:
        return said({"error": f"{type(error).__name__}: {error}"}, 400)
    return said({"error": f"no {request.method} {request.path}"}, 404)


def state(sandbox: "Sandbox") -> dict[str, Any]:
    """What there is."""
    vertex = sandbox.vertex
    return {
        "now": sandbox.clock.now().isoformat(),
        "jobs": [{"name": _short(job.name), "state": job.state.name, "error": job.error.message} for job in vertex.pipelines.jobs()],
        "schedules": [_schedule(schedule) for schedule in vertex.schedules.schedules()],
        "models": [
            {"name": _short(model.name), "version": model.version_id, "aliases": list(model.version_aliases), "labels": dict(model.labels)}
            for model in vertex.models.models()
        ],
        "endpoints": [_endpoint(endpoint) for endpoint in vertex.endpoints.endpoints()],
        "batch_predictions": [{"name": _short(job.name), "state": job.state.name} for job in vertex.batch.jobs()],
        "calls": len(sandbox.calls),
    }


def _schedule(schedule: Any) -> dict[str, Any]:
    due = schedule.next_run_time.isoformat() if schedule.next_run_time else None
    return {
        "name": schedule.display_name,
        "cron": schedule.cron,
        "state": schedule.state.name,
        "next": due,
        "runs": schedule.started_run_count,
    }


def _endpoint(endpoint: Any) -> dict[str, Any]:
    deployed = {each.id: f"{_short(each.model)}@{each.model_version_id}" for each in endpoint.deployed_models}
    return {
        "name": _short(endpoint.name),
        "display_name": endpoint.display_name,
        "deployed": deployed,
        "traffic": dict(endpoint.traffic_split),
    }


def _short(name: str) -> str:
    return name.rpartition("/")[2]
