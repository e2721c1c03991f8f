"""How the stages of a study hang together in Airflow: schedule, wiring and what people read about each task.

Everything a task does is one call of `transforms.steps`. Nothing heavy is imported here, since the scheduler reads
these files again and again.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    Param,
    TriggerRule,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
MAPPINGS = ROOT / "cdisc_mappings"
SCHEDULE = "CAIRN_INGEST_SCHEDULE"
EVERY_FIVE_MINUTES = "*/5 * * * *"
AGENCIES = ("fda", "nmpa")
DEFAULTS = {"owner": "data management", "retries": 2, "retry_delay": timedelta(seconds=20)}


def study_names() -> list[str]:
    """Folders under cdisc_mappings/ with a study.yml, and those that CAIRN_STUDIES names by path."""
    own = [path.parent.name for path in sorted(MAPPINGS.glob("*/study.yml"))]
    return own + [one for one in os.environ.get("CAIRN_STUDIES", "").split(os.pathsep) if one]


def asset(study: str, stage: str) -> Asset:
    """What a stage of a study hands on: staged, sdtm, adam, published; and decisions, which people make."""
    return Asset(name=f"{Path(study).name}_{stage}", uri=f"cairn://{Path(study).name}/{stage}")


def study_dags(study: str) -> Iterator[DAG]:
    """The four stages of a study, given by name or by path."""
    yield ingest_dag(study)
    yield sdtm_dag(study)
    yield adam_dag(study)
    yield publish_dag(study)


def asking_dags(study: str) -> Iterator[DAG]:
    """The DAGs that wait for people: who approves a submission, and the board where there is a gate."""
    yield submission_dag(study)
    if (MAPPINGS / study / "gate.yml").is_file():
        yield dsmb_dag(study)


def step(function: str, *arguments: Any, **options: Any) -> Any:
    """Call a step. Bad data and wrong configuration fail at once, a fault is tried again; neither shows data."""
    from transforms import steps
    from transforms.errors import CairnError, MachineError, StaleSnapshotError

    try:
        return getattr(steps, function)(*arguments, **options)
    except StaleSnapshotError as error:
        raise AirflowSkipException(str(error)) from None
    except CairnError as error:
        _tell(error.exit_code, str(error))
        kind = AirflowFailException if error.exit_code in {2, 3} else AirflowException
        raise kind(str(error)) from None
    except OSError as error:
        said = str(MachineError.of(error))
        _tell(1, said)
        raise AirflowException(said) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"a fault of Cairn itself ({type(error).__name__} at {Path(place.filename).name}:{place.lineno})"
        _tell(1, said)
        raise AirflowException(f"{said}. An earlier publication stands") from None


def _tell(exit_code: int, message: str) -> None:
    """Leave an error where `dags.run` finds it."""
    path = os.environ.get("CAIRN_DAG_ERRORS")
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"exit_code": exit_code, "message": message}, ensure_ascii=False) + "\n")


def told_ids() -> list[str]:
    """The snapshot ids this run is about: from its configuration, else from all queued asset events, oldest first."""
    context = get_current_context()
    given = context["params"].get("snapshot_id")
    if given:
        return [given]
    events = [one for several in context["triggering_asset_events"].values() for one in several]
    ids = [one.extra.get("snapshot_id") for one in sorted(events, key=lambda one: one.timestamp)]
    return list(dict.fromkeys(one for one in ids if one))


def _to_do(study: str, stage: str) -> list[str]:
    """The ids told that this stage has not processed yet."""
    ids = step("to_do", study, stage, told_ids())
    if not ids:
        raise AirflowSkipException("everything told of is done already")
    return list(ids)


def _hand_on(made: Asset, ids: list[str], outlet_events: Any) -> None:
    """One event per run; it carries the newest id, and all of them where several were processed."""
    outlet_events[made].extra = {"snapshot_id": ids[-1], "snapshot_ids": ids}


def _dag(study: str, stage: str, schedule: Any, doc: str, params: dict[str, Any]) -> DAG:
    name = Path(study).name
    return DAG(
        dag_id=f"{name}_{stage}",
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        params=params,
        tags=[name, stage],
        doc_md=doc,
        render_template_as_native_obj=False,
    )


def _snapshot_param() -> dict[str, Any]:
    return {"snapshot_id": Param(None, type=["null", "string"], description="Only this snapshot; else those told of.")}


def ingest_dag(study: str) -> DAG:
    """From landing to checked, staged rows."""
    staged = asset(study, "staged")
    schedule = AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(os.environ.get(SCHEDULE, EVERY_FIVE_MINUTES), timezone="UTC"),
        assets=asset(study, "decisions"),
    )
    params = {
        "landing": Param(None, type=["null", "string"], description="Another folder than CAIRN_HOME/landing."),
        "as_of": Param(None, type=["null", "string"], description="Cut-off, YYYY-MM-DD."),
        "placement": Param(None, type=["null", "string"], description="Where instruments go."),
        "again": Param(False, type="boolean", description="Build even what is published or under way already."),
    }
    with _dag(study, "ingest", schedule, INGEST, params) as dag:

        @task(doc_md=LOOK)
        def look() -> list[str]:
            found = step("pending", study, get_current_context()["params"]["landing"])
            for name in found["waiting"]:
                LOG.info("%s: still growing, or not as its manifest says; looked at again next time", name)
            return list(found["deliveries"])

        @task(doc_md=TAKE, map_index_template="{{ task.op_kwargs['delivery'] }}")
        def take(delivery: str) -> dict[str, Any]:
            context = get_current_context()
            landing = context["params"]["landing"]
            return dict(step("take", study, delivery, landing, context["dag_run"].run_id))

        @task(doc_md=OPEN, trigger_rule=TriggerRule.ALL_DONE)
        def open_snapshot(deliveries: list[str] | None) -> str:
            context = get_current_context()
            if deliveries is None:
                raise AirflowFailException("landing could not be read; see the task look")
            params = context["params"]
            opened = step(
                "open_snapshot", study, params["as_of"], params["placement"], context["dag_run"].run_id, params["again"]
            )
            if opened is None:
                raise AirflowSkipException("nothing new: what there is, is published or under way")
            return str(opened)

        @task(doc_md=STAGE, outlets=[staged])
        def stage(snapshot_id: str, *, outlet_events: Any) -> dict[str, int]:
            rows = step("stage", study, snapshot_id)
            _hand_on(staged, [snapshot_id], outlet_events)
            return dict(rows)

        @task(doc_md=REFUSED, trigger_rule=TriggerRule.ONE_FAILED, retries=0)
        def refused() -> None:
            context = get_current_context()
            page = step("report", study, context["dag_run"].run_id)
            raise AirflowFailException(f"a delivery was refused: see the red squares of take, and the report {page}")

        deliveries = look()
        taken = take.expand(delivery=deliveries)
        opened = open_snapshot(deliveries)
        taken >> opened
        stage(opened)
        taken >> refused()
    return dag


def sdtm_dag(study: str) -> DAG:
    """From staged rows to SDTM datasets."""
    made = asset(study, "sdtm")
    with _dag(study, "sdtm", [asset(study, "staged")], SDTM, _snapshot_param()) as dag:

        @task(doc_md=SNAPSHOTS)
        def snapshots() -> list[str]:
            return _to_do(study, "sdtm")

        @task(doc_md=PLAN)
        def plan(ids: list[str]) -> list[dict[str, str]]:
            return [{"snapshot_id": one, "domain": name} for one in ids for name in step("domains", study, one)]

        @task(doc_md=MAP, map_index_template="{{ task.op_kwargs['domain'] }}")
        def map_domain(snapshot_id: str, domain: str) -> dict[str, int]:
            return dict(step("map_domain", study, snapshot_id, domain))

        @task(doc_md=FINISH_SDTM, map_index_template="{{ task.op_kwargs['snapshot_id'] }}")
        def finish_sdtm(snapshot_id: str) -> dict[str, int]:
            return dict(step("finish_sdtm", study, snapshot_id))

        @task(doc_md=HAND_ON, outlets=[made])
        def hand_on(ids: list[str], *, outlet_events: Any) -> None:
            _hand_on(made, ids, outlet_events)

        ids = snapshots()
        finished = finish_sdtm.expand(snapshot_id=ids)
        map_domain.expand_kwargs(plan(ids)) >> finished >> hand_on(ids)
    return dag


def adam_dag(study: str) -> DAG:
    """From SDTM to analysis datasets and the finished snapshot."""
    made = asset(study, "adam")
    with _dag(study, "adam", [asset(study, "sdtm")], ADAM, _snapshot_param()) as dag:

        @task(doc_md=SNAPSHOTS)
        def snapshots() -> list[str]:
            return _to_do(study, "adam")

        @task(doc_md=PLAN)
        def plan(ids: list[str]) -> list[dict[str, str]]:
            return [{"snapshot_id": one, "dataset": name} for one in ids for name in step("analyses", study, one)]

        @task(doc_md=DERIVE, map_index_template="{{ task.op_kwargs['dataset'] }}")
        def derive(snapshot_id: str, dataset: str) -> dict[str, int]:
            return dict(step("derive", study, snapshot_id, dataset))

        # A study without analysis datasets derives nothing and goes on.
        @task(
            doc_md=FINISH_ADAM,
            map_index_template="{{ task.op_kwargs['snapshot_id'] }}",
            trigger_rule=TriggerRule.NONE_FAILED,
        )
        def finish_adam(snapshot_id: str) -> dict[str, int]:
            return dict(step("finish_adam", study, snapshot_id))

        @task(doc_md=ANALYSE, map_index_template="{{ task.op_kwargs['snapshot_id'] }}")
        def analyse(snapshot_id: str) -> int:
            return int(step("analyse", study, snapshot_id))

        @task(doc_md=CLOSE, map_index_template="{{ task.op_kwargs['snapshot_id'] }}")
        def close(snapshot_id: str) -> dict[str, Any]:
            return dict(step("close", study, snapshot_id))

        @task(doc_md=HAND_ON, outlets=[made])
        def hand_on(ids: list[str], *, outlet_events: Any) -> None:
            _hand_on(made, ids, outlet_events)

        ids = snapshots()
        finished = finish_adam.expand(snapshot_id=ids)
        analysed = analyse.expand(snapshot_id=ids)
        closed = close.expand(snapshot_id=ids)
        derive.expand_kwargs(plan(ids)) >> finished >> analysed >> closed >> hand_on(ids)
    return dag


def publish_dag(study: str) -> DAG:
    """From a finished snapshot to what readers see."""
    made = asset(study, "published")
    with _dag(study, "publish", [asset(study, "adam")], PUBLISH, _snapshot_param()) as dag:

        @task(doc_md=SNAPSHOTS)
        def snapshots() -> list[str]:
            return _to_do(study, "publish")

        @task(doc_md=PLAN)
        def plan(ids: list[str]) -> list[dict[str, str]]:
            return [{"snapshot_id": one, "table": name} for one in ids for name in step("tables", study, one)]

        @task(doc_md=LOAD, map_index_template="{{ task.op_kwargs['table'] }}")
        def load(snapshot_id: str, table: str) -> dict[str, Any]:
            return dict(step("load", study, snapshot_id, table))

        @task(doc_md=PUBLISH_TASK, outlets=[made])
        def publish(ids: list[str], *, outlet_events: Any) -> dict[str, Any]:
            run_id = get_current_context()["dag_run"].run_id
            results = [step("publish", study, one, run_id) for one in ids]
            _hand_on(made, ids, outlet_events)
            return dict(results[-1])

        ids = snapshots()
        load.expand_kwargs(plan(ids)) >> publish(ids)
    return dag


def dsmb_dag(study: str) -> DAG:
    """From a published snapshot to a decision of the board, for each cohort that is ready and undecided."""
    from airflow.providers.standard.operators.hitl import HITLOperator

    decisions = asset(study, "decisions")
    with _dag(study, "dsmb", [asset(study, "published")], DSMB, _snapshot_param()) as dag:

        @task(doc_md=QUESTIONS)
        def questions() -> list[dict[str, Any]]:
            ids = told_ids()
            found = step("open_questions", study, ids[-1]) if ids else []
            if not found:
                raise AirflowSkipException("no cohort is ready and undecided")
            return list(found)

        @task(doc_md=PREPARE)
        def prepare(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [
                {
                    "subject": f"{Path(study).name}: decision on dose cohort {one['cohort']}, cut-off {one['cut_off']}",
                    "body": BODY.format(**one),
                    "options": [*one["outcomes"], NO_DECISION],
                }
                for one in found
            ]

        # The form holds the day of the decision and the minutes; the person is the one who is logged in.
        ask = HITLOperator.partial(
            task_id="ask",
            doc_md=ASK,
            map_index_template="{{ task.subject }}",
            params={
                "date": Param("", type="string", description="Day of the decision, YYYY-MM-DD."),
                "reason": Param("", type="string", description="Reference of the minutes."),
            },
        )

        @task(doc_md=RECORD, outlets=[decisions])
        def record(found: list[dict[str, Any]], answers: Any, *, outlet_events: Any) -> list[dict[str, Any]]:
            recorded = []
            for one, answer in zip(found, answers, strict=True):
                outcome, said = answer["chosen_options"][0], answer["params_input"]
                if outcome == NO_DECISION:
                    continue
                by = _name_of(answer["responded_by_user"])
                recorded.append(
                    step(
                        "decide_cohort",
                        study,
                        one["cohort"],
                        outcome,
                        said.get("date") or "",
                        by,
                        said.get("reason") or "",
                        one["snapshot_id"],
                    )
                )
            if not recorded:
                raise AirflowSkipException("no decision was taken")
            outlet_events[decisions].extra = {"decisions": [one["decision"] for one in recorded]}
            return recorded

        found = questions()
        answers = ask.expand_kwargs(prepare(found))
        record(found, answers.output)
    return dag


def submission_dag(study: str) -> DAG:
    """From a locked snapshot to a package that a person approved; started by hand."""
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    params = {
        "agency": Param("fda", type="string", enum=list(AGENCIES), description="Whose rules and labels."),
        "snapshot_id": Param(None, type=["null", "string"], description="A locked snapshot; else the current."),
    }
    with _dag(study, "submission", None, SUBMISSION, params) as dag:

        @task(doc_md=PACKAGE)
        def package() -> dict[str, Any]:
            given = get_current_context()["params"]
            made = dict(step("package", study, given["agency"], given["snapshot_id"]))
            return {**made, "body": _approval_body(made)}

        # The form holds the reason; the person is the one who is logged in.
        approve = ApprovalOperator(
            task_id="approve",
            doc_md=APPROVE,
            subject=f"{Path(study).name}: submission package for " + "{{ params.agency }}",
            body="{{ ti.xcom_pull(task_ids='package')['body'] }}",
            params={
                "reason": Param("", type="string", description="Why it may leave, for example the review's minutes.")
            },
        )

        @task(doc_md=RECORD_APPROVAL)
        def record(made: dict[str, Any], answer: Any) -> dict[str, Any]:
            said = answer["params_input"].get("reason") or ""
            person = _name_of(answer["responded_by_user"])
            return dict(
                step("approve_package", study, made["snapshot_id"], made["agency"], made["sha256"], person, said)
            )

        made = package()
        made >> approve
        record(made, approve.output)
    return dag


def _name_of(person: Any) -> str:
    """The name of who answered, as Airflow hands it on."""
    return str(person["name"] if isinstance(person, dict) else person.name)


def _approval_body(made: dict[str, Any]) -> str:
    critical, absent = ("\n".join(f"- {one}" for one in made[name]) or "- none" for name in ("critical", "not_run"))
    return APPROVAL_BODY.format(**made | {"critical": critical, "not_run": absent})


INGEST = """
### Taking deliveries
Looks into `landing/`, takes every delivery that is whole, begins a snapshot and stages it: types, keys, duplicates,
checks. Runs every few minutes, and at once when somebody releases, answers or decides.

**A red square in `take`** is a delivery that was refused, whole: the square's name is the file or manifest, its log
says which rule it broke and what to do. Other deliveries go on. Nothing of the refused one is in the data; what was
published before stands.
"""
SDTM = """
### Mapping to SDTM
Maps each domain of the snapshot on its own, then numbers the links between them and checks all datasets.

**A red square in `map_domain`** is a fault of the mapping or of the machine, never of the data: data that cannot be
mapped are held and become findings. It was tried three times. Ask the programmer, with the log.
"""
ADAM = """
### Deriving analysis datasets
Derives each analysis dataset, checks them, computes the results that tables and figures show, and finishes the
snapshot. After this it never changes.

**A red square in `derive` or `analyse`** is a fault of the derivation, of the outputs' specification or of the machine.
Ask the programmer, with the log.
"""
PUBLISH = """
### Publishing
Loads the finished snapshot into PostgreSQL, where nobody sees it yet, then makes it the current one in the database
and in the files. Readers see the old snapshot or the new one, never a mix. The **Delivery report** tab of a run says
what arrived, what is held, what must be answered and what changed.

**A red square** means that what was published before still stands. The log says why: the database is down, the disk is
full, or the current snapshot is locked.
"""
DSMB = """
### Asking the board
Runs after each publication. For every dose cohort that is ready and on which nothing is decided it writes the safety
package and waits, under **Required Actions**, for the outcome, the day and the reference of the minutes. The answer is
recorded with the name of the person logged in, like `./cairn decide`, and the next snapshot holds it. Nothing is asked
anew while a question is open; its package and its decision are of the snapshot named in it.

**A red square in `record`** is an answer that is no decision: the log says what is wrong (a day before the cut-off,
no reference). Clear `ask` to be asked again.
"""
SUBMISSION = """
### Submitting
Started by hand, with the agency and the snapshot (else the current one). It writes the submission package of a locked
snapshot, checks it, and waits, under **Required Actions**, for a person who approves it. Until then nothing leaves.
What is approved is recorded with the name of the person logged in and the sha256 of the archive, like
`./cairn approve`, and a copy that nobody may write to lies in `exports/<study>/approved/`: that file is the one to
send.

**A red square in `package`** is a package that was refused, and nothing of it was written: the log says every reason,
such as a snapshot that is not locked, a critical finding that nobody answered or waived, or a line of the checklist.
**A red square in `record`** is an approval that was refused: the package or the decisions changed since it was read, or
the reason is missing. Start the DAG again and read the new package; where only the reason is missing, clear `approve`.
**Reject** sends nothing: `record` is skipped.
"""
APPROVAL_BODY = """\
Snapshot `{snapshot_id}`, cut-off {cut_off}, locked by {locked}. {datasets} datasets, {records} records.

Read before: `{page}`, the guides and define.html below `m5`.

Critical findings and who answers for them:

{critical}

Checks that were not run:

{not_run}

Archive `{archive}`, sha256 `{sha256}`.
"""
BODY = """\
Snapshot `{snapshot_id}`, cut-off {cut_off}: {n_dosed} dosed, {n_observed} observed, {n_evaluable} evaluable,
{n_dlt} with dose-limiting toxicity.

Safety package: `{package}` (read `safety.html`).
"""
NO_DECISION = "NO DECISION YET"
QUESTIONS = (
    "Writes the package of each cohort that is ready and undecided. Skipped: there is none. Red: the disk is full."
)
PREPARE = "Words the questions."
ASK = (
    "Waits for the board, one square per cohort. If the machine fails while an answer comes in, it is asked again. "
    "Red: the answer could not be read."
)
RECORD = (
    "Records each answer with the person's name. Red: the answer is refused; the log says why. Clear ask to repeat."
)
PACKAGE = (
    "Writes the package and reads every file of it back. Red: it is refused, and nothing is written; the log says why."
)
APPROVE = (
    "Waits for the person who approves or rejects the package, with the reason. Rejected: nothing leaves. Red: the "
    "answer could not be read."
)
RECORD_APPROVAL = (
    "Checks the archive once more, records who approved it and why, and lays the copy to send. Skipped: it was "
    "rejected. Red: the package or the decisions changed since it was read, or there is no reason; the log says which."
)
LOOK = (
    "What lies in landing. A file that still grows is not listed; it is looked at again next time. Red: "
    "landing cannot be read."
)
TAKE = "Takes one delivery into the raw store. Red: it was refused; the log says which rule it broke and what to do."
OPEN = (
    "Begins the snapshot of all that is known now. Skipped: nothing is new. Red: no cut-off, a lock, or an altered log."
)
STAGE = (
    "Types, keys, duplicates and checks of every source; rows that cannot be interpreted are held. Red: a "
    "fault of ours."
)
REFUSED = "Red when a delivery was refused, so that the run is red too. Everything else went on."
SNAPSHOTS = "The snapshots told of by the stage before that are not done yet, oldest first. Skipped: all are done."
PLAN = "What there is to do, one square each in the next task."
MAP = (
    "Maps one domain with its supplemental qualifiers. Red: a fault of the mapping or the machine; ask the programmer."
)
FINISH_SDTM = (
    "Numbers the links between domains and checks the datasets. Red: a fault of ours; data give findings instead."
)
HAND_ON = "Tells the next stage which snapshots are ready."
DERIVE = "Derives one analysis dataset. Red: a fault of the derivation or the machine; ask the programmer."
FINISH_ADAM = "Joins and checks the analysis datasets. Red: a fault of ours; data give findings instead."
ANALYSE = "Computes the results of every table and figure. Red: a fault of ours, or data that an analysis cannot take."
CLOSE = "Writes the manifest; from here on the snapshot never changes. Red: the disk is full, or a fault of ours."
LOAD = "Loads one dataset into PostgreSQL, unseen until it is published. Red: the database is down or its disk full."
PUBLISH_TASK = "Moves the pointers and writes the delivery report. Red: what was published before still stands."
