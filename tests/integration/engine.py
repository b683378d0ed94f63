"""A real container engine and a real registry for tests: podman, runc and Debian's docker-registry.

- All that they keep lies in one folder; nothing of the machine's own containers is seen or touched.
- ``podman system service`` speaks Docker's API on a socket; compose and our code take it for
  Docker's. crun does not run everywhere that tests do, so runc it is.
- Images are made ``FROM scratch`` of Debian's static busybox, which serves a page.
- No container outlives the engine: its end removes them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from tarfile import TarInfo
from tarfile import open as open_tar

PROGRAMS = ("podman", "runc", "docker-registry", "busybox", "setpriv")  # for pytest.mark.needs
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "{folder}/networks"
"""
STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""
REGISTRIES = """\
[[registry]]
location = "{registry}"
insecure = true
"""
SERVE = """\
version: 0.1
log: {{accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}/registry"}}}}
http: {{addr: "{address}"}}
"""
CHANGES = ("--change", 'ENTRYPOINT ["/bin/busybox"]')
LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
PATIENCE_S = 20.0


@dataclass
class Registry:
    """A registry that can be stopped and started again at the same address.

    Attributes:
        folder: Where it keeps what was pushed.
        address: ``127.0.0.1:PORT``; the port is 0 until it has started.
    """

    folder: Path
    address: str = "127.0.0.1:0"
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)
    _reader: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """From now on it answers."""
        config = self.folder / "registry.yml"
        config.write_text(SERVE.format(folder=self.folder, address=self.address))
        command = ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", str(config)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        listening = next(filter(None, map(LISTENING.search, self._process.stderr)))
        self.address = listening[1]
        # Somebody has to read on, or it blocks.
        self._reader = threading.Thread(target=deque, args=(self._process.stderr, 0))
        self._reader.start()

    def stop(self) -> None:
        """From now on nobody answers there."""
        if self._process is not None and self._reader is not None:
            self._process.terminate()
            self._process.wait()
            self._reader.join()
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None


@dataclass
class Engine:
    """A running engine with a registry beside it.

    Attributes:
        folder: Of everything that they keep.
        registry: Where images are pushed and pulled.
    """

    folder: Path
    registry: Registry

    @property
    def socket(self) -> Path:
        """Where the engine answers, with Docker's API."""
        return self.folder / "engine.sock"

    @cached_property
    def variables(self) -> dict[str, str]:
        """What podman is told of where its things are."""
        names = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf",
                 "CONTAINERS_REGISTRIES_CONF": "registries.conf"}  # fmt: skip
        return {**os.environ, **{name: str(self.folder / file) for name, file in names.items()}}

    def podman(self, *arguments: str) -> str:
        """Run podman itself; gives its output."""
        ran = subprocess.run(
            ["podman", *arguments],
            env=self.variables,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return ran.stdout.strip()

    def image(self, tag: str, pages: Mapping[str, str]) -> str:
        """Make an image that holds busybox and these pages, and push it; only the registry has it.

        Args:
            tag: ``name:tag`` in the registry.
            pages: Contents by path under ``/www``.

        Returns:
            Its reference by digest: ``127.0.0.1:PORT/name@sha256:...``.
        """
        place = self.folder / "images-made"
        place.mkdir(exist_ok=True)
        _pack(place / "files.tar", pages)
        reference = f"{self.registry.address}/{tag}"
        self.podman("import", "--quiet", *CHANGES, str(place / "files.tar"), reference)
        self.podman("push", "--quiet", "--digestfile", str(place / "digest"), reference)
        self.podman("rmi", "--force", reference)
        return f"{reference.rpartition(':')[0]}@{(place / 'digest').read_text().strip()}"

    def clean(self) -> None:
        """Remove every container and every image of this engine, at once."""
        self.podman("rm", "--all", "--force", "--time", "0")
        self.podman("rmi", "--all", "--force")


@contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """An engine and a registry, empty; both end with the block, or with this process.

    Args:
        folder: A short path: names of sockets may have 107 characters.
    """
    registry = Registry(folder)
    registry.start()
    engine = Engine(folder, registry)
    (folder / "containers.conf").write_text(CONTAINERS.format(folder=folder))
    (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
    (folder / "registries.conf").write_text(REGISTRIES.format(registry=registry.address))
    serve = ["podman", "system", "service", "--time", "0", f"unix://{engine.socket}"]
    with (folder / "engine.log").open("wb") as log:
        service = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *serve],
            env=engine.variables,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(engine, service)
        yield engine
    finally:
        engine.clean()
        service.terminate()
        service.wait()
        registry.stop()
        engine.podman("system", "reset", "--force")


def _pack(file: Path, pages: Mapping[str, str]) -> None:
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    contents = {f"www/{path}": text.encode() for path, text in pages.items()}
    with open_tar(file, "w") as archive:
        for name, data in {"bin/busybox": busybox, **contents}.items():
            member = TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, BytesIO(data))


def _wait(engine: Engine, service: subprocess.Popen[bytes]) -> None:
    """Until it answers."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        assert service.poll() is None, (engine.folder / "engine.log").read_text()
        with socket(AF_UNIX, SOCK_STREAM) as connection, suppress(OSError):
            connection.connect(str(engine.socket))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if b" 200 " in connection.recv(1024):
                return
        pause.wait(0.05)
    raise TimeoutError("podman does not answer")
