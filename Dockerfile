# Cairn's command line and Airflow's services: one image with every package of the hashed lock.
FROM python:3.11.14-slim-bookworm

# Chinese characters of guides and figures.
RUN apt-get update && apt-get install --yes --no-install-recommends fonts-noto-cjk && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 cairn \
    && install --directory --owner=cairn --group=cairn --mode=0750 /var/lib/cairn /var/lib/airflow-auth
WORKDIR /opt/cairn
COPY requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock \
    && sha256sum requirements.lock | cut -d' ' -f1 > .venv/.lock-sha256
COPY cairn pyproject.toml LICENSE ./
COPY docker docker
COPY cdisc_mappings cdisc_mappings
COPY expectations expectations
COPY sql sql
COPY transforms transforms
COPY dags dags
COPY synthetic synthetic

ENV PATH=/opt/cairn/.venv/bin:$PATH \
    PYTHONPATH=/opt/cairn \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CAIRN_HOME=/var/lib/cairn \
    AIRFLOW_HOME=/var/lib/cairn/airflow \
    GX_ANALYTICS_ENABLED=false
USER cairn
ENTRYPOINT ["./cairn"]
CMD ["demo"]
