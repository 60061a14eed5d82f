"""The files that run Dunnock elsewhere, checked against their schemas, against each other and against the code."""

import ast
import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import kubernetes_validate
import pytest
import yaml

from services.payments.domain.source_settings import ClientCertificate

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
SERVICES = ("scheduler", "dispatcher", "payments")
KUBERNETES = "1.33"


def manifests(folder: Path) -> list[dict[str, Any]]:
    """What a kustomization gathers, the bases first; neither patched nor generated."""
    gathered: list[dict[str, Any]] = []
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        place = (folder / name).resolve()
        gathered += manifests(place) if place.is_dir() else list(yaml.safe_load_all(place.read_text()))
    return gathered


BASE = manifests(K8S / "base")
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())


def named(kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [one for one in BASE if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def pod(owner: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = owner["spec"]["template"]["spec"]
    return spec


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def test_no_manifest_guesses_whose_word_about_a_caller_counts() -> None:
    """The pods' network would do, and any pod in it could then claim to be the bank."""
    assert "" == named("ConfigMap", "dunnock")[0]["data"]["DUNNOCK_TRUSTED_PROXIES"]
    for overlay in OVERLAYS:
        patched = yaml.safe_load((K8S / "overlays" / overlay / "settings.yaml").read_text())
        assert "DUNNOCK_TRUSTED_PROXIES" not in patched["data"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_what_the_kubernetes_schema_asks_for(overlay: str) -> None:
    for manifest in manifests(K8S / "overlays" / overlay):
        kubernetes_validate.validate(copy.deepcopy(manifest), KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_patch_of_an_overlay_meets_something_and_stays_valid(overlay: str) -> None:
    folder = K8S / "overlays" / overlay
    for patch in yaml.safe_load((folder / "kustomization.yaml").read_text())["patches"]:
        if "path" in patch:
            part = yaml.safe_load((folder / patch["path"]).read_text())
            [whole] = named(part["kind"], part["metadata"]["name"])
            kubernetes_validate.validate(merged(whole, part), KUBERNETES, strict=True)
        else:
            for whole in named(patch["target"]["kind"]):
                changed = operated(whole, yaml.safe_load(patch["patch"]))
                kubernetes_validate.validate(changed, KUBERNETES, strict=True)


def merged(whole: Any, part: Any) -> Any:
    if not (isinstance(whole, dict) and isinstance(part, dict)):
        return part
    return {**whole, **{key: merged(whole.get(key), value) for key, value in part.items()}}


def operated(whole: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """JSON patch, as far as our overlays use it: replace what is there, append to a list that is there."""
    changed = copy.deepcopy(whole)
    for operation in operations:
        *way, last = operation["path"].strip("/").split("/")
        place: Any = changed
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if operation["op"] == "add":
            assert last == "-"
            place.append(operation["value"])
        else:
            assert last in place
            place[last] = operation["value"]
    return changed


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_own_account_budget_probes_and_address(service: str) -> None:
    [deployment] = named("Deployment", service)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert pod(deployment)["serviceAccountName"] == service
    assert named("ServiceAccount", service)[0]["automountServiceAccountToken"] is False
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        named("Service", service)[0]["spec"]["selector"],
        named("PodDisruptionBudget", service)[0]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
        assert selector["app.kubernetes.io/component"] == service
    [container] = pod(deployment)["containers"]
    assert container["command"] == ["python", "-m", f"services.{service}"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in named("Service", service)[0]["spec"]["ports"]} == ports


@pytest.mark.parametrize("owner", [*named("Deployment"), *named("Job")], ids=lambda owner: owner["metadata"]["name"])
def test_every_pod_is_as_restricted_as_the_strictest_pod_security_standard(owner: dict[str, Any]) -> None:
    spec = pod(owner)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_a_pod_has_more_time_to_end_than_its_process_takes() -> None:
    for deployment in named("Deployment"):
        waits = pod(deployment)["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod(deployment)["terminationGracePeriodSeconds"] >= waits + 30


def test_every_module_that_a_container_starts_exists() -> None:
    commands = [pod(owner)["containers"][0]["command"] for owner in [*named("Deployment"), *named("Job")]]
    commands += [service["command"] for service in compose()["services"].values() if "command" in service]
    for command in commands:
        path = ROOT.joinpath(*command[-1].split("."))
        assert (path / "__main__.py").exists() or path.with_suffix(".py").exists(), command


def routes_in_code(service: str) -> Iterator[str]:
    """The literal paths of the routes in services/<service>/api."""
    for file in (ROOT / "services" / service / "api").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                verb = node.func.attr in ("get", "post", "put", "patch", "delete", "api_route")
                if verb and isinstance(first, ast.Constant) and str(first.value).startswith("/"):
                    yield str(first.value)


def routes_of_ingress() -> dict[str, str]:
    [rule] = named("Ingress")[0]["spec"]["rules"]
    return {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}


def routes_of_gateway() -> dict[str, str]:
    text = (ROOT / "deploy" / "docker" / "gateway.conf").read_text()
    routes: dict[str, str] = {}
    for versioned, plain, service in re.findall(r"\^/\(v1/\(([^)]*)\)\|([\w|]+)\).*set \$service (\w+);", text):
        routes |= dict.fromkeys(
            [*(f"/v1/{noun}" for noun in versioned.split("|")), *(f"/{one}" for one in plain.split("|"))], service
        )
    return routes


def test_the_gateway_never_hands_on_a_certificate_that_a_client_wrote_and_the_page_about_it_is_true() -> None:
    gateway = (ROOT / "deploy" / "docker" / "gateway.conf").read_text()
    readme = (ROOT / "services" / "payments" / "README.md").read_text()
    [said] = re.findall(r"```nginx\n(.+?)```", readme, re.DOTALL)
    assert said in gateway
    headers = get_args(ClientCertificate.model_fields["header"].annotation)
    assert {name.lower() for name in re.findall(r"proxy_set_header (\S*Client-Cert) ", said)} == set(headers)


def test_the_gateway_and_the_ingress_have_the_same_table_of_paths() -> None:
    assert routes_of_gateway() == routes_of_ingress()


@pytest.mark.parametrize("service", SERVICES)
def test_every_path_of_a_service_is_routed_to_it(service: str) -> None:
    table = routes_of_ingress()
    paths = set(routes_in_code(service))
    assert paths, f"no route found in services/{service}/api"
    for path in paths:
        owners = {owner for prefix, owner in table.items() if f"{path}/".startswith(f"{prefix}/")}
        assert owners == {service}, path


def test_compose_waits_for_health_and_migration_and_gives_no_process_more_than_it_needs() -> None:
    parts = compose()["services"]
    for name in ("postgres", "rabbitmq", *SERVICES, "gateway"):
        assert parts[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
    for name in SERVICES:
        assert parts[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert parts[name]["read_only"] is True
        assert parts[name]["cap_drop"] == ["ALL"]
    assert parts["migrate"]["restart"] == "no"
    assert {parts[name]["image"] for name in (*SERVICES, "migrate")} == {"dunnock:local"}


def test_every_variable_that_compose_asks_for_is_in_the_file_that_make_up_makes() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    made = subprocess.run(
        [sys.executable, ROOT / "deploy" / "local_env.py"], capture_output=True, text=True, check=True
    )
    values = dict(line.split("=", 1) for line in made.stdout.splitlines() if not line.startswith("#"))
    assert required <= values.keys()
    secrets = [value for name, value in values.items() if name.endswith(("PASSWORD", "KEY"))]
    assert len(set(secrets)) == len(secrets) == 4
    assert min(len(secret) for secret in secrets) >= 32


def test_the_image_holds_the_locked_dependencies_and_runs_as_a_plain_user() -> None:
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    assert "--require-hashes -r /build/requirements.lock" in text
    last_stage = text.split("FROM ")[-1]
    assert re.search(r"^USER 10001:10001$", last_stage, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert [path for path in copied if f"!{path}" not in ignored] == []
