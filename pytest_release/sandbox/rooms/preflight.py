"""A stack that is going to be released, and everything that can be wrong before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_release.sandbox.build import VERSION
from pytest_release.sandbox.changes import HOSTILE
from pytest_release.sandbox.fault import faults_of
from pytest_release.sandbox.room import Part, Room
from pytest_release.sandbox.rooms import _stack as good
from pytest_release.sandbox.rooms._stack import Stack
from pytest_release.sandbox.rooms._stack_servers import network_answers

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

Edit = Callable[[Stack], None]
COMPOSE = "compose.yaml"
OCR_IMAGE = "image: ${REGISTRY}/seisei/ocr:${TAG}@sha256:${OCR_DIGEST}"
PETABYTE = 10**15


def _compose(old: str, new: str) -> Edit:
    """Another compose file, in the sources as in the run folder: no drift."""

    def edit(stack: Stack) -> None:
        stack.replace(COMPOSE, old, new)
        shutil.copy2(stack.run / COMPOSE, stack.source / COMPOSE)

    return edit


def _set(name: str, value: str | None) -> Edit:
    return lambda stack: stack.set(name, value)


def _everywhere(name: str, value: str) -> Edit:
    """A credential that is overwritten wherever it stands: the sources agree, and are wrong."""

    def edit(stack: Stack) -> None:
        for file in (stack.run / ".env", *(stack.run / "config").iterdir()):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(stack.credentials[name], value), encoding="utf-8")

    return edit


def _says(name: str, old: str, new: str) -> Edit:
    return lambda stack: stack.replace(name, old, new)


def _password(stack: Stack) -> None:
    stack.replace("config/odoo.conf", stack.credentials["DB_PASSWORD"], "of-the-stack-before-1")


def _unexpanded(stack: Stack) -> None:
    stack.replace("config/odoo.conf", stack.credentials["DB_PASSWORD"], "${DB_PASSWORD}")


def _lost_keys(stack: Stack) -> None:
    (stack.run / "config" / "storage.yaml").write_text(
        "object_store:\n  endpoint: https://s3.example\n", encoding="utf-8"
    )


def _duplicate(stack: Stack) -> None:
    with (stack.run / ".env").open("a", encoding="utf-8") as file:
        file.write("DB_HOST=db\n")


def _lost_from_both(stack: Stack) -> None:
    stack.set("SMTP_HOST", "smtp.example", stack.last)


def _moved(stack: Stack) -> None:
    kept = stack.images.digests["seisei/odoo"]
    stack.images.push("seisei/odoo", good.TAG, b"built again")
    stack.images.digests["seisei/odoo"] = kept


def _large(stack: Stack) -> None:
    digest = stack.images.push("seisei/ocr", good.TAG, b"model", size=PETABYTE)
    stack.set("OCR_DIGEST", digest)


def _networks(*names: str) -> Edit:
    def edit(stack: Stack) -> None:
        stack.networks.clear()
        stack.networks.update(network_answers(names))

    return edit


def _host_unset(stack: Stack) -> None:
    stack.replace("config/odoo.conf", "db_host = db", "db_host = False")
    _compose("      HOST: ${DB_HOST}\n", "")(stack)


def _script(stack: Stack) -> None:
    for folder in (stack.run, stack.source):
        (folder / "bin" / "backup.sh").chmod(0o644)


def _no_script(stack: Stack) -> None:
    (stack.run / "bin" / "backup.sh").unlink()


def _uncommitted(stack: Stack) -> None:
    (stack.repository / "package.json").write_text("{}\n", encoding="utf-8")


def _unpushed(stack: Stack) -> None:
    stack.commit({"package.json": f'{{"version": "{VERSION}"}}\n'}, push=False)


def _behind(stack: Stack) -> None:
    stack.git("reset", "--quiet", "--hard", "HEAD~1")


def _branch(stack: Stack) -> None:
    stack.git("checkout", "--quiet", "-b", "hotfix", "--track", "origin/main")


def _edited(stack: Stack) -> None:
    stack.replace(COMPOSE, "depends_on: [db]", "depends_on: [db, ocr]")


def _added(stack: Stack) -> None:
    (stack.run / "compose.override.yaml").write_text("services: {}\n", encoding="utf-8")


def _hostile(stack: Stack) -> None:
    name = HOSTILE.replace("/", "").replace("\0", "")[:80]
    (stack.run / name).write_text("", encoding="utf-8")


def _versions(stack: Stack) -> None:
    stack.commit({"package.json": f'{{"version": "{good.BEFORE}"}}\n'}, push=True)


def _tagged(stack: Stack) -> None:
    stack.git("tag", f"v{VERSION}", "HEAD~1")


def _no_release(stack: Stack) -> None:
    shutil.rmtree(stack.last)


def _no_template(stack: Stack) -> None:
    (stack.source / ".env.example").unlink()


_FAULTS: tuple[tuple[str, str, str, Edit], ...] = (
    ("broken-compose", "does-not-parse", "a line of the compose file is indented wrongly",
     _compose("    environment:\n      HOST", "   environment:\n      HOST")),
    ("unknown-key", "does-not-parse", "the compose file has a key that compose does not know",
     _compose("    depends_on: [db]", "    depend_on: [db]")),
    ("secret-in-error", "does-not-parse", "compose's error repeats a password",
     _compose("    networks: [default, edge]",
              '    networks: [default, edge]\n    ports: ["${DB_PASSWORD}"]')),
    ("unset-variable", "unset-variable", "the compose file uses a variable that nothing sets",
     _compose("USER: ${DB_USER}", "USER: ${DB_USER}${DB_SUFFIX}")),
    ("lost-service", "no-such-service", "the OCR service is not in the stack any more",
     _compose("  ocr:\n", "  ocr2:\n")),
    ("build", "build", "a service is built where it runs",
     _compose(OCR_IMAGE, f"{OCR_IMAGE}\n    build: .")),
    ("latest", "latest", "an image has the tag latest",
     _compose(OCR_IMAGE, "image: ${REGISTRY}/seisei/ocr:latest")),
    ("untagged", "latest", "an image has no tag",
     _compose(OCR_IMAGE, "image: ${REGISTRY}/seisei/ocr")),
    ("moving-tag", "moving-tag", "an image has the tag stable",
     _compose(OCR_IMAGE, "image: ${REGISTRY}/seisei/ocr:stable")),
    ("not-pinned", "not-pinned", "an image has a tag and no digest",
     _compose(OCR_IMAGE, "image: ${REGISTRY}/seisei/ocr:${TAG}")),
    ("image-gone", "unresolvable", "the registry has an image no more",
     lambda stack: stack.images.lose("seisei/ocr")),
    ("image-garbled", "unresolvable", "the registry gives other bytes than the digest says",
     lambda stack: stack.images.garble("seisei/ocr")),
    ("tag-moved", "tag-moved", "an image was pushed again under its tag after staging", _moved),
    ("image-too-large", "no-room", "an image has a layer of a petabyte", _large),
    ("no-network", "no-network", "the edge network does not exist", _networks("bridge", "host")),
    ("network-alike", "no-network", "there is a network edge-old, and no edge",
     _networks("bridge", "edge-old")),
    ("engine-down", "no-answer", "the container engine does not answer", Stack.stop_engine),
    ("missing-key", "missing-key", "the env file lacks a key of the template",
     _set("S3_ENDPOINT", None)),
    ("misspelt-key", "missing-key", "a key of the env file is misspelt",
     lambda stack: stack.replace(".env", "SESSION_SECRET=", "SESION_SECRET=")),
    ("lost-key", "lost-key", "the env file lost a key that the last release has", _lost_from_both),
    ("lost-value", "lost-value", "a key of the env file has lost its value",
     _set("S3_ENDPOINT", "")),
    ("duplicate-key", "duplicate-key", "the env file sets a key twice", _duplicate),
    ("no-last-release", "no-answer", "the folder of the last release is missing", _no_release),
    ("no-template", "no-answer", "the sources have no template of the env file", _no_template),
    ("redacted", "placeholder", "***REDACTED*** was written over the database's password",
     _everywhere("DB_PASSWORD", "***REDACTED***")),
    ("changeme", "placeholder", "the object store's key is still changeme",
     _everywhere("S3_SECRET_KEY", "changeme")),
    ("unexpanded", "placeholder", "odoo.conf has ${DB_PASSWORD}, which nobody fills in",
     _unexpanded),
    ("empty-secret", "empty-secret", "the session secret is empty", _set("SESSION_SECRET", "")),
    ("weak-secret", "weak-secret", "the database's password is admin",
     _everywhere("DB_PASSWORD", "admin")),
    ("template-secret", "template-secret", "the session secret is the template's",
     _set("SESSION_SECRET", good.TEMPLATE_SECRET)),
    ("wrong-host-wins", "conflict", "odoo.conf names another database host, and wins",
     _says("config/odoo.conf", "db_host = db", "db_host = localhost")),
    ("other-password", "conflict", "odoo.conf has the password of before, and wins", _password),
    ("lost-keys", "missing-setting", "storage.yaml lost the object store's keys", _lost_keys),
    ("host-unset", "missing-setting", "odoo.conf has db_host = False, and nothing else says it",
     _host_unset),
    ("script-mode", "not-executable", "the backup script cannot be executed", _script),
    ("no-script", "no-command", "the backup script is missing", _no_script),
    ("uncommitted", "uncommitted", "a file of the sources was edited", _uncommitted),
    ("unpushed", "unpushed", "a commit is not pushed", _unpushed),
    ("behind", "behind", "the sources are one commit behind", _behind),
    ("other-branch", "other-branch", "the sources are on another branch", _branch),
    ("edited-on-server", "drift-changed", "the compose file was edited where it runs", _edited),
    ("not-copied", "drift-missing", "a file of the sources was not copied", _no_script),
    ("override", "drift-added", "an override file lies in the run folder", _added),
    ("hostile-name", "drift-added", "a file is named with ANSI and control characters", _hostile),
    ("versions-differ", "versions-differ", "package.json has the version before", _versions),
    ("not-bumped", "not-bumped", "the version was released before", _tagged),
)  # fmt: skip
_EDITS = {f"preflight.{name}": edit for name, _, _, edit in _FAULTS}


def _start(faults: frozenset[str], _stores: Stores | None) -> Stack:
    return Stack(edit for name, edit in _EDITS.items() if name in faults)


ROOM = Room(
    faults=faults_of("preflight", (row[:3] for row in _FAULTS)),
    parts=(Part("stack", frozenset({"preflight"}), _start),),
)
