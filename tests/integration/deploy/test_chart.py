"""The Helm chart, linted and rendered by Helm itself, against Kubernetes' own schemas, the settings and the API."""

import re
from pathlib import Path

import httpx
import kubernetes_validate
import pytest
import yaml
from pydantic import SecretStr

from llama_service import __version__
from llama_service.cli import app as command_line
from llama_service.settings import OidcProvider, Settings
from scripts.helm import is_available
from tests.integration.deploy.chart import (
    CHART,
    Manifest,
    component,
    one,
    pods,
    refusal,
    render,
    run,
    schema,
    specification,
)
from tests.support import Server

pytestmark = pytest.mark.skipif(
    not is_available(), reason="there is a Helm in the registries for Linux on x86_64 alone"
)

VALUES: dict[str, list[str | Path]] = {
    path.stem.removesuffix("-values"): ["--values", path] for path in (CHART / "ci").glob("*.yaml")
}
VALUES["defaults"] = []
# The oldest that Chart.yaml takes, and the newest whose schemas are installed.
KUBERNETES = ["1.30", ".".join(kubernetes_validate.latest_version().split(".")[:2])]
# Definitions of Prometheus's operator, which are no part of Kubernetes.
CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


@pytest.fixture(params=sorted(VALUES))
def values(request: pytest.FixtureRequest) -> list[str | Path]:
    """Return Helm's options for one of the sets of values."""
    return VALUES[request.param]


@pytest.fixture
def manifests(values: list[str | Path]) -> list[Manifest]:
    """Return what the chart makes of one of the sets of values."""
    return render(*values)


def secret_settings() -> set[str]:
    """Return the names of the settings that are secrets."""
    return {
        name.upper() for name, field in Settings.model_fields.items() if SecretStr.__name__ in str(field.annotation)
    }


def test_helm_finds_nothing_to_object_to(values: list[str | Path]) -> None:
    linted = run("lint", "--strict", CHART, *values)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(version: str, values: list[str | Path]) -> None:
    manifests = render("--kube-version", version, *values)
    assert len(manifests) > 2
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    deployment = one(render(), "Deployment", "api")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_everything_has_a_name_of_its_own(manifests: list[Manifest]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))


def test_the_version_is_the_programs() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


async def test_probes_ask_what_the_api_answers(manifests: list[Manifest], server: Server) -> None:
    (container,) = specification(manifests, "Deployment", "api")["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/health", "/ready"}
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in paths:
            assert (await http.get(path)).status_code == 200, path
    # A look of /ready may take three seconds; the probe has to outlast it.
    assert container["readinessProbe"]["timeoutSeconds"] > 3


def test_commands_are_those_of_the_command_line(manifests: list[Manifest]) -> None:
    known = {command.name or command.callback.__name__ for command in command_line.registered_commands}  # type: ignore[union-attr]
    for manifest, spec in pods(manifests):
        (container,) = spec["containers"]
        program, word, *_ = container["args"]
        if component(manifest) == "embeddings":
            compose = yaml.safe_load((CHART.parents[1] / "compose.yaml").read_text())
            assert container["args"] == compose["services"]["embeddings"]["command"]
        else:
            assert program == "llama-service"
            assert word in known


def test_variables_are_settings(manifests: list[Manifest]) -> None:
    providers = {f"OIDC__COMPANY__{name.upper()}" for name in OidcProvider.model_fields}
    known = {name.upper() for name in Settings.model_fields} | providers
    for _, spec in pods(manifests):
        for variable in spec["containers"][0]["env"]:
            assert variable["name"].removesuffix("_FILE") in known
            assert isinstance(variable.get("value", ""), str)


def test_secrets_come_from_the_secret_alone(manifests: list[Manifest]) -> None:
    assert "Secret" not in {manifest["kind"] for manifest in manifests}
    secrets = secret_settings()
    for _, spec in pods(manifests):
        for variable in spec["containers"][0]["env"]:
            assert variable["name"] not in secrets or "secretKeyRef" in variable["valueFrom"]


def test_secrets_as_files_are_in_no_environment() -> None:
    spec = specification(render(*VALUES["everything"]), "Deployment", "api")
    (container,) = spec["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    (volume,) = (volume["secret"] for volume in spec["volumes"] if volume["name"] == "secrets")
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "secrets")
    assert volume["secretName"] == "chat-secrets"
    assert not any("valueFrom" in variable for variable in container["env"])
    for item in volume["items"]:
        assert variables[f"{item['key']}_FILE"] == f"{mount['mountPath']}/{item['path']}"


def test_a_secret_among_the_values_is_refused() -> None:
    rules = schema()["properties"]["config"]["propertyNames"]["allOf"]
    assert set(rules[1]["not"]["enum"]) == secret_settings()
    for name in ("JWT_SECRET_KEY", "OIDC__COMPANY__CLIENT_SECRET"):
        assert name in refusal("--set-string", f"config.{name}=x")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--set-string", "config.SHUTDOWN_GRACE_SECONDS=5"], "SHUTDOWN_GRACE_SECONDS"),
        (["--set", "config.MAX_FILESIZE_MB=5"], "want string"),
        (["--set", "config.lower=x"], "lower"),
        (["--set", "ingress.enabled=true"], "/ingress/hosts"),
        (["--set", "backup.enabled=true"], "/backup/target"),
        (["--set", "image.digest=latest"], "/image/digest"),
        (["--set", "blobs.url=/srv/files"], "/blobs/url"),
        (["--set", "replicas=3"], "replicas"),
        (["--set", "secrets.keys={JWT_SECRET_KEY}"], "DATABASE_URL"),
        (["--set", "secrets.keys={JWT_SECRET_KEY,DATABASE_URL}"], "EMBEDDED_API_KEY"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_values_that_can_not_be_used_are_refused_by_name(given: list[str], told: str) -> None:
    assert told in refusal(*given)


def test_containers_may_do_little(manifests: list[Manifest]) -> None:
    for manifest, spec in pods(manifests):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/data", "/tmp"}, component(manifest)


def test_the_user_is_the_images() -> None:
    dockerfile = (CHART.parents[1] / "Dockerfile").read_text()
    spec = specification(render(), "Deployment", "api")
    user, group = spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]
    assert set(re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)) == {f"{user}:{group}"}


def test_a_pod_has_time_to_stop(manifests: list[Manifest]) -> None:
    spec = specification(manifests, "Deployment", "api")
    (container,) = spec["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    drain = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    # What deploy/compose.yaml gives beyond SHUTDOWN_GRACE_SECONDS, and the drain before it.
    assert spec["terminationGracePeriodSeconds"] >= drain + int(variables["SHUTDOWN_GRACE_SECONDS"]) + 10


def test_who_reads_files_and_where_they_lie() -> None:
    small, whole = render(*VALUES["small"]), render()
    for manifests, inline, place in ((small, "true", "emptyDir"), (whole, "false", "persistentVolumeClaim")):
        spec = specification(manifests, "Deployment", "api")
        variables = {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}
        assert variables["INLINE_WORKER"] == inline
        (data,) = (volume for volume in spec["volumes"] if volume["name"] == "data")
        assert place in data
    claim = one(whole, "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for part in ("api", "worker"):
        volumes = specification(whole, "Deployment", part)["volumes"]
        assert claim["metadata"]["name"] in str(volumes)


def test_migrations_need_nothing_that_comes_after_them() -> None:
    manifests = render()
    job = one(manifests, "Job", "migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = specification(manifests, "Job", "migrate")
    made = {manifest["metadata"]["name"] for manifest in manifests} - {job["metadata"]["name"]}
    named = {str(found) for found in re.findall(r"'(?:name|claimName|serviceAccountName)': '([^']+)'", str(spec))}
    assert not made & named


def test_services_lead_to_pods(manifests: list[Manifest]) -> None:
    labels = {
        component(manifest): manifest["spec"]["template"]["metadata"]["labels"]
        for manifest in manifests
        if manifest["kind"] == "Deployment"
    }
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            assert manifest["spec"]["selector"]["matchLabels"].items() <= labels[component(manifest)].items()
        if manifest["kind"] == "Service" and not manifest["metadata"]["name"].endswith("-nobody"):
            wanted = manifest["spec"]["selector"].items()
            assert [part for part, has in labels.items() if wanted <= has.items()] == [component(manifest)]


def test_what_is_for_the_inside_is_not_let_out() -> None:
    manifests = render(*VALUES["everything"])
    services = {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == "Service"}
    (rule,) = one(manifests, "Ingress")["spec"]["rules"]
    leads = {(path["path"], path["pathType"]): path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert set(leads) == {("/ai/metrics", "Exact"), ("/ai/", "Prefix")}
    assert "selector" not in services[leads["/ai/metrics", "Exact"]]["spec"]
    assert component(services[leads["/ai/", "Prefix"]]) == "api"


def test_a_release_is_pinned_by_its_digest() -> None:
    (container,) = specification(render(*VALUES["everything"]), "Deployment", "worker")["containers"]
    assert container["image"] == f"registry.example.com/llama-service@sha256:{'1' * 64}"
    (container,) = specification(render(), "Deployment", "worker")["containers"]
    assert container["image"] == f"llama-service:{__version__}"


def test_the_alerts_are_those_of_prometheus() -> None:
    alerts = yaml.safe_load((CHART.parents[1] / "prometheus" / "alerts.yaml").read_text())
    assert one(render("--set", "prometheusRule.enabled=true"), "PrometheusRule")["spec"] == alerts


def test_the_readmes_examples_are_values_that_are_taken(tmp_path: Path) -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.yaml"
        file.write_text(example)
        for manifest in render("--values", file):
            if manifest["kind"] not in CUSTOM:
                kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


def test_every_value_is_told_of() -> None:
    told = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(told) == set(schema()["properties"]) - {"global"}
