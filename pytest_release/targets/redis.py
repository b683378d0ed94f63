"""A Redis as a check of isolation uses it: scanned with a cursor, never with KEYS.

- A session is read-only unless it was opened for writing: Redis itself knows no such sessions.
- A prefix is compared byte by byte and never becomes a pattern: ``momentry*`` would match the keys
  of ``momentry_dev:``, too.
- Every scan is bounded; one that was not finished says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Self

from pytest_release.errors import TargetError
from pytest_release.redaction import reveal
from pytest_release.targets.closing import Closing
from pytest_release.targets.portions import UnfinishedError, portions

CONNECT_S = 5.0  # seconds to connect
ANSWER_S = 10.0  # seconds that one answer may take
PORTION = 1_000  # keys that the server looks at for one answer
MOST_KEYS = 1_000_000  # of a scan
READ_BYTES = 65_536  # of a string that are looked at
ADDRESS = "expected redis://host:port/number"


class Redis(Closing):
    """An open connection; `connect` makes one.

    Args:
        client: redis-py's, answering bytes.
        place: ``host:port/number``, for messages.
        read_only: `put` and `remove` are refused.
    """

    def __init__(self, client: Any, place: str, *, read_only: bool) -> None:  # noqa: ANN401 - an extra
        self._client = client
        self.place = place
        self._read_only = read_only

    @classmethod
    def connect(cls, options: Mapping[str, Any], *, read_only: bool = True) -> Self:
        """Open a connection, and see that it answers.

        Args:
            options: ``services.redis`` of an environment: ``url``.
            read_only: Nothing is going to be written through it.

        Raises:
            TargetError: The client is missing, the address is none, or the server refuses.
        """
        redis = _client_library()
        url = reveal(options.get("url", ""))
        try:
            client = redis.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_S,
                socket_timeout=ANSWER_S,
                decode_responses=False,
            )
        except ValueError:
            raise TargetError(f"redis: services.redis.url is no address: {ADDRESS}") from None
        opened = cls(client, _place(client), read_only=read_only)
        try:
            opened._said("ping")
        except BaseException:
            client.close()
            raise
        return opened

    def server(self) -> str:
        """Which server and database it is, by whatever name it was reached."""
        about = self._said("info", "server")
        return f"{about['run_id']}/{self.place.rpartition('/')[2]}"

    def scan(self, most: int = MOST_KEYS) -> Iterator[bytes]:
        """Every key of the database, by SCAN; one may come more than once.

        Raises:
            UnfinishedError: There are more than `most`.
            TargetError: The server refuses, or is gone.
        """
        seen = 0
        cursor = 0
        while True:
            cursor, keys = self._said("scan", cursor=cursor, count=PORTION)
            seen += len(keys)
            yield from keys
            if cursor == 0:
                return
            if seen >= most:
                raise UnfinishedError(f"redis {self.place}: only the first {seen} keys were read")

    def holding(self, keys: Iterable[bytes], words: Sequence[bytes]) -> Iterator[bytes]:
        """Those of the keys whose value is, contains, or has as a member one of the words.

        Of a string its first 64 KiB are read; sets, lists, hashes and sorted sets are asked for the
        word itself as a member.
        """
        for group in portions(keys, PORTION):
            kinds = self._pipelined([("type", (key,)) for key in group])
            asked = [
                (key, question)
                for key, kind in zip(group, kinds, strict=True)
                for question in _questions(key, kind, words)
            ]
            answers = self._pipelined([question for _, question in asked])
            found = (
                key
                for (key, (name, _)), said in zip(asked, answers, strict=True)
                if _holds(name, said, words)
            )
            yield from dict.fromkeys(found)

    def exists(self, key: bytes) -> bool:
        """Whether there is such a key."""
        return bool(self._said("exists", key))

    def put(self, key: bytes, value: bytes, seconds: int) -> None:
        """Set a key that the server itself forgets after some seconds."""
        self._refuse_writing(key)
        self._said("set", key, value, ex=seconds)

    def remove(self, key: bytes) -> None:
        """Delete one key."""
        self._refuse_writing(key)
        self._said("delete", key)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _refuse_writing(self, key: bytes) -> None:
        if self._read_only:
            raise TargetError(f"redis {self.place} was opened for reading: {key!r} is not written")

    def _said(self, name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        with self._errors():
            return getattr(self._client, name)(*arguments, **options)

    def _pipelined(self, commands: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        with self._errors(), self._client.pipeline(transaction=False) as pipe:
            for name, arguments in commands:
                getattr(pipe, name)(*arguments)
            # a key may have gone, or become another kind of value, since it was listed
            answers: list[Any] = pipe.execute(raise_on_error=False)
            return answers

    @contextmanager
    def _errors(self) -> Iterator[None]:
        redis = _client_library()
        try:
            yield
        except redis.RedisError as error:
            said = str(error).splitlines() or [type(error).__name__]
            raise TargetError(f"redis {self.place}: {said[0][:200]}") from None


def _questions(
    key: bytes,
    kind: Any,  # noqa: ANN401 - a kind or an error
    words: Sequence[bytes],
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if kind == b"string":
        yield "getrange", (key, 0, READ_BYTES - 1)
    elif member := _MEMBER.get(kind):
        yield from ((member, (key, word)) for word in words)


_MEMBER = {b"set": "sismember", b"list": "lpos", b"hash": "hexists", b"zset": "zscore"}


def _holds(name: str, said: Any, words: Sequence[bytes]) -> bool:  # noqa: ANN401 - any answer
    if isinstance(said, Exception):
        return False
    if name == "getrange":
        return any(word in said for word in words)
    return bool(said) if name in ("sismember", "hexists") else said is not None


def _place(client: Any) -> str:  # noqa: ANN401 - an extra
    """Where it is, without user and password."""
    given = client.connection_pool.connection_kwargs
    number = given.get("db") or 0
    if path := given.get("path"):
        return f"{path}/{number}"
    return f"{given.get('host', 'localhost')}:{given.get('port', 6379)}/{number}"


def _client_library() -> ModuleType:
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError:
        raise TargetError(
            "Redis needs redis, which is not installed: pip install 'pytest-release[stores]'"
        ) from None
    return redis
