"""Tests of `pytest_release.config.policies` and of the policies that it makes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config.environment import ROLES
from pytest_release.config.policies import DAYS, key_names, load_policy, policy_names
from pytest_release.config.policy import (
    SUBJECTS,
    Freeze,
    Moment,
    Policy,
    Requirement,
    Signers,
    Soak,
    WaiverPolicy,
)
from pytest_release.config.validation import schema
from pytest_release.errors import ConfigError, UsageError

SHIPPED = Path(__file__).parents[3] / "fixtures"
BERLIN = ZoneInfo("Europe/Berlin")
DAY, WEEK = timedelta(days=1), timedelta(days=7)
LEAST = """\
name: here
version: 1
signers: {keys: [ci]}
max_age_h: 24
gates: {basic: {environment: staging}}
"""
FULL = """\
name: here
version: 7
signers: {keys: [ci, acceptance], threshold: 2}
max_age_h: 0.5
gates:
  stream:
    role: sentinel
    signers: {keys: [lab]}
    max_age_h: 48
    min_cases: 13
    warned: true
    thresholds: {ttfb_ms: 100, error_rate: 0}
  basic: {environment: staging}
subjects: [images, commit]
soak: {environment: staging, minutes: 30}
freeze:
  - {name: the weekend, from: "friday 18:00", until: "monday 07:00", zone: Asia/Shanghai}
  - {name: the night, from: "22:00", until: "06:30", zone: Europe/Berlin}
  - {name: new year, from: 2026-12-20T18:00, until: 2027-01-02T00:00, zone: UTC}
waivers: {signers: {keys: [acceptance]}, max_h: 72, forbidden: [basic]}
break_glass: {signers: {keys: [ci, lab], threshold: 2}, max_h: 4}
"""

Load = Callable[..., Policy]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes ``policies/<name>.yaml`` and loads it; the keys need only be there."""
    for folder in ("policies", "keys"):
        (tmp_path / folder).mkdir()
    for key in ("ci", "acceptance", "lab"):
        (tmp_path / "keys" / f"{key}.pub").touch()

    def load_text(text: str, name: str = "here", **others: str) -> Policy:
        for other, content in {name: text, **others}.items():
            (tmp_path / "policies" / f"{other}.yaml").write_text(content)
        return load_policy(tmp_path, name)

    return load_text


def test_policies_and_keys_are_listed_by_name(tmp_path: Path) -> None:
    """Sorted; a leading underscore marks a base, and other files are none."""
    for name in ("policies/b.yaml", "policies/a.yaml", "policies/_base.yaml", "policies/old.yml",
                 "keys/two.pub", "keys/one.pub", "keys/one.revoked.yaml", "keys/one"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert policy_names(tmp_path) == ["a", "b"]
    assert key_names(tmp_path) == ["one", "two"]
    assert policy_names(tmp_path / "absent") == key_names(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stagin", "'stagin', did you mean 'staging'?; policies in {}: production, staging"),
        ("x", "'x'; policies in {}: production, staging"),
        ("_base", "'_base'; policies in {}: production, staging"),
        ("../secret", "'../secret'; policies in {}: production, staging"),
        (
            "рroduсtion",  # noqa: RUF001 - that is what it is about
            r"'\u0440rodu\u0441tion', did you mean 'production'?; policies in {}: ",
        ),
    ],
)
def test_an_unknown_policy_lists_those_there_are(tmp_path: Path, name: str, message: str) -> None:
    """With the nearest name; a letter that looks like another is shown for what it is."""
    folder = tmp_path / "policies"
    folder.mkdir()
    for known in ("staging", "production", "_base"):
        (folder / f"{known}.yaml").touch()
    expected = f"no policy guards {message.format(folder)}"

    with pytest.raises(UsageError, match=f"^{re.escape(expected)}"):
        load_policy(tmp_path, name)


def test_without_any_policy_the_message_says_where_they_are_looked_for(tmp_path: Path) -> None:
    """A wrong folder is recognised by it."""
    expected = rf"policies in {tmp_path}/policies: none \(no \*\.yaml there\)$"

    with pytest.raises(UsageError, match=expected):
        load_policy(tmp_path, "x")


def test_what_is_left_out_has_a_default(tmp_path: Path, load: Load) -> None:
    """The least that a policy says, and what follows from it: nobody may waive anything."""
    policy = load(LEAST)

    signers = Signers(("ci",), 1)
    assert policy == Policy(
        name="here",
        version=1,
        signers=signers,
        gates=(
            Requirement(
                gate="basic",
                environment="staging",
                role=None,
                signers=signers,
                max_age=timedelta(hours=24),
                min_cases=1,
                warned=False,
                thresholds={},
            ),
        ),
        subjects=(),
        soak=None,
        freezes=(),
        waivers=None,
        break_glass=None,
        source=tmp_path / "policies" / "here.yaml",
        digest=policy.digest,
    )


def test_everything_that_can_be_said_is_kept(load: Load) -> None:
    """Each key comes through; what a gate says of its own stands before what the policy says."""
    policy = load(FULL)

    both, lab = Signers(("ci", "acceptance"), 2), Signers(("lab",), 1)
    assert (policy.name, policy.version, policy.signers) == ("here", 7, both)
    assert policy.gates == (
        Requirement(
            "stream", None, "sentinel", lab, timedelta(hours=48), 13, True,
            {"ttfb_ms": 100, "error_rate": 0},
        ),
        Requirement("basic", "staging", None, both, timedelta(minutes=30)),
    )  # fmt: skip
    assert policy.subjects == ("images", "commit")
    assert policy.soak == Soak("staging", timedelta(minutes=30))
    assert policy.waivers == WaiverPolicy(
        Signers(("acceptance",), 1), timedelta(hours=72), frozenset({"basic"})
    )
    assert policy.break_glass == WaiverPolicy(Signers(("ci", "lab"), 2), timedelta(hours=4))
    assert policy.freezes == (
        Freeze(
            "the weekend",
            Moment(None, timedelta(days=4, hours=18), WEEK),
            Moment(None, timedelta(hours=7), WEEK),
            ZoneInfo("Asia/Shanghai"),
        ),
        Freeze(
            "the night",
            Moment(None, timedelta(hours=22), DAY),
            Moment(None, timedelta(hours=6, minutes=30), DAY),
            BERLIN,
        ),
        Freeze(
            "new year",
            Moment(datetime(2026, 12, 20, 18)),  # noqa: DTZ001 - local
            Moment(datetime(2027, 1, 2)),  # noqa: DTZ001 - local
            ZoneInfo("UTC"),
        ),
    )


def test_what_a_policy_says_to_people(load: Load) -> None:
    """Where a gate must have run, whose signatures count, and which keys may count at all."""
    policy = load(FULL)

    assert [each.place for each in policy.gates] == [
        "an environment with the role sentinel",
        "staging",
    ]
    assert str(policy.signers) == "2 of ci, acceptance"
    assert policy.trusted == {"ci", "acceptance", "lab"}
    assert load(LEAST).trusted == {"ci"}


def test_a_policy_can_extend_another(load: Load) -> None:
    """Mappings merge and lists are replaced; what is wrong in the base is said of the base."""
    base = LEAST.replace("name: here\n", "").replace("[ci]", "[ci, lab]")
    text = "extends: _base.yaml\nname: here\ngates: {stream: {role: staging}}\nmax_age_h: 1\n"

    policy = load(text, _base=base)

    assert [(each.gate, each.max_age) for each in policy.gates] == [
        ("basic", timedelta(hours=1)),
        ("stream", timedelta(hours=1)),
    ]
    assert policy.signers == Signers(("ci", "lab"))
    with pytest.raises(ConfigError, match=r"policies/_base.yaml:2: signers.keys\[1\]: there is no"):
        load(text, _base=base.replace("lab", "nobody"))


def test_the_digest_is_that_of_what_is_said(load: Load) -> None:
    """Neither comments nor the order of keys change it; anything else does."""
    digest = load(FULL).digest

    assert re.fullmatch("[0-9a-f]{64}", digest)
    head, _, rest = FULL.partition("version: 7\n")
    assert load(f"# seen\n{head}{rest}version: 7\n").digest == digest
    assert load(FULL.replace("minutes: 30", "minutes: 29")).digest != digest


def test_the_code_and_the_schema_name_the_same(load: Load) -> None:
    """Roles, kinds of subjects and days."""
    described = schema("policy")

    requirement = described["$defs"]["requirement"]["properties"]
    assert requirement["role"]["enum"] == list(ROLES)
    assert described["properties"]["subjects"]["items"]["enum"] == list(SUBJECTS)
    assert "|".join(DAYS) in described["$defs"]["freeze"]["properties"]["from"]["pattern"]


def freeze(**keys: str) -> str:
    """The least policy with one freeze in lines 6 to 11, its keys a line each."""
    given = {"name": "f", "from": "22:00", "until": "06:00", "zone": "UTC", **keys}
    lines = (f'    {key}: "{value}"\n' for key, value in given.items())
    return f"{LEAST}freeze:\n  -\n{''.join(lines)}"


# what is wrong: the file's text, the expected problems after "here.yaml:"
WRONG: dict[str, tuple[str, Sequence[str]]] = {
    "another name": (
        LEAST.replace("here", "there"),
        ["1: name: expected 'here', the file's own name, got 'there'"],
    ),
    "a name that ends in a line feed": (
        LEAST.replace("name: here", 'name: "here\\n"'),
        ['1: name: expected the name of the environment that the policy guards, got "here\\n"'],
    ),
    "a key that is not there": (
        LEAST.replace("[ci]", "[ci,\n  cii]"),
        [
            ("4: signers.keys[1]: there is no key 'cii', did you mean 'ci'?; "
            "keys: acceptance, ci, lab; add it with: pytest-release key add cii FILE.pub")
        ],
    ),
    "keys that are not there, everywhere": (
        FULL.replace("[lab]", "[a1]")
        .replace("{keys: [acceptance]}", "{keys: [a2]}")
        .replace("[ci, lab]", "[ci, a3]"),
        [
            f"{line}: {key}: there is no key '{name}'; keys: acceptance, ci, lab; "
            f"add it with: pytest-release key add {name} FILE.pub"
            for line, key, name in (
                (8, "gates.stream.signers.keys[0]", "a1"),
                (20, "waivers.signers.keys[0]", "a2"),
                (21, "break_glass.signers.keys[1]", "a3"),
            )
        ],
    ),
    "a threshold beyond the keys": (
        LEAST.replace("[ci]", "[ci, lab], threshold: 3"),
        ["3: signers.threshold: 3 of 2 keys can never have signed"],
    ),
    "no such zone": (
        freeze(zone="Europe/Atlantis"),
        [("11: freeze[0].zone: there is no time zone 'Europe/Atlantis'; "
         "expected one like Europe/Berlin")],
    ),
    "a folder of zones": (
        freeze(zone="Europe"),
        ["11: freeze[0].zone: there is no time zone 'Europe'; expected one like Europe/Berlin"],
    ),
    "a zone outside the folder": (
        freeze(zone="../../etc/passwd"),
        [("11: freeze[0].zone: there is no time zone '../../etc/passwd'; "
         "expected one like Europe/Berlin")],
    ),
    "a day that is not there": (
        freeze(**{"from": "2026-02-29T10:00", "until": "2026-03-01T10:00"}),
        ["9: freeze[0].from: expected an existing date and time, got '2026-02-29T10:00'"],
    ),
    "hours that are not there": (
        freeze(**{"from": "friday 24:00", "until": "23:60"}),
        [
            "9: freeze[0].from: expected an existing date and time, got 'friday 24:00'",
            "10: freeze[0].until: expected an existing date and time, got '23:60'",
        ],
    ),
    "digits of another script": (
        freeze(**{"from": "\u0662\u0662:\u0660\u0660"}),
        ["9: freeze[0].from: expected an existing date and time, got '\u0662\u0662:\u0660\u0660'"],
    ),
    "a date and a day": (
        freeze(**{"from": "2026-12-20T18:00"}),
        ["10: freeze[0].until: is not of the same kind as from, '2026-12-20T18:00'"],
    ),
    "a week and a day": (
        freeze(**{"from": "friday 18:00"}),
        ["10: freeze[0].until: is not of the same kind as from, 'friday 18:00'"],
    ),
    "an empty day": (
        freeze(**{"from": "06:00"}),
        ["10: freeze[0].until: is not after from, '06:00'"],
    ),
    "backwards": (
        freeze(**{"from": "2026-12-20T18:00", "until": "2026-12-20T17:59"}),
        ["10: freeze[0].until: is not after from, '2026-12-20T18:00'"],
    ),
    "no time at all": (
        freeze(**{"from": "someday"}),
        [("9: freeze[0].from: expected a local time like 2026-12-20T18:00, 'friday 18:00' or "
         "'18:00', got \"someday\"")],
    ),
    "a misspelt key": (
        f"{LEAST}frezee: []\n",
        [("6: frezee: unknown key 'frezee', did you mean 'freeze'?; known: $schema, name, version, "
         "signers, max_age_h, gates, subjects, soak, freeze, waivers, break_glass")],
    ),
    "no signers": (
        LEAST.replace("signers: {keys: [ci]}\n", ""),
        ["1: the key 'signers' is missing"],
    ),
    "no keys": (
        LEAST.replace("[ci]", "[]"),
        ["3: signers.keys: expected 1 or more items, got a list of 0"],
    ),
    "one key twice": (
        LEAST.replace("[ci]", "[ci, ci]"),
        ["3: signers.keys: expected no item twice, got a list of 2"],
    ),
    "one subject twice": (
        f"{LEAST}subjects: [commit, commit]\n",
        ["6: subjects: expected no item twice, got a list of 2"],
    ),
    "no signature needed": (
        LEAST.replace("[ci]", "[ci], threshold: 0"),
        ["3: signers.threshold: expected a number of at least 1, got 0"],
    ),
    "half a version": (
        LEAST.replace("version: 1", "version: 1.5"),
        ["2: version: expected a whole number, got 1.5"],
    ),
    "no age": (
        LEAST.replace("max_age_h: 24", "max_age_h: 0"),
        ["4: max_age_h: expected a number above 0, got 0"],
    ),
    "no gates": (
        LEAST.replace("{basic: {environment: staging}}", "{}"),
        ["5: gates: expected 1 or more keys, got a mapping of 0"],
    ),
    "a gate called all": (
        LEAST.replace("basic", "all"),
        ["5: gates.all: expected the name of a gate as the key, got 'all'"],
    ),
    "a gate without a place": (
        LEAST.replace("environment: staging", "min_cases: 2"),
        ["5: gates.basic: expected a mapping with either environment or role, got a mapping of 1"],
    ),
    "a gate with two places": (
        LEAST.replace("staging}", "staging, role: staging}"),
        ["5: gates.basic: expected a mapping with either environment or role, got a mapping of 2"],
    ),
    "no such role": (
        LEAST.replace("environment: staging", "role: stage"),
        [("5: gates.basic.role: expected one of development, staging, sentinel, production, "
         'got "stage"')],
    ),
    "no such subject": (
        f"{LEAST}subjects: [tags]\n",
        ['6: subjects[0]: expected one of commit, packages, images, got "tags"'],
    ),
    "a variable": (
        LEAST.replace("24", "${HOURS}"),
        ['4: max_age_h: expected a number, got "${HOURS}"'],
    ),
    "several": (
        LEAST.replace("here", "there").replace("[ci]", "[ci], threshold: 2"),
        [
            "1: name: expected 'here', the file's own name, got 'there'",
            "3: signers.threshold: 2 of 1 keys can never have signed",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_with_file_line_and_key(
    tmp_path: Path, load: Load, what: str
) -> None:
    """All of it at once, in the file's order."""
    text, problems = WRONG[what]
    expected = "\n".join(f"{tmp_path}/policies/here.yaml:{problem}" for problem in problems)

    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        load(text)


@pytest.mark.parametrize(("given", "expected"), [("friday 24:00", False), ("friday 23:59", True)])
def test_a_day_has_twenty_four_hours(load: Load, given: str, expected: bool) -> None:
    """Midnight is the next day's 00:00."""
    text = freeze(**{"from": "monday 00:00", "until": given})
    if expected:
        assert load(text).freezes[0].end.offset == timedelta(days=4, hours=23, minutes=59)
    else:
        with pytest.raises(ConfigError, match="expected an existing date and time"):
            load(text)


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SECOND = timedelta(seconds=1)
# a freeze and, in UTC, its first moment and the first after it
EDGES: dict[str, tuple[str, str, str, str, str]] = {
    "once": ("2026-12-20T18:00", "2027-01-02T00:00", "UTC", "2026-12-20 18:00", "2027-01-02 00:00"),
    "once, in Shanghai": (
        "2026-12-20T18:00", "2027-01-02T00:00", "Asia/Shanghai", "2026-12-20 10:00",
        "2027-01-01 16:00",
    ),
    "in a week": ("tuesday 09:00", "thursday 17:30", "UTC", "2026-11-24 09:00", "2026-11-26 17:30"),
    "over the week's end": (
        "friday 18:00", "monday 07:00", "UTC", "2026-11-27 18:00", "2026-11-30 07:00"
    ),
    "over the week's end, in Shanghai": (
        "friday 18:00", "monday 07:00", "Asia/Shanghai", "2026-11-27 10:00", "2026-11-29 23:00"
    ),
    "over the week's end, in New York": (
        "friday 18:00", "monday 07:00", "America/New_York", "2026-11-27 23:00", "2026-11-30 12:00"
    ),
    "all but an hour of the week": (
        "monday 10:00", "monday 09:00", "UTC", "2026-11-23 10:00", "2026-11-30 09:00"
    ),
    "in a day": ("12:00", "13:30", "UTC", "2026-11-24 12:00", "2026-11-24 13:30"),
    "over midnight": ("22:00", "06:30", "UTC", "2026-11-24 22:00", "2026-11-25 06:30"),
    "over midnight, in Kathmandu": (
        "22:00", "06:30", "Asia/Kathmandu", "2026-11-24 16:15", "2026-11-25 00:45"
    ),
    "over the night in which summer time begins": (
        "saturday 22:00", "sunday 06:00", "Europe/Berlin", "2026-03-28 21:00", "2026-03-29 04:00"
    ),
    "over the night in which summer time ends": (
        "saturday 22:00", "sunday 06:00", "Europe/Berlin", "2026-10-24 20:00", "2026-10-25 05:00"
    ),
    "a date before and one after summer time begins": (
        "2026-03-28T12:00", "2026-03-30T12:00", "Europe/Berlin", "2026-03-28 11:00",
        "2026-03-30 10:00",
    ),
    "dates within the hour that comes twice": (
        "2026-10-25T02:15", "2026-10-25T02:45", "Europe/Berlin", "2026-10-25 00:15",
        "2026-10-25 01:45",
    ),
    # 02:30 is either the last half hour of winter time, or half an hour into summer time: both
    "from a time that is left out": (
        "2026-03-29T02:30", "2026-03-29T12:00", "Europe/Berlin", "2026-03-29 00:30",
        "2026-03-29 10:00",
    ),
    "until a time that is left out": (
        "2026-03-28T12:00", "2026-03-29T02:30", "Europe/Berlin", "2026-03-28 11:00",
        "2026-03-29 01:30",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", EDGES)
def test_a_freeze_covers_its_first_moment_and_not_its_last(load: Load, what: str) -> None:
    """To the second, whatever zone the moment is given in."""
    begin, until, zone, first, end = EDGES[what]
    frozen = load(freeze(**{"from": begin, "until": until, "zone": zone})).freezes[0]
    moments = [at(first) - SECOND, at(first), at(end) - SECOND, at(end)]

    for place in (UTC, ZoneInfo("America/Sao_Paulo"), frozen.zone):
        covered = [frozen.covers(moment.astimezone(place)) for moment in moments]
        assert covered == [False, True, True, False], place
        between = [at(first) + (at(end) - at(first)) * n / 24 for n in range(24)]
        assert all(frozen.covers(moment.astimezone(place)) for moment in between), place


@pytest.mark.parametrize(
    ("begin", "until", "covered"),
    [
        ("02:15", "02:45", ["00:15", "00:44", "01:15", "01:44"]),
        ("01:00", "03:00", ["23:00", "00:30", "01:59"]),
    ],
)
def test_what_a_clock_shows_twice_is_frozen_twice(
    load: Load, begin: str, until: str, covered: Sequence[str]
) -> None:
    """When summer time ends, 02:15 of a daily freeze comes at 00:15 and at 01:15 UTC."""
    frozen = load(freeze(**{"from": begin, "until": until, "zone": "Europe/Berlin"})).freezes[0]

    for time in covered:
        day = "2026-10-24" if time > "20:00" else "2026-10-25"
        assert frozen.covers(at(f"{day} {time}")), time
    assert not frozen.covers(at("2026-10-25 02:00"))


def test_what_no_clock_shows_is_not_missed(load: Load) -> None:
    """When summer time begins, what is frozen until 03:30 is frozen from 03:00 on."""
    frozen = load(freeze(**{"from": "02:15", "until": "03:30", "zone": "Europe/Berlin"}))

    covered = [frozen.freezes[0].covers(at(f"2026-03-29 {time}"))
               for time in ("00:59", "01:00", "01:29", "01:30")]  # fmt: skip
    assert covered == [False, True, True, False]


MINUTES = st.integers(0, 7 * 24 * 60 - 1)


@given(MINUTES, MINUTES, st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
def test_a_weekly_freeze_covers_its_length_in_every_week(
    load: Load, first: int, last: int, zone: str
) -> None:
    """Counted minute by minute in a week without a clock change, in one piece."""

    def moment(minutes: int) -> str:
        days, rest = divmod(minutes, 24 * 60)
        return f"{DAYS[days]} {rest // 60:02}:{rest % 60:02}"

    if first == last:
        return
    frozen = load(freeze(**{"from": moment(first), "until": moment(last), "zone": zone})).freezes[0]
    monday = datetime(2026, 11, 23, tzinfo=ZoneInfo(zone)).astimezone(UTC)

    covered = [frozen.covers(monday + timedelta(minutes=n)) for n in range(7 * 24 * 60)]

    assert sum(covered) == (last - first) % (7 * 24 * 60)
    assert sum(a and not b for a, b in zip(covered, covered[1:] + covered[:1], strict=True)) == 1


def test_the_shipped_policy_says_which_keys_it_needs(tmp_path: Path) -> None:
    """It loads once both are there; until then each place that names one is said."""
    shutil.copytree(SHIPPED / "policies", tmp_path / "policies")
    file = tmp_path / "policies" / "production.yaml"
    missing = "there is no key '{0}'; keys: none; add it with: pytest-release key add {0} FILE.pub"
    places = (
        ("6: signers.keys[0]", "ci"),
        ("6: signers.keys[1]", "acceptance"),
        ("16: waivers.signers.keys[0]", "acceptance"),
        ("17: break_glass.signers.keys[0]", "ci"),
        ("17: break_glass.signers.keys[1]", "acceptance"),
    )
    expected = "\n".join(f"{file}:{place}: {missing.format(key)}" for place, key in places)

    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        load_policy(tmp_path, "production")

    (tmp_path / "keys").mkdir()
    for key in ("ci", "acceptance"):
        (tmp_path / "keys" / f"{key}.pub").touch()
    policy = load_policy(tmp_path, "production")
    shipped = ["hifate-node1", "momentry-production", "production", "seisei-production"]
    assert policy_names(SHIPPED) == shipped
    load_policy(tmp_path, "seisei-production")
    assert [each.gate for each in policy.gates] == ["basic", "payment", "stream"]
    assert policy.freezes[0].covers(at("2026-11-28 12:00"))
