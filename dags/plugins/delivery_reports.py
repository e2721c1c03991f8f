"""The delivery reports inside Airflow: a tab on every DAG and run, behind Airflow's log-in."""

import os
import sys
from html import escape
from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/cairn"


def _reports() -> Path:
    return Path(os.environ["CAIRN_HOME"]) / "reports"


def _pages(study: str) -> list[Path]:
    """The pages of a study, newest first."""
    return sorted((_reports() / study).glob("*.html"), key=lambda path: path.stat().st_mtime, reverse=True)


def _index(study: str, heading: str) -> str:
    """A page that leads to the delivery reports of a study."""
    items = "".join(
        f'<li><a href="{PREFIX}/page/{escape(study)}/{escape(path.name)}">{escape(path.stem)}</a></li>'
        for path in _pages(study)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Delivery reports</title>"
        "<style>body{font:15px/1.6 system-ui,sans-serif;margin:2rem;max-width:50rem}</style>"
        f"<h1>Delivery reports of {escape(study)}</h1><p>{escape(heading)}</p><ul>{items or '<li>none yet</li>'}</ul>"
    )


def _application() -> Any:
    """The web application; only the API server imports what it needs."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI
    from fastapi.responses import HTMLResponse

    from transforms.reporting.delivery import page_name

    # Without this dependency a sub-application asks nobody to log in.
    app = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        "X-Content-Type-Options": "nosniff",
    }

    def answer(path: Path) -> HTMLResponse:
        return HTMLResponse(path.read_text(encoding="utf-8"), headers=headers)

    @app.get("/run/{dag_id}/{run_id}")
    def of_run(dag_id: str, run_id: str) -> HTMLResponse:
        """The page of one run, or the way to the others."""
        study = dag_id.rpartition("_")[0]
        found = [path for path in _pages(study) if path.name == page_name(run_id)]
        if found:
            return answer(found[0])
        return HTMLResponse(
            _index(study, "This run wrote no report: only a publication, or a refusal, does."), headers=headers
        )

    @app.get("/dag/{dag_id}")
    def of_dag(dag_id: str) -> HTMLResponse:
        """The pages of a study."""
        return HTMLResponse(_index(dag_id.rpartition("_")[0], "Newest first."), headers=headers)

    @app.get("/page/{study}/{name}")
    def page(study: str, name: str) -> HTMLResponse:
        """One page by name; only names that a study's folder holds are served."""
        found = [path for path in _pages(study) if path.name == name] if "/" not in study and ".." not in study else []
        return answer(found[0]) if found else HTMLResponse("No such report.", status_code=404, headers=headers)

    return app


def _in_api_server() -> bool:
    return any(part in {"api-server", "api_server"} for one in sys.argv for part in one.split())


class DeliveryReports(AirflowPlugin):
    """The pages, and the tabs that show them."""

    name = "delivery_reports"
    fastapi_apps = (
        [{"app": _application(), "url_prefix": PREFIX, "name": "Delivery reports"}] if _in_api_server() else []
    )
    external_views = [
        {
            "name": "Delivery report",
            "href": f"{PREFIX.removeprefix('/')}/run/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "delivery_report",
        },
        {
            "name": "Delivery reports",
            "href": f"{PREFIX.removeprefix('/')}/dag/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "delivery_reports",
        },
    ]
