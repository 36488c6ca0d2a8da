"""The chart as Helm renders it, and what is in it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.helm import helm

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "llama-service"
Manifest = dict[str, Any]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Helm, which reaches no cluster and needs no home."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    command = [str(helm()), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def render(*arguments: str | Path, chart: Path = CHART) -> list[Manifest]:
    """Return what the chart makes, as a cluster would be given it."""
    made = run("template", "chat", chart, "--namespace", "chat", *arguments)
    assert made.returncode == 0, made.stderr
    return [manifest for manifest in yaml.safe_load_all(made.stdout) if manifest]


def refusal(*arguments: str | Path, chart: Path = CHART) -> str:
    """Return what Helm says against values that the chart does not take."""
    made = run("template", "chat", chart, *arguments)
    assert made.returncode != 0, "these values were taken"
    return made.stderr


def pod_spec(manifest: Manifest) -> Manifest | None:
    """Return the pods' specification of a manifest that makes pods."""
    spec: Manifest = manifest.get("spec", {})
    if manifest["kind"] == "Pod":
        return spec
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: Manifest | None = spec.get("template", {}).get("spec")
    return found


def specification(manifests: list[Manifest], kind: str, part: str) -> Manifest:
    """Return the pods' specification of the only manifest of a kind, of a part of the release."""
    found = pod_spec(one(manifests, kind, part))
    assert found is not None
    return found


def pods(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield the manifests that make pods, each with the pods' specification."""
    for manifest in manifests:
        if spec := pod_spec(manifest):
            yield manifest, spec


def component(manifest: Manifest) -> str:
    """Return which part of the release a manifest is."""
    return str(manifest["metadata"]["labels"].get("app.kubernetes.io/component", ""))


def one(manifests: list[Manifest], kind: str, part: str = "") -> Manifest:
    """Return the only manifest of a kind, of a part of the release where one is named."""
    (found,) = (made for made in manifests if made["kind"] == kind and (not part or component(made) == part))
    return found


def schema() -> Manifest:
    """Return the schema of the chart's values."""
    read: Manifest = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    return read
