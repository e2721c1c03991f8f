"""docker-compose.yml, Dockerfile and .env.example hold together; no engine is needed to say so.

Each check is a function from a deployment to the problems it finds, and each is shown a broken deployment.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
INSTALLED = "/opt/cairn/"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?])([^}]*))?\}")
SECRET = re.compile(r"(PASSWORD|SECRET|KEY)$")
ONCE = "service_completed_successfully"


@dataclass(frozen=True)
class Deployment:
    """The files that deploy Cairn, as text."""

    compose: str
    dockerfile: str
    example: str
    ignored: str

    @cached_property
    def content(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(self.compose)
        return loaded

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        services: dict[str, dict[str, Any]] = self.content["services"]
        return services

    @property
    def settings(self) -> dict[str, str]:
        """The variables of .env.example, those commented out as well."""
        lines = [line.removeprefix("#") for line in self.example.splitlines()]
        return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z][A-Z_]*=", line))

    @property
    def instructions(self) -> list[list[str]]:
        lines = re.sub(r"\\\n\s*", " ", self.dockerfile).splitlines()
        return [line.split() for line in lines if line.strip() and not line.startswith("#")]


def read() -> Deployment:
    names = ("docker-compose.yml", "Dockerfile", ".env.example", ".dockerignore")
    return Deployment(*((ROOT / name).read_text(encoding="utf-8") for name in names))


def words(service: dict[str, Any]) -> Iterator[str]:
    """Every word of what a service runs: entrypoint, command and health check."""
    for part in (service.get("entrypoint"), service.get("command"), service.get("healthcheck", {}).get("test")):
        for word in [part] if isinstance(part, str) else part or []:
            yield from shlex.split(word)


def environments(deployment: Deployment) -> Iterator[tuple[str, str, str]]:
    for name, service in deployment.services.items():
        for variable, value in (service.get("environment") or {}).items():
            yield name, variable, str(value)


class Unique(yaml.SafeLoader):
    """A loader that takes no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"{', '.join(twice)} stands twice in one mapping, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def check_yaml(deployment: Deployment) -> list[str]:
    try:
        yaml.load(deployment.compose, Unique)
        events = list(yaml.parse(deployment.compose))
    except yaml.YAMLError as error:
        return [str(error)]
    anchors = {e.anchor for e in events if getattr(e, "anchor", None) and not isinstance(e, yaml.AliasEvent)}
    aliases = {event.anchor for event in events if isinstance(event, yaml.AliasEvent)}
    return [f"anchor {one} is used nowhere" for one in sorted(anchors - aliases)]


def check_schema(deployment: Deployment) -> list[str]:
    schema = json.loads((DATA / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema)
    return [f"{'/'.join(map(str, e.path))}: {e.message[:200]}" for e in validator.iter_errors(deployment.content)]


def check_dependencies(deployment: Deployment) -> list[str]:
    problems = []
    for name, service in deployment.services.items():
        depends = service.get("depends_on") or {}
        if isinstance(depends, list):
            problems.append(f"{name} waits for no condition of {', '.join(depends)}")
            continue
        for other, how in depends.items():
            target = deployment.services.get(other)
            if target is None:
                problems.append(f"{name} depends on {other}, which is no service")
                continue
            if how["condition"] == "service_healthy" and not target.get("healthcheck"):
                problems.append(f"{name} waits until {other} is healthy, which has no health check")
            if how["condition"] == ONCE and target.get("restart") != "no":
                problems.append(f"{name} waits until {other} has ended, which restarts")
            if not set(target.get("profiles", ())) <= set(service.get("profiles", ())):
                problems.append(f"{name} depends on {other}, which only a profile starts")
    return problems


def check_volumes(deployment: Deployment) -> list[str]:
    declared, used, problems = set(deployment.content.get("volumes") or {}), set(), []
    for name, service in deployment.services.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (ROOT / source).is_file():
                    problems.append(f"{name} mounts {source}, which is not there")
            else:
                used.add(source)
                if source not in declared:
                    problems.append(f"{name} mounts the volume {source}, which is not declared")
    return problems + [f"the volume {one} is used nowhere" for one in sorted(declared - used)]


def check_networks(deployment: Deployment) -> list[str]:
    declared, used, problems = set(deployment.content.get("networks") or {}), set(), []
    for name, service in deployment.services.items():
        own = set(service.get("networks") or ())
        used |= own
        if not own:
            problems.append(f"{name} is on no network of its own choice")
        problems += [f"{name} is on {one}, which is no network" for one in sorted(own - declared)]
        if service.get("ports") and all((deployment.content["networks"].get(n) or {}).get("internal") for n in own):
            problems.append(f"{name} publishes a port but is on internal networks only")
    return problems + [f"the network {one} is used nowhere" for one in sorted(declared - used)]


def check_reachable(deployment: Deployment) -> list[str]:
    """Hosts named in addresses are services on a network the service is on too."""
    problems = []
    for name, variable, value in environments(deployment):
        host = re.search(r"://(?:[^@/]*@)?([a-z][a-z-]*):\d+", VARIABLE.sub("x", value))
        if host is None:
            continue
        target = deployment.services.get(host[1])
        if target is None:
            problems.append(f"{name}: {variable} names the host {host[1]}, which is no service")
        elif not set(target["networks"]) & set(deployment.services[name]["networks"]):
            problems.append(f"{name}: {variable} names {host[1]}, which is on none of its networks")
    return problems


def check_files(deployment: Deployment) -> list[str]:
    problems = []
    for name, service in deployment.services.items():
        files = service.get("env_file") or []
        for file in [files] if isinstance(files, str) else files:
            path = file if isinstance(file, str) else file["path"]
            if not (ROOT / path).is_file():
                problems.append(f"{name} reads {path}, which is not there")
        build = service.get("build")
        if build:
            context = ROOT / (build if isinstance(build, str) else build["context"])
            recipe = "Dockerfile" if isinstance(build, str) else build.get("dockerfile", "Dockerfile")
            if not (context / recipe).is_file():
                problems.append(f"{name} is built from {recipe} of {context}, which is not there")
    return problems


def check_programs(deployment: Deployment) -> list[str]:
    """Programs and scripts that services run are in the image: packages of the lock, or files that are copied."""
    copied = [source for step in deployment.instructions if step[0] == "COPY" for source in step[1:-1]]
    scripts = {one.name for one in importlib.metadata.entry_points(group="console_scripts")}
    problems = []
    for name, service in deployment.services.items():
        if not service.get("build"):
            continue
        for word in words(service):
            if word.startswith(INSTALLED):
                path = word.removeprefix(INSTALLED)
                if not (ROOT / path).is_file() or path.split("/")[0] not in copied:
                    problems.append(f"{name} runs {word}, which the image does not hold")
        program = (service.get("entrypoint") or ["./cairn"])[0]
        if program.startswith(INSTALLED) and (ROOT / program.removeprefix(INSTALLED)).is_file():
            if not (ROOT / program.removeprefix(INSTALLED)).stat().st_mode & stat.S_IXUSR:
                problems.append(f"{name} runs {program}, which is not executable")
        elif "/" not in program and program not in scripts:
            problems.append(f"{name} runs {program}, which no package of the lock installs")
        elif program == "airflow" and service["command"][0] not in commands():
            problems.append(f"{name} runs airflow {service['command'][0]}, which is no command of Airflow")
    return problems


@cache
def commands() -> frozenset[str]:
    """Airflow's commands, asked of Airflow in a process and a home of its own."""
    code = "import json; from airflow.cli.cli_config import core_commands as c; print(json.dumps([x.name for x in c]))"
    environment = {**os.environ, "AIRFLOW_HOME": str(ROOT / ".pytest_cache" / "airflow")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return frozenset(json.loads(run.stdout.splitlines()[-1])) | {"celery"}


def check_secrets(deployment: Deployment) -> list[str]:
    problems = []
    found = [(one[1], one[2] or "", one[3] or "") for one in VARIABLE.finditer(deployment.compose)]
    for variable, operator, message in found:
        if SECRET.search(variable) and (operator != ":?" or not message):
            problems.append(f"{variable} is a secret and must be ${{{variable}:?message}}")
    for name, variable, value in environments(deployment):
        if (SECRET.search(variable) or "AUTH" in variable.split("_")[-1]) and not VARIABLE.fullmatch(value):
            problems.append(f"{name}: {variable} is a secret and must come from a variable alone")
        if re.search(r"://[^/@:]*:(?!\$@)[^/@]+@", VARIABLE.sub("$", value)):
            problems.append(f"{name}: {variable} holds a password in its address")
    return problems


def check_example(deployment: Deployment) -> list[str]:
    used = {one[1]: one[3] or "" for one in VARIABLE.finditer(deployment.compose)}
    settings = deployment.settings
    known = set(settings) - {"COMPOSE_PROFILES"}
    problems = [f"{one} is not explained in .env.example" for one in sorted(set(used) - known)]
    problems += [f"{one} of .env.example is used nowhere" for one in sorted(known - set(used))]
    lines = deployment.example.splitlines()
    for variable, value in settings.items():
        if SECRET.search(variable) and value:
            problems.append(f"{variable} has a default in .env.example")
        if variable in used and not SECRET.search(variable) and f"{variable}={used[variable]}" not in lines:
            problems.append(f"{variable} has one default in .env.example and another in docker-compose.yml")
    return problems


def check_pinned(deployment: Deployment) -> list[str]:
    images = {name: service["image"] for name, service in deployment.services.items() if "image" in service}
    images |= {f"FROM {n}": step[1] for n, step in enumerate(deployment.instructions) if step[0] == "FROM"}
    exact = re.compile(r"[a-z0-9./-]+(?::v?\d+\.\d+(\.\d+)?[a-z0-9.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})")
    return [
        f"{name}: {image} is not pinned to a version" for name, image in images.items() if not exact.fullmatch(image)
    ]


@cache
def airflow_options() -> frozenset[str]:
    """Every option of Airflow and of its Celery provider, as an environment variable; read, not imported."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    sections = yaml.safe_load((folder / "config_templates" / "config.yml").read_text(encoding="utf-8"))
    provider = runpy.run_path(str(folder / "providers" / "celery" / "get_provider_info.py"))["get_provider_info"]()
    return frozenset(
        f"AIRFLOW__{section}__{option}".upper()
        for config in (sections, provider["config"])
        for section, content in config.items()
        for option in content["options"]
    )


def check_airflow(deployment: Deployment) -> list[str]:
    found = {variable for _, variable, _ in environments(deployment) if variable.startswith("AIRFLOW__")}
    if len(found) < 10:
        return ["there is hardly an option of Airflow to check"]
    return [f"{one} is no option of Airflow" for one in sorted(found - airflow_options())]


def check_walls(deployment: Deployment) -> list[str]:
    """Nothing runs as root in our image, holds more rights than it needs, or listens to the whole world."""
    problems = []
    for name, service in deployment.services.items():
        if service.get("privileged") or service.get("network_mode") == "host" or service.get("user") in {"root", "0"}:
            problems.append(f"{name} has the rights of its host")
        if "no-new-privileges:true" not in service.get("security_opt", ()):
            problems.append(f"{name} may gain privileges")
        if service.get("build") and (not service.get("read_only") or service.get("cap_drop") != ["ALL"]):
            problems.append(f"{name} can write to its image or has capabilities")
        problems += [
            f"{name} publishes {port} to every address"
            for port in service.get("ports", ())
            if not str(port).startswith("127.0.0.1:")
        ]
    users = [step[1] for step in deployment.instructions if step[0] == "USER"]
    if not users or users[-1] in {"root", "0"}:
        problems.append("the image runs as root")
    return problems


def check_life(deployment: Deployment) -> list[str]:
    """What runs for long says whether it is well and comes back; what runs once ends."""
    once = {
        other
        for service in deployment.services.values()
        for other, how in (service.get("depends_on") or {}).items()
        if how["condition"] == ONCE
    }
    problems = []
    for name, service in deployment.services.items():
        if name in once or "cli" in service.get("profiles", ()):
            continue
        if not service.get("healthcheck"):
            problems.append(f"{name} has no health check")
        if service.get("restart") not in {"unless-stopped", "always"}:
            problems.append(f"{name} does not come back")
    return problems


def check_dockerfile(deployment: Deployment) -> list[str]:
    problems = []
    patterns = [line.strip() for line in deployment.ignored.splitlines() if line.strip()]
    for step in deployment.instructions:
        if step[0] not in {"COPY", "ADD"}:
            continue
        for source in step[1:-1]:
            if not (ROOT / source).exists():
                problems.append(f"{source} is copied and is not there")
            if any(fnmatch.fnmatch(source, pattern) for pattern in patterns):
                problems.append(f"{source} is copied and is left out by .dockerignore")
            if source in {".", ".env"}:
                problems.append(f"{source} would take secrets into the image")
    if not any(fnmatch.fnmatch(".env", pattern) for pattern in patterns):
        problems.append(".env is not left out by .dockerignore")
    installs = [step for step in deployment.instructions if "pip" in " ".join(step) and "install" in step]
    if not installs or any("--require-hashes" not in step for step in installs):
        problems.append("a package is installed without its hash")
    folders = {
        "transforms",
        "dags",
        "sql",
        "expectations",
        "cdisc_mappings",
        "synthetic",
        "docker",
        "requirements.lock",
    }
    copied = {source for step in deployment.instructions if step[0] == "COPY" for source in step[1:-1]}
    return problems + [f"{one} is not in the image" for one in sorted(folders - copied)]


CHECKS: tuple[Callable[[Deployment], list[str]], ...] = (
    check_yaml,
    check_schema,
    check_dependencies,
    check_volumes,
    check_networks,
    check_reachable,
    check_files,
    check_programs,
    check_secrets,
    check_example,
    check_pinned,
    check_airflow,
    check_walls,
    check_life,
    check_dockerfile,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_deployment_holds_together(check: Callable[[Deployment], list[str]]) -> None:
    assert check(read()) == []


# Which check, which file, what is replaced by what, and what the check must say.
BROKEN: list[tuple[Callable[[Deployment], list[str]], str, str, str, str]] = [
    (check_yaml, "compose", "x-airflow: &airflow\n", "x-airflow: &airflows\n", "undefined alias"),
    (check_yaml, "compose", "\nx-airflow:", "\nx-more: &more {}\nx-airflow:", "anchor more is used nowhere"),
    (check_yaml, "compose", "    command: [scheduler]\n", "    command: [scheduler]\n" * 2, "command stands twice"),
    (check_schema, "compose", "    command: [scheduler]", "    comand: [scheduler]", "'comand' does not match"),
    (check_schema, "compose", "condition: service_healthy", "condition: service_well", "services/"),
    (
        check_dependencies,
        "compose",
        "      redis:\n        condition",
        "      rediss:\n        condition",
        "no service",
    ),
    (check_dependencies, "compose", '    restart: "no"', "    restart: always", "which restarts"),
    (check_dependencies, "compose", "healthcheck:\n      # Over", "x-check:\n      # Over", "has no health check"),
    (check_dependencies, "compose", "    image: postgres", "    profiles: [x]\n    image: postgres", "only a profile"),
    (check_volumes, "compose", "  airflow-auth: {}\n", "", "airflow-auth, which is not declared"),
    (check_volumes, "compose", "  airflow-auth: {}\n", "  airflow-auth: {}\n  spare: {}\n", "spare is used nowhere"),
    (check_volumes, "compose", "./docker/postgres-init.sh", "./docker/postgres.sh", "which is not there"),
    (check_networks, "compose", "  front: {}\n", "", "front, which is no network"),
    (check_networks, "compose", "  front: {}\n", "  front: {internal: true}\n", "on internal networks only"),
    (check_reachable, "compose", "@redis:6379/0", "@broker:6379/0", "broker, which is no service"),
    (check_reachable, "compose", "    networks: [data]", "    networks: [front2]", "on none of its networks"),
    (check_files, "compose", "    command: [scheduler]", "    command: [scheduler]\n    env_file: no.env", "no.env"),
    (check_files, "compose", "    context: .\n", "    context: ./nowhere\n", "nowhere, which is not there"),
    (check_programs, "compose", "docker/answers.py", "docker/answer.py", "answer.py, which the image does not hold"),
    (check_programs, "compose", "    command: [triggerer]", "    command: [trigger]", "no command of Airflow"),
    (check_programs, "compose", "  entrypoint: [airflow]", "  entrypoint: [airflo]", "no package of the lock"),
    (check_programs, "dockerfile", "COPY docker docker\n", "", "which the image does not hold"),
    (
        check_secrets,
        "compose",
        "${POSTGRES_PASSWORD:?set it in .env, see .env.example}",
        "${POSTGRES_PASSWORD:-x}",
        ":?",
    ),
    (check_secrets, "compose", "${POSTGRES_PASSWORD:?set it in .env, see .env.example}", "postgres", "must come from"),
    (check_secrets, "compose", "airflow:${AIRFLOW_DB_PASSWORD:?set it in .env, see .env.example}@", "a:a@", "in its"),
    (
        check_secrets,
        "compose",
        "${AIRFLOW_FERNET_KEY:?set it in .env, see .env.example}",
        "${AIRFLOW_FERNET_KEY}",
        ":?",
    ),
    (check_example, "example", "REDIS_PASSWORD=\n", "", "REDIS_PASSWORD is not explained"),
    (check_example, "example", "REDIS_PASSWORD=\n", "REDIS_PASSWORD=redis\n", "has a default"),
    (check_example, "example", "AIRFLOW_PORT=8080\n", "AIRFLOW_PORT=8081\n", "one default in .env.example"),
    (
        check_example,
        "example",
        "AIRFLOW_PORT=8080\n",
        "AIRFLOW_PORT=8080\nOLD=1\n",
        "OLD of .env.example is used nowhere",
    ),
    (check_pinned, "compose", "postgres:18.1-bookworm", "postgres:latest", "not pinned"),
    (check_pinned, "compose", "postgres:18.1-bookworm", "postgres", "not pinned"),
    (check_pinned, "compose", "postgres:18.1-bookworm", "postgres:18", "not pinned"),
    (check_pinned, "dockerfile", "python:3.11.14-slim-bookworm", "python:slim", "not pinned"),
    (check_airflow, "compose", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__CORE__FERNETKEY", "FERNETKEY is no option"),
    (check_airflow, "compose", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__WEBSERVER__SECRET_KEY", "is no option"),
    (check_airflow, "compose", "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__BROKER", "BROKER is no option"),
    (check_airflow, "compose", "AIRFLOW__", "AIRFLOW_", "hardly an option"),
    (check_walls, "compose", "127.0.0.1:${AIRFLOW_PORT", "${AIRFLOW_PORT", "to every address"),
    (check_walls, "compose", "  read_only: true\n  tmpfs:", "  tmpfs:", "can write to its image"),
    (check_walls, "compose", "    user: redis", "    user: root", "rights of its host"),
    (check_walls, "dockerfile", "USER cairn\n", "", "runs as root"),
    (check_life, "compose", "  restart: unless-stopped\n  stop_grace_period: 60s\n  depends", "  depends", "come back"),
    (check_life, "compose", "  dag-processor:\n", "  bare: {image: 'x:1.2'}\n  dag-processor:\n", "bare has no health"),
    (check_dockerfile, "dockerfile", "COPY dags dags", "COPY dag dags", "dag is copied and is not there"),
    (check_dockerfile, "dockerfile", "COPY dags dags", "COPY . .", "secrets into the image"),
    (check_dockerfile, "dockerfile", "--require-hashes ", "", "without its hash"),
    (check_dockerfile, "ignored", ".venv\n", ".venv\ndags\n", "left out by .dockerignore"),
    (check_dockerfile, "ignored", ".env*", "", ".env is not left out"),
]


@pytest.mark.parametrize(
    ("check", "part", "old", "new", "said"), BROKEN, ids=[f"{one[0].__name__}-{n}" for n, one in enumerate(BROKEN)]
)
def test_each_check_can_fail(
    check: Callable[[Deployment], list[str]], part: str, old: str, new: str, said: str
) -> None:
    whole = read()
    text = getattr(whole, part)
    assert old in text, f"{old!r} stands in {part} no more; this example breaks nothing"
    problems = check(replace(whole, **{part: text.replace(old, new)}))
    assert any(said in problem for problem in problems), problems


def test_every_check_has_a_broken_example() -> None:
    assert {one[0] for one in BROKEN} == set(CHECKS)


def test_the_schema_is_the_one_that_was_taken() -> None:
    digest = hashlib.sha256((DATA / "compose-spec.json").read_bytes()).hexdigest()
    assert digest in (DATA / "SOURCE.md").read_text(encoding="utf-8")


def test_a_worker_holds_no_key_it_does_not_need() -> None:
    services = read().services
    wanted = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"}
    assert wanted <= set(services["scheduler"]["environment"])
    assert not wanted & set(services["worker"]["environment"])
    assert services["worker"]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert {"redis", "worker"} == {name for name, one in services.items() if one.get("profiles") == ["scale"]}


def test_the_image_installs_what_the_services_need() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for package in ("apache-airflow-providers-celery", "asyncpg", "celery", "psycopg2-binary", "redis"):
        assert re.search(rf"^{package}==", lock, re.MULTILINE), package


def test_secrets_are_not_for_git() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_scripts_are_read_by_a_plain_shell() -> None:
    scripts = sorted((ROOT / "docker").glob("*.sh"))
    assert len(scripts) == 3
    for script in scripts:
        subprocess.run(["sh", "-n", str(script)], check=True)


def test_a_new_env_holds_a_fresh_secret_for_each_and_is_never_overwritten(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "docker").mkdir(parents=True)
        shutil.copy(ROOT / "docker" / "make-env.sh", folder / "docker")
        shutil.copy(ROOT / ".env.example", folder)
        command = ["sh", str(folder / "docker" / "make-env.sh")]
        subprocess.run(command, check=True, capture_output=True)
        file = folder / ".env"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        written.append(dict(line.split("=", 1) for line in file.read_text().splitlines() if re.match("[A-Z]", line)))
        before = file.read_bytes()
        assert subprocess.run(command, check=False, capture_output=True).returncode == 1
        assert file.read_bytes() == before
    one, two = written
    required = {found[1] for found in VARIABLE.finditer(read().compose) if found[2] == ":?"}
    assert len(required) == 8
    assert all(len(one[name]) >= 43 and one[name] != two[name] for name in required)
    assert len({one[name] for name in required}) == len(required)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+=?", one[name]) for name in required)
    Fernet(one["AIRFLOW_FERNET_KEY"])


def test_the_first_user_gets_the_password_and_others_keep_theirs(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    airflow = programs / "airflow"
    airflow.write_text('#!/bin/sh\necho "$@" >"$CAIRN_HOME/called"\n')
    airflow.chmod(0o755)
    passwords = tmp_path / "passwords.json"
    passwords.write_text('{"admin": "old", "li": "kept"}')
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "CAIRN_HOME": str(tmp_path / "home"),
        "AIRFLOW_HOME": str(tmp_path / "home" / "airflow"),
        "AIRFLOW_ADMIN_USER": "admin",
        "AIRFLOW_ADMIN_PASSWORD": 'a "new" one',
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    for _ in range(2):
        subprocess.run(["sh", str(ROOT / "docker" / "airflow-init.sh")], env=environment, check=True)
        assert json.loads(passwords.read_text()) == {"admin": 'a "new" one', "li": "kept"}
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert (tmp_path / "home" / "called").read_text() == "db migrate\n"
    assert (tmp_path / "home" / "landing").is_dir()
