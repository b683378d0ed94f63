"""The templates of ``docs/integrations``: Ansible's is run here, Argo's is checked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_release.attestation.keys import generate
from pytest_release.cli import _parser

FOLDER = Path(__file__).parents[2] / "docs" / "integrations"
PROGRAMS = sysconfig.get_path("scripts")
ENVIRONMENT = """
name: {name}
role: staging
system: shop
base_url: "{url}"
release: {{health: /health, version: version}}
gates: {{basic: {{required: true}}}}
"""
POLICY = """
name: there
version: 1
signers: {keys: [gate]}
max_age_h: 1
gates: {basic: {environment: here}}
"""
INVENTORY = """
[fleet]
n1
n2
[fleet:vars]
ansible_connection=local
"""


class Health(BaseHTTPRequestHandler):
    """Well, unless a file says otherwise."""

    def do_GET(self) -> None:
        """The version; ill while the file is there."""
        ill = Path("ill").exists() and self.path != "/health"
        data = json.dumps({"version": "2.0"}).encode()
        self.send_response(500 if ill else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A deployment, keys, environments and a policy."""
    monkeypatch.chdir(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    fixtures = tmp_path / "fixtures"
    for folder in ("cases/shop", "policies", "keys", "environments"):
        (fixtures / folder).mkdir(parents=True)
    for name in ("here", "there"):
        text = ENVIRONMENT.format(name=name, url=url)
        (fixtures / f"environments/{name}.yaml").write_text(text)
    (fixtures / "cases/shop/basic.yaml").write_text("gate: basic\ncases: [{name: a, path: /a}]\n")
    (fixtures / "policies/there.yaml").write_text(POLICY)
    for name in ("gate", "promotion"):
        generate(tmp_path / f"{name}.pem")
        (tmp_path / f"{name}.pem.pub").rename(fixtures / f"keys/{name}.pub")
    (tmp_path / "inventory").write_text(f"{INVENTORY}ansible_python_interpreter={sys.executable}\n")
    values = {
        "gate_env": "here", "target_env": "there", "fixtures": str(fixtures), "batch": 1,
        "gate_key": str(tmp_path / "gate.pem"), "promotion_key": str(tmp_path / "promotion.pem"),
        "deploy_argv": ["touch", f"{tmp_path}/{{{{ inventory_hostname }}}}-{{{{ release }}}}"],
        "node_base_url": url, "work": str(tmp_path), "programs": f"{PROGRAMS}/", "release": "2.0",
    }  # fmt: skip
    (tmp_path / "site.yml").write_text(yaml.safe_dump(values))
    yield tmp_path
    server.shutdown()
    server.server_close()


def play(site: Path) -> tuple[int, str]:
    """Run the playbook against this machine."""
    own = {"LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(site)}
    argv = [f"{PROGRAMS}/ansible-playbook", "-i", "inventory", str(FOLDER / "ansible/rollout.yml"),
            "-e", "@site.yml"]  # fmt: skip
    done = subprocess.run(argv, cwd=site, env={**os.environ, **own}, capture_output=True, text=True,
                          timeout=180, check=False)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_playbook_deploys_what_is_promoted(site: Path) -> None:
    """To every node, batch by batch."""
    status, said = play(site)

    assert status == 0, said
    assert sorted(path.name for path in site.glob("n?-*")) == ["n1-2.0", "n2-2.0"]
    assert "promote" in (site / "history.jsonl").read_text()


def test_a_failed_gate_stops_the_play(site: Path) -> None:
    """Before the first node; after the first batch no further node is begun."""
    (site / "ill").touch()
    status, said = play(site)

    assert status != 0
    assert "basic" in said
    assert list(site.glob("n?-*")) == []

    (site / "ill").unlink()
    values = yaml.safe_load((site / "site.yml").read_text())
    values["deploy_argv"] = ["touch", f"{site}/{{{{ inventory_hostname }}}}-2.0", f"{site}/ill"]
    (site / "site.yml").write_text(yaml.safe_dump(values))
    status, said = play(site)

    assert status != 0, said
    assert [path.name for path in site.glob("n?-*")] == ["n1-2.0"]


# As Argo documents them, and Kubernetes its Job: what is there must be one of these.
FIELDS = {
    "spec": {"args", "metrics", "dryRun", "measurementRetention", "templates"},
    "metric": {"name", "count", "interval", "initialDelay", "successCondition", "failureCondition",
               "failureLimit", "inconclusiveLimit", "consecutiveErrorLimit", "provider"},
    "job": {"metadata", "spec"},
    "job spec": {"backoffLimit", "activeDeadlineSeconds", "completions", "parallelism", "template"},
    "pod": {"restartPolicy", "automountServiceAccountToken", "securityContext", "initContainers",
            "containers", "volumes", "serviceAccountName"},
    "container": {"name", "image", "workingDir", "command", "args", "env", "volumeMounts"},
}  # fmt: skip


def test_argos_template_has_documented_fields() -> None:
    """Every argument is declared, every mount has its volume; one try, and a failure fails."""
    text = (FOLDER / "argo" / "analysis-template.yaml").read_text()
    template: dict[str, Any] = yaml.safe_load(text)
    (metric,) = template["spec"]["metrics"]
    job = metric["provider"]["job"]
    pod = job["spec"]["template"]["spec"]
    containers = [*pod["initContainers"], *pod["containers"]]

    assert (template["apiVersion"], template["kind"]) == (
        "argoproj.io/v1alpha1", "AnalysisTemplate",
    )  # fmt: skip
    parts = {"spec": template["spec"], "metric": metric, "job": job, "job spec": job["spec"]}
    for name, part in [*parts.items(), ("pod", pod), *(("container", c) for c in containers)]:
        assert set(part) <= FIELDS[name], name
    declared = {argument["name"] for argument in template["spec"]["args"]}
    assert set(re.findall(r"\{\{args\.([a-z-]+)\}\}", text)) == declared
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {m["name"] for c in containers for m in c["volumeMounts"]} == volumes
    assert (job["spec"]["backoffLimit"], metric["failureLimit"], metric["count"]) == (0, 0, 1)
    assert pod["restartPolicy"] == "Never"


def test_argos_promotion_is_a_command_of_ours() -> None:
    """Its options are those that promote has."""
    template = yaml.safe_load((FOLDER / "argo" / "analysis-template.yaml").read_text())
    job = template["spec"]["metrics"][0]["provider"]["job"]
    (promotion,) = job["spec"]["template"]["spec"]["containers"]

    options = _parser().parse_args(promotion["command"][1:])

    assert options.environment == "{{args.target-env}}"
