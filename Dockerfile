# Cairn's command line with every package of the hashed lock.
FROM python:3.11.14-slim-bookworm

RUN useradd --create-home --uid 10001 cairn
WORKDIR /opt/cairn
COPY requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock \
    && sha256sum requirements.lock | cut -d' ' -f1 > .venv/.lock-sha256
COPY cairn pyproject.toml ./
COPY transforms transforms
COPY synthetic synthetic
COPY cdisc_mappings cdisc_mappings
COPY sql sql
COPY expectations expectations
COPY dags dags

ENV CAIRN_HOME=/var/lib/cairn
RUN mkdir -p "$CAIRN_HOME" && chown cairn "$CAIRN_HOME"
USER cairn
ENTRYPOINT ["./cairn"]
CMD ["demo"]
