#!/bin/sh
# Run once before Airflow's services start: folders, the password of the administrator, and the metadata database.
# Running it again changes nothing but a password that changed.
set -eu
umask 077

mkdir -p "$CAIRN_HOME/landing" "$AIRFLOW_HOME/logs"

python - <<'PYTHON'
import json
import os
from pathlib import Path

path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
known[os.environ["AIRFLOW_ADMIN_USER"]] = os.environ["AIRFLOW_ADMIN_PASSWORD"]
fresh = path.with_suffix(".new")
fresh.write_text(json.dumps(known, sort_keys=True) + "\n", encoding="utf-8")
fresh.replace(path)
PYTHON

exec airflow db migrate
