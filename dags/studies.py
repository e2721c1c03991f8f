"""The DAGs of every study: ingest, sdtm, adam and publish, chained by assets (airflow dag)."""

from wiring import study_dags, study_names

for study in study_names():
    for dag in study_dags(study):
        globals()[dag.dag_id] = dag
