"""Image, compose files and systemd unit, as far as they can be judged without running them: nothing here needs a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import load

PROJECT = Path(__file__).resolve().parents[1]
BASE, DESK = PROJECT / "compose.yaml", PROJECT / "compose.desk.yaml"
UNIT = PROJECT / "docs" / "examples" / "marginwatch.service"
PACKAGES = ("config", "kernels", "connectors", "monitor")
SECRET_NAME = re.compile(r"PASSWORD|SECRET_|_SECRET|TOKEN|_KEY|CREDENTIAL")


def _read(path: str | Path) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def _yaml(path: str | Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(_read(path))
    return document


def _mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Source and whether it is read-only, by target."""
    found = {}
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            source, target, *mode = volume.split(":")
            volume = {"source": source, "target": target, "read_only": mode == ["ro"]}
        found[volume["target"]] = (volume["source"], bool(volume.get("read_only")))
    return found


def _merged(base: Any, over: Any) -> Any:
    """As compose merges: tables by key, mounts by target, commands replaced."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    merged = {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    if "volumes" in base and isinstance(base["volumes"], list):
        merged["volumes"] = [*base["volumes"], *over.get("volumes", [])]
    return merged


@pytest.fixture(scope="module", params=["demo", "desk"])
def compose(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The demo's file, and the file with the desk's laid over it."""
    base = _yaml(BASE)
    merged: dict[str, Any] = base if request.param == "demo" else _merged(base, _yaml(DESK))
    return merged


def _instructions() -> list[tuple[str, list[str]]]:
    """Instructions of the Dockerfile with their words."""
    text = re.sub(r"^#.*\n", "", _read("Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(words[0], words[1:]) for words in (line.split() for line in text.splitlines()) if words]


def _final_stage() -> list[tuple[str, list[str]]]:
    instructions = _instructions()
    last = max(number for number, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


def _values(instruction: str) -> dict[str, str]:
    words = (word for name, words in _final_stage() if name == instruction for word in words)
    return dict(word.split("=", 1) for word in words if "=" in word)


def _gid() -> str:
    ((_, (owner,)),) = [one for one in _final_stage() if one[0] == "USER"]
    return owner.split(":")[1]


def _in_context(path: str) -> bool:
    """Whether .dockerignore lets a file reach a build: the last pattern that fits it, or a folder above it, decides."""
    folders = path.split("/")
    ways = ["/".join(folders[: depth + 1]) for depth in range(len(folders))]
    is_in = True
    for line in _read(".dockerignore").splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
            pattern = pattern.replace(r"\[", "[").replace(r"\]", "]")
            if any(re.fullmatch(pattern, way) for way in ways):
                is_in = line.startswith("!")
    return is_in


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    answer = subprocess.run([hadolint, "--no-color", PROJECT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (answer.stdout + answer.stderr, answer.returncode) == ("", 0)


def test_compose_files_fit_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(BASE), str(DESK)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_image_and_monitor_have_one_version() -> None:
    version = tomllib.loads(_read("pyproject.toml"))["project"]["version"]
    assert _values("ARG")["VERSION"] == version
    for name in ("token", "monitor"):
        service = _yaml(BASE)["services"][name]
        assert (service["image"], service["build"]["args"]["VERSION"]) == (f"marginwatch:{version}", version)


def test_images_are_pinned_by_version(compose: dict[str, Any]) -> None:
    pinned = re.compile(r"[a-z/]+:v?\d+\.\d+[\w.-]*")
    images = [service["image"] for service in compose["services"].values()]
    (python,) = [words[0].removeprefix("PYTHON=") for name, words in _instructions() if name == "ARG" and words[0].startswith("PYTHON=")]
    assert {words[0] for name, words in _instructions() if name == "FROM"} == {"${PYTHON}"}
    assert [image for image in [*images, python] if not pinned.fullmatch(image)] == []


def test_image_runs_as_a_user_with_a_number() -> None:
    ((_, (owner,)),) = [one for one in _final_stage() if one[0] == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", owner)


def test_no_service_gets_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "user", "pid", "ipc", "userns_mode"} & service.keys(), name


def test_the_build_copies_what_is_there_and_nothing_else_reaches_it() -> None:
    sources = [source for name, words in _instructions() if name == "COPY" and not words[0].startswith("--from") for source in words[:-1]]
    assert set(PACKAGES) <= set(sources)
    assert [source for source in sources if not (PROJECT / source).exists() or not _in_context(source)] == []
    packed = [path for name in PACKAGES for path in (PROJECT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [str(path) for path in packed if not _in_context(path.relative_to(PROJECT).as_posix())] == []
    needless = [path for path in PROJECT.iterdir() if path.name not in PACKAGES and path.name not in {*sources, "requirements"}]
    assert [path.name for path in needless if _in_context(path.name)] == []


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        "monitor/.env",
        "desk.toml",
        "config/desk.toml",
        "secrets/slack_url",
        "tests/test_container.py",
        "requirements/test.txt",
        "monitor/__pycache__/demo.cpython-311.pyc",
    ],
)
def test_stays_out_of_the_build(path: str) -> None:
    assert not _in_context(path)


def test_nothing_carries_a_secret(compose: dict[str, Any]) -> None:
    told = {**_values("ENV"), **_values("ARG")}
    for service in compose["services"].values():
        told |= service.get("environment", {})
    assert "GF_AUTH_ANONYMOUS_ENABLED" in told
    assert [name for name in told if SECRET_NAME.search(name)] == []


def test_ports_are_published_on_loopback_alone(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"monitor", "prometheus", "alertmanager", "grafana"}
    assert [port for ports in published.values() for port in ports if not re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)] == []


def test_the_monitor_listens_where_the_others_look(compose: dict[str, Any]) -> None:
    prometheus = _yaml("grafana/prometheus/prometheus.yml")
    (job,) = prometheus["scrape_configs"]
    (manager,) = prometheus["alerting"]["alertmanagers"]
    (source,) = _yaml(next((PROJECT / "grafana" / "provisioning" / "datasources").glob("*.y*ml")))["datasources"]
    demo = tomllib.loads(_read("grafana/compose/demo.toml"))
    targets = [*job["static_configs"][0]["targets"], *manager["static_configs"][0]["targets"]]
    targets += [source["url"].removeprefix("http://"), demo["receivers"]["alertmanager"]["url"].removeprefix("http://")]
    assert sorted(set(targets)) == ["alertmanager:9093", "monitor:9876", "prometheus:9090"]
    for target in targets:
        name, port = target.split(":")
        assert f"127.0.0.1:{port}:{port}" in compose["services"][name]["ports"]
    for file in ("grafana/compose/demo.toml", "docs/examples/container.toml"):
        assert tomllib.loads(_read(file))["monitor"]["listen"] == "0.0.0.0:9876"
    (check,) = [" ".join(words) for name, words in _final_stage() if name == "HEALTHCHECK"]
    assert "http://127.0.0.1:9876/-/healthy" in check


def test_one_token_is_written_once_and_read_by_the_monitor_and_prometheus(compose: dict[str, Any]) -> None:
    (job,) = _yaml("grafana/prometheus/prometheus.yml")["scrape_configs"]
    token = Path(job["authorization"]["credentials_file"])
    for file in ("grafana/compose/demo.toml", "docs/examples/container.toml"):
        assert tomllib.loads(_read(file))["monitor"]["token_file"] == str(token)
    services = compose["services"]
    assert {name: _mounts(service).get(str(token.parent)) for name, service in services.items()} == {
        "token": ("token", False), "monitor": ("token", True), "prometheus": ("token", True), "alertmanager": None, "grafana": None,
    }  # fmt: skip
    for name in ("monitor", "prometheus"):
        assert services[name]["depends_on"]["token"] == {"condition": "service_completed_successfully"}
    # the token is the group's to read
    assert services["prometheus"]["group_add"] == [_gid()]


def test_the_tokens_program_writes_a_new_one_and_keeps_it(tmp_path: Path) -> None:
    (program,) = _yaml(BASE)["services"]["token"]["command"]
    path = tmp_path / "token"
    path.with_suffix(".new").write_text("left by one that was killed")
    assert program.count("/run/marginwatch/token") == 1
    command = [sys.executable, "-I", "-c", program.replace("/run/marginwatch/token", str(path))]
    subprocess.run(command, check=True, timeout=30, umask=0o022)
    first = path.read_text()
    assert len(first) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o440
    subprocess.run(command, check=True, timeout=30)
    assert path.read_text() == first
    assert os.listdir(tmp_path) == ["token"]


def test_volumes_are_declared_used_and_where_the_image_keeps_things(compose: dict[str, Any]) -> None:
    named = {source for service in compose["services"].values() for source, _ in _mounts(service).values() if "/" not in source}
    assert named == set(compose["volumes"])
    monitor, environ = _mounts(compose["services"]["monitor"]), _values("ENV")
    assert monitor[environ["MARGINWATCH_CACHE_DIR"]] == ("cache", False)
    assert monitor[f"{environ['XDG_STATE_HOME']}/marginwatch"] == ("state", False)
    (declared,) = [json.loads(" ".join(words)) for name, words in _final_stage() if name == "VOLUME"]
    assert {target for target, (source, is_fixed) in monitor.items() if not is_fixed} == set(declared)


def test_files_that_are_mounted_are_there_and_cannot_be_written() -> None:
    mounts = [mount for service in _yaml(BASE)["services"].values() for mount in _mounts(service).values() if "/" in mount[0]]
    assert len(mounts) == 5
    assert [source for source, is_fixed in mounts if not (PROJECT / source).exists() or not is_fixed] == []


def test_commands_name_files_that_are_mounted(compose: dict[str, Any]) -> None:
    for name in ("monitor", "prometheus", "alertmanager"):
        service = compose["services"][name]
        words = shlex.split(" ".join(service["command"]).replace("=", " "))
        (file,) = [Path(word) for word in words if word.startswith("/etc/")]
        sources = {Path(target): source for target, (source, _) in _mounts(service).items()}
        source = sources.get(file, f"{sources.get(file.parent, '')}/{file.name}")
        assert source == "./desk.toml" or (PROJECT / source).is_file(), file


def test_grafana_finds_its_dashboards() -> None:
    service = _yaml(BASE)["services"]["grafana"]
    mounts = {source: target for target, (source, _) in _mounts(service).items()}
    (provider,) = _yaml(next((PROJECT / "grafana" / "provisioning" / "dashboards").glob("*.y*ml")))["providers"]
    folder = mounts["./grafana/dashboards"]
    assert provider["options"]["path"] == folder
    home = Path(service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (PROJECT / "grafana" / "dashboards" / home.name).is_file()


def test_the_desk_runs_on_a_configuration_and_secrets_of_its_own(tmp_path: Path) -> None:
    desk = _yaml(DESK)
    monitor = desk["services"]["monitor"]
    assert monitor["command"] == ["run", "--config", "/etc/marginwatch/desk.toml"]
    assert set(monitor["secrets"]) == set(desk["secrets"]) >= set(desk["services"]["alertmanager"]["secrets"])
    assert desk["services"]["alertmanager"]["group_add"] == [_gid()]
    # the example loads with those secrets in their place, and uses each of them
    text = _read("docs/examples/container.toml")
    for name in [*monitor["secrets"], "token"]:
        mounted = "/run/marginwatch/token" if name == "token" else f"/run/secrets/{name}"
        assert text.count(f'"{mounted}"') == 1
        text = text.replace(mounted, name)
        (tmp_path / name).write_text("https://example.org/x" if name.endswith("_url") else "word")
    (tmp_path / "desk.toml").write_text(text)
    settings = load(tmp_path / "desk.toml", environ={"XDG_STATE_HOME": "/var/lib"}, quiet=True)
    assert settings.outbox_path == Path("/var/lib/marginwatch/desk.db")


def test_systemd_takes_the_unit(tmp_path: Path, require_server: Callable[[str], Path]) -> None:
    analyze = require_server("systemd-analyze")
    unit = tmp_path / UNIT.name
    # verify wants programs that are there
    unit.write_text(re.sub(r"^(Exec\w+=)\S+", rf"\g<1>{sys.executable}", _read(UNIT), flags=re.MULTILINE))
    answer = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert [line for line in answer.stderr.splitlines() if "marginwatch" in line] == []
    exposed = [str(analyze), "security", "--offline=true", "--threshold=20", str(unit)]
    answer = subprocess.run(exposed, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout[-500:]
