"""Metrics, alert rules and dashboard: each by the tool that reads it, and against what a running service tells."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.support import Person, Server

ALERTS, DASHBOARD = "deploy/prometheus/alerts.yaml", "deploy/grafana/llama-service.json"
_SUFFIXES = ("_bucket", "_count", "_sum")

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Debian's prometheus")


def alerts(repository: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load((repository / ALERTS).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard(repository: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((repository / DASHBOARD).read_text())
    return found


def expressions(repository: Path) -> Iterator[str]:
    """Yield what alerts and dashboard ask Prometheus."""
    yield from (rule["expr"] for rule in alerts(repository))
    for panel in dashboard(repository)["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$job", "llama-service")


def series_of(expression: str) -> set[str]:
    return set(re.findall(r"\bllama_\w+", expression))


@pytest.fixture
async def told(server: Server, anna: Person) -> str:
    """What the service tells after somebody has uploaded and asked."""
    upload = await anna.http.post("/files/upload", files={"file": ("a.txt", b"The tower is 36 metres high.")})
    assert upload.status_code == 202, upload.text
    assert (await anna.http.post("/chat", json={"message": "How high is the tower?"})).status_code == 200
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


async def test_alerts_and_dashboard_ask_for_what_the_service_tells(repository: Path, told: str) -> None:
    known = dict(re.findall(r"^# TYPE (\w+) (\w+)$", told, re.MULTILINE))
    asked: set[str] = set()
    for expression in expressions(repository):
        assert promql_parser.parse(expression), expression
        for name in series_of(expression):
            plain = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
            assert name in known or known.get(plain) == "histogram", (name, expression)
            asked.add(plain if known.get(plain) == "histogram" else name)
    # And nothing is measured that nobody looks at.
    ours = {name for name in known if name.startswith("llama_") and not name.endswith("_created")}
    assert ours - asked == {"llama_files", "llama_users", "llama_run_seconds"}


async def test_what_a_turn_costs_is_measured(told: str) -> None:
    def value(series: str) -> float:
        found = re.search(rf"^{re.escape(series)} (\S+)$", told, re.MULTILINE)
        assert found, (series, [line for line in told.splitlines() if line.startswith("llama_runs_total")])
        return float(found[1])

    assert value('llama_runs_total{source="openai",status="completed"}') >= 1
    assert value('llama_run_first_token_seconds_count{source="openai"}') >= 1
    assert value('llama_graph_node_seconds_count{node="retrieve"}') >= 1
    assert value('llama_graph_node_seconds_count{node="generate"}') >= 1
    assert value('llama_provider_attempts_total{outcome="ok",source="openai"}') >= 1
    assert value('llama_provider_tokens_total{kind="answer",source="openai"}') >= 1
    assert value("llama_event_write_seconds_count") >= 1
    assert value("llama_checkpoint_bytes") > 0
    assert value('llama_db_connections{pool="raw",state="most"}') >= 1
    assert value("llama_runs_orphaned") == 0
    assert value("llama_database_reachable") == 1
    assert value('llama_run_takeovers_total{outcome="given_up"}') >= 0


async def test_ids_and_texts_are_in_no_label(told: str) -> None:
    assert "tower" not in told
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", told)


def test_the_dashboard_is_grafanas(repository: Path) -> None:
    made = Dashboard.from_json(dashboard(repository))
    assert made.uid == "llama-service"
    panels = dashboard(repository)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_each_alert_says_what_to_do(repository: Path) -> None:
    for rule in alerts(repository):
        assert {"summary", "action"} == set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]


@promtool
def test_prometheus_takes_series_and_rules(repository: Path, told: str) -> None:
    checked = subprocess.run(["promtool", "check", "rules", repository / ALERTS], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    # 3 is a lint finding, also of what the library brings.
    linted = subprocess.run(["promtool", "check", "metrics"], input=told, capture_output=True, text=True)
    assert linted.returncode in (0, 3), linted.stderr
    assert not [line for line in linted.stderr.splitlines() if line.startswith("llama_")], linted.stderr


RULES_AT_WORK = """
rule_files: [{alerts}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: 'llama_db_connections{{instance="a",pool="raw",state="busy"}}', values: "5x20"}}
      - {{series: 'llama_db_connections{{instance="a",pool="raw",state="most"}}', values: "5x20"}}
      - {{series: 'llama_build_info{{instance="worker",version="1"}}', values: "1x20"}}
      - {{series: 'llama_database_reachable{{instance="a"}}', values: "1x20"}}
      - {{series: 'llama_database_reachable{{instance="b"}}', values: "1x2 0x20"}}
      - {{series: 'llama_run_takeovers_total{{outcome="given_up"}}', values: "0x5 1x15"}}
      - {{series: 'llama_ingestion_jobs_total{{task="read",outcome="broken"}}', values: "0x5 1x15"}}
      - {{series: 'llama_runs_orphaned{{instance="a"}}', values: "1x20"}}
      - {{series: 'llama_runs_orphaned{{instance="b"}}', values: "1x20"}}
      - {{series: 'llama_vectors{{instance="a"}}', values: "10x60"}}
      - {{series: 'llama_vectors{{instance="b"}}', values: "10x60"}}
      - {{series: 'llama_index_vectors{{instance="a"}}', values: "10x60"}}
    alert_rule_test:
      - eval_time: 10m
        alertname: LlamaConnectionsExhausted
        exp_alerts:
          - exp_labels: {{severity: warning, instance: a, pool: raw}}
            exp_annotations:
              summary: "The pool raw of a is nearly used up"
              action: "Raise DATABASE_POOL_SIZE, or add processes, as far as the database's max_connections allow."
      - eval_time: 10m
        alertname: LlamaDatabaseUnreachable
        exp_alerts:
          - exp_labels: {{severity: critical, instance: b}}
            exp_annotations:
              summary: "b can't reach its database"
              action: "Nobody can ask or read until it is back; runs go on from where they were."
      - eval_time: 10m
        alertname: LlamaRunsOrphaned
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: "1 answers have no worker, and nobody takes them over"
              action: "A running API takes them over within seconds: is one running, and on this database?"
      - eval_time: 10m
        alertname: LlamaRunsGivenUp
        exp_alerts:
          - exp_labels: {{severity: warning, outcome: given_up}}
            exp_annotations:
              summary: "An answer was given up after several workers died over it"
              action: "What kills the workers? Memory limits are the usual reason."
      - eval_time: 10m
        alertname: LlamaFilesBreak
        exp_alerts:
          - exp_labels: {{severity: warning, task: read, outcome: broken}}
            exp_annotations:
              summary: "Jobs on files fail on our side (read: broken)"
              action: "The worker's log names the file and the error."
      - {{eval_time: 50m, alertname: LlamaIndexBehind, exp_alerts: []}}
"""


@promtool
def test_alerts_go_off_when_they_should(repository: Path, tmp_path: Path) -> None:
    tests = tmp_path / "tests.yaml"
    tests.write_text(RULES_AT_WORK.format(alerts=repository / ALERTS))
    tried = subprocess.run(["promtool", "test", "rules", tests], capture_output=True, text=True)
    assert tried.returncode == 0, tried.stdout + tried.stderr
