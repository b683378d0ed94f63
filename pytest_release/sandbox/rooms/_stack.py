"""A stack before its release: run folder, sources, the release before, registry and engine.

The folders, the git repository and docker compose are real; registry and engine are stand-ins, see
`_stack_servers`. Credentials are made anew each time.
"""

from __future__ import annotations

import atexit
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pytest_release.errors import SandboxError
from pytest_release.sandbox.build import VERSION
from pytest_release.sandbox.rooms._git import AUTHOR, EPOCH, Worktree, run_git
from pytest_release.sandbox.rooms._stack_servers import HOST, Images, Server, network_answers

BEFORE = "0.9.0"
STACK = "stacks/odoo18"
TAG, TAG_BEFORE = "sha-4b1ce21", "sha-1f0c9aa"
LAST = f"{TAG_BEFORE}__20260122T021500Z"
ORIGIN = "origin.git"
NETWORKS = ("bridge", "host", "none", "edge")
LONGEST_SOCKET = 100  # characters of a unix socket's path, of 107
IMAGES = ("odoo", "ocr", "postgres")
TEMPLATE_SECRET = "s3cr3t-of-the-template"  # noqa: S105 - what everybody can read

COMPOSE = """\
services:
  odoo:
    image: ${REGISTRY}/seisei/odoo:${TAG}@sha256:${ODOO_DIGEST}
    depends_on: [db]
    environment:
      HOST: ${DB_HOST}
      USER: ${DB_USER}
      PASSWORD: ${DB_PASSWORD}
    volumes:
      - ./config/odoo.conf:/etc/odoo/odoo.conf:ro
      - filestore:/var/lib/odoo
    networks: [default, edge]
  db:
    image: ${REGISTRY}/seisei/postgres:${TAG}@sha256:${POSTGRES_DIGEST}
    environment:
      POSTGRES_USER: ${DB_USER}
      POSTGRES_PASSWORD: ${DB_PASSWORD}
    volumes:
      - database:/var/lib/postgresql/data
  ocr:
    image: ${REGISTRY}/seisei/ocr:${TAG}@sha256:${OCR_DIGEST}
    env_file: [.env]
    volumes:
      - ./config/storage.yaml:/app/storage.yaml:ro
networks:
  edge:
    external: true
volumes:
  filestore: {}
  database: {}
"""
TEMPLATE = f"""\
# Copy to .env and fill in.
REGISTRY=registry.example
TAG=
ODOO_DIGEST=
OCR_DIGEST=
POSTGRES_DIGEST=
DB_HOST=db
DB_USER=odoo
DB_PASSWORD=<ask the operator>
S3_ENDPOINT=https://s3.example
S3_ACCESS_KEY=changeme
S3_SECRET_KEY=changeme
SESSION_SECRET={TEMPLATE_SECRET}
"""
BACKUP = '#!/bin/sh\nset -eu\npg_dump --format=custom --file "$1"\n'
_SOURCES = {
    "Cargo.toml": '[package]\nname = "ocr"\nversion = "{version}"\nedition = "2021"\n',
    "build.rs": 'fn main() {{\n    println!("cargo:rustc-env=BUILD_VERSION={version}");\n}}\n',
    "pyproject.toml": '[project]\nname = "seisei-addons"\nversion = "{version}"\n',
    "package.json": '{{\n  "name": "seisei-web",\n  "version": "{version}"\n}}\n',
}


class Stack(Worktree):
    """Made when it is constructed; gone when it is stopped.

    Args:
        edits: What is wrong with it, done when everything is as it should be.

    Raises:
        SandboxError: git is not installed, or refuses.
    """

    def __init__(self, edits: Iterable[Callable[[Stack], None]] = ()) -> None:
        self.root = Path(mkdtemp(prefix="pytest-release-stack-"))
        self.run, self.repository = self.root / "run", self.root / "source"
        self.source, self.last = self.repository / STACK, self.root / "releases" / LAST
        self.images = Images()
        self.networks = network_answers(NETWORKS)
        self.credentials = {
            name: secrets.token_urlsafe(24)
            for name in ("DB_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY", "SESSION_SECRET")
        }
        self._servers: list[Server] = []
        self._socket_folder: Path | None = None
        try:
            self._serve()
            self._make_repository()
            self._deploy()
            for edit in edits:
                edit(self)
        except BaseException:
            self.stop()
            raise

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names them."""
        return {
            "compose": {"directory": str(self.run), "socket": str(self.socket)},
            "source": {
                "repository": str(self.repository),
                "stack": STACK,
                "last_release": str(self.last),
            },
        }

    @property
    def secrets(self) -> frozenset[str]:
        """The stack's credentials."""
        return frozenset(self.credentials.values())

    @property
    def told(self) -> Mapping[str, Any]:
        """No endpoint needs to know of it."""
        return {}

    def stop(self) -> None:
        """Remove every file, and stop both servers."""
        for server in self._servers:
            server.stop()
        self._servers.clear()
        for folder in (self.root, self._socket_folder):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def replace(self, name: str, old: str, new: str, folder: Path | None = None) -> None:
        """Change the first of some words in a file, of the run folder if not another is named."""
        file = (folder or self.run) / name
        text = file.read_text(encoding="utf-8")
        if old not in text:
            raise SandboxError(f"the sandbox's {name} does not say {old!r}")
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def set(self, name: str, value: str | None, folder: Path | None = None) -> None:
        """Give a key of an env file another value, or take its line away."""
        file = (folder or self.run) / ".env"
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if not line.startswith(f"{name}=")]
        kept += [] if value is None else [f"{name}={value}"]
        file.write_text("\n".join([*kept, ""]), encoding="utf-8")

    def _serve(self) -> None:
        for name in IMAGES:
            self.images.push(f"seisei/{name}", TAG, f"{name} {VERSION}".encode())
        registry = Server(self.images.answers)
        self._servers.append(registry)
        self.registry = f"{HOST}:{registry.port}"
        self.socket = self.root / "engine.sock"
        if len(str(self.socket)) > LONGEST_SOCKET:  # wherever TMPDIR leads
            self._socket_folder = Path(mkdtemp(prefix="pytest-release-", dir="/tmp"))
            self.socket = self._socket_folder / "engine.sock"
        self._servers.append(Server(self.networks, self.socket))

    def stop_engine(self) -> None:
        """Nobody answers at the engine's socket."""
        self._servers.pop().stop()

    def _make_repository(self) -> None:
        """The sources in a bare repository, at two versions; and a clone of it."""
        for name in (ORIGIN, "source"):
            shutil.copytree(_repositories() / name, self.root / name, symlinks=True)

    def _deploy(self) -> None:
        """The run folder as a copy of the sources, filled in; and the release before."""
        for folder, tag in ((self.run, TAG), (self.last, TAG_BEFORE)):
            shutil.copytree(self.source, folder)
            (folder / ".env").write_text(self._env(tag), encoding="utf-8")
            (folder / "config").mkdir()
            for name, text in self._configuration().items():
                (folder / "config" / name).write_text(text, encoding="utf-8")

    def _env(self, tag: str) -> str:
        digests = {
            f"{name.upper()}_DIGEST": self.images.digests[f"seisei/{name}"] for name in IMAGES
        }
        settings = {"DB_HOST": "db", "DB_USER": "odoo", "S3_ENDPOINT": "https://s3.example"}
        given = {"REGISTRY": self.registry, "TAG": tag, **digests, **settings, **self.credentials}
        return "".join(f"{name}={value}\n" for name, value in given.items())

    def _configuration(self) -> Mapping[str, str]:
        """What odoo and the OCR service read themselves."""
        mine = self.credentials
        odoo = f"db_host = db\ndb_user = odoo\ndb_password = {mine['DB_PASSWORD']}\n"
        storage = {
            "endpoint": "https://s3.example",
            "access_key": mine["S3_ACCESS_KEY"],
            "secret_key": mine["S3_SECRET_KEY"],
        }
        lines = "".join(f'  {name}: "{value}"\n' for name, value in storage.items())
        return {
            "odoo.conf": f"[options]\n{odoo}workers = 4\nproxy_mode = True\n",
            "storage.yaml": f"object_store:\n{lines}",
        }


@cache
def _repositories() -> Path:
    """Both, made once a process: the clone finds the other beside itself, wherever they are."""
    folder = Path(mkdtemp(prefix="pytest-release-repositories-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    stream = _commit(1, BEFORE) + f"reset refs/tags/v{BEFORE}\nfrom :1\n\n".encode()
    bare = "--template="  # no hooks
    run_git(folder, "init", "--quiet", bare, "--bare", "--initial-branch=main", ORIGIN)
    packed = ("-c", "fastimport.unpackLimit=1")  # a tenth of the files
    run_git(folder / ORIGIN, *packed, "fast-import", "--quiet", stdin=stream + _commit(2, VERSION))
    run_git(folder, "clone", "--quiet", bare, ORIGIN, "source")
    run_git(folder / "source", "remote", "set-url", "origin", f"../{ORIGIN}")
    return folder


def _commit(mark: int, version: str) -> bytes:
    """One commit in the language of git fast-import."""
    stack = {"compose.yaml": COMPOSE, ".env.example": TEMPLATE, "bin/backup.sh": BACKUP}
    files = {name: text.format(version=version) for name, text in _SOURCES.items()}
    files |= {f"{STACK}/{name}": text for name, text in stack.items()}
    subject = f"release {version}"
    lines = [
        "commit refs/heads/main",
        f"mark :{mark}",
        f"author {AUTHOR} {EPOCH + mark} +0800",
        f"committer {AUTHOR} {EPOCH + mark} +0800",
        f"data {len(subject.encode())}\n{subject}",
        *([f"from :{mark - 1}"] if mark > 1 else []),
    ]
    for name, text in files.items():
        mode = "100755" if name.endswith(".sh") else "100644"
        lines.append(f"M {mode} inline {name}\ndata {len(text.encode())}\n{text}")
    return "\n".join([*lines, "", ""]).encode()
