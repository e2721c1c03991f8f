"""The DAGs of every study: four stages chained by assets, submission, and dsmb where there is a gate (airflow dag)."""

from wiring import asking_dags, study_dags, study_names

for study in study_names():
    for dag in (*study_dags(study), *asking_dags(study)):
        globals()[dag.dag_id] = dag
