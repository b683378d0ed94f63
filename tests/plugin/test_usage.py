"""What the command line gets wrong ends in one message and exit status 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_release.attestation.keys import generate

ROOT = Path(__file__).parents[2]

PRODUCTION = """\
name: production
role: production
system: hifate
base_url: ${HIFATE_URL}
gates:
  stream: {required: true}
"""


def _refused(result: pytest.RunResult, *lines: str) -> None:
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(lines)
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_an_unset_variable(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names file, line, key, variable and what to do."""
    monkeypatch.delenv("HIFATE_URL", raising=False)
    (project.path / "fixtures" / "environments" / "production.yaml").write_text(PRODUCTION)

    result = project.runpytest_subprocess("-m", "stream", "--env", "production")

    _refused(
        result,
        "*production.yaml:4: base_url: the variable HIFATE_URL is not set; "
        "set it (export HIFATE_URL=...)*",
    )


def test_an_unknown_environment(project: pytest.Pytester) -> None:
    """The message suggests the near name and lists those there are."""
    result = project.runpytest_subprocess("--env", "hare")

    _refused(result, "*unknown environment 'hare', did you mean 'here'?; environments in *: here")


def test_a_suite_without_an_environment(project: pytest.Pytester) -> None:
    """Nothing reaches a deployment by default."""
    result = project.runpytest_subprocess("--pyargs", "pytest_release.suites")

    _refused(result, "*a release gate needs --env NAME; environments in *: here")


def test_a_bad_base_url(project: pytest.Pytester) -> None:
    """An address without a scheme is refused before anything is sent there."""
    result = project.runpytest_subprocess("--env", "here", "--base-url", "localhost:80")

    _refused(result, "*--base-url must start with http:// or https://, got 'localhost:80'")


def test_a_fault_without_a_sandbox(project: pytest.Pytester) -> None:
    """Faults can be switched on in the sandbox only."""
    result = project.runpytest_subprocess("--env", "here", "--fault", "stream.stall")

    _refused(result, "*--fault needs a sandbox, and here is a deployment")


def test_a_page_elsewhere(project: pytest.Pytester) -> None:
    """There is one report, and it is in the bundle."""
    result = project.runpytest_subprocess("--env", "here", "--html", "x.html")

    _refused(result, "*--env writes report.html into its report bundle; leave --html out")


def test_a_report_folder_that_cannot_be_written(project: pytest.Pytester) -> None:
    """A report that could not be kept fails before the first case."""
    (project.path / "taken").write_text("a file")
    project.makepyfile(test_row="import pytest\n@pytest.mark.quick\ndef test_one(): print('ran')\n")

    result = project.runpytest_subprocess("--env", "here", "--report-dir", "taken", "-s")

    _refused(result, "*taken*")
    assert "ran" not in result.stdout.str()


def test_a_key_that_is_not_there(project: pytest.Pytester) -> None:
    """A run that could not be signed as asked does not start."""
    result = project.runpytest_subprocess("--env", "here", "--sign-with", "absent.pem")

    _refused(result, "*absent.pem*")


def test_a_signer_that_cannot_sign(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with a token is said before the first case."""
    generate(project.path / "ci.pem")
    monkeypatch.setenv("PYTEST_RELEASE_PUBLIC_KEY", "ci.pem.pub")

    result = project.runpytest_subprocess("--env", "here", "--sign-with", "tkey:")

    _refused(result, "*the signer tkey: cannot be used: TKey URI must include 'digest'")


def test_markers_are_explained(project: pytest.Pytester) -> None:
    """``pytest --markers`` says what each gate decides, without an environment."""
    result = project.runpytest_subprocess("--markers")

    result.stdout.fnmatch_lines(["@pytest.mark.basic: *", "@pytest.mark.stream: *"])


def test_without_env_nothing_is_imported(project: pytest.Pytester) -> None:
    """For users who do not ask, the plugin costs an import of pytest and nothing else."""
    project.makepyfile(
        """
        import sys
        def test_light():
            heavy = {"httpx", "yaml", "jsonschema", "securesystemslib", "cattrs"} & set(sys.modules)
            assert not heavy
        """
    )

    assert project.runpytest_subprocess("-p", "no:html").ret == 0
