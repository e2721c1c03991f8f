"""The DAGs of every study: ingest, sdtm, adam and publish, chained by assets, and dsmb with a gate (airflow dag)."""

from wiring import gate_dags, study_dags, study_names

for study in study_names():
    for dag in (*study_dags(study), *gate_dags(study)):
        globals()[dag.dag_id] = dag
