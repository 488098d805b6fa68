"""What the demo's options refuse: one line, status 2, and nothing was opened."""

from __future__ import annotations

import pytest

from geventconnpool.cli import main

WRONG = [
    ("--seconds", "0"),
    ("--seconds", "-1"),
    ("--seconds", "nan"),
    ("--seconds", "inf"),
    ("--seconds", "-inf"),
    ("--seconds", "1e9"),
    ("--seconds", "soon"),
    ("--seconds", ""),
    ("--size", "0"),
    ("--size", "-3"),
    ("--size", "2.5"),
    ("--size", "1e3"),
    ("--size", "1_0"),
    ("--size", "9" * 5000),
    ("--size", "10001"),
    ("--size", "many"),
    ("--clients", "0"),
    ("--clients", "-1"),
    ("--clients", "True"),
    ("--clients", ""),
    ("--seed", "-1"),
    ("--seed", "1.5"),
    ("--seed", "x"),
    ("--restart-after", "-1"),
    ("--restart-after", "nan"),
]


@pytest.mark.parametrize(("flag", "value"), WRONG)
def test_a_wrong_value_is_named_with_its_flag(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["demo", f"{flag}={value}"])

    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert flag in output.err
    assert repr(value) in output.err


@pytest.mark.parametrize("flag", ["--tls=yes", "--calm=1", "--json=1"])
def test_a_switch_takes_no_value(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", flag]) == 2
    assert flag.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["demo", "--sec", "3"],  # no guessing
        ["demo", "--size"],
        ["demo", "now"],
        ["demo-server", "--port", "65536"],
        ["demo-server", "--port", "x"],
        ["demo-server", "--key", "only"],
        ["demo-server", "--certificate", "/nowhere", "--key", "/nowhere"],
        ["demo-server", "--figures", "/nowhere"],
    ],
)
def test_other_nonsense_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(arguments)

    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert output.err.count("\n") == 1


def test_more_connections_than_files_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 256))

    status = main(["demo", "--size=200"])

    assert status == 2
    assert "--size: 200 needs 300 open files" in capsys.readouterr().err


def test_help_tells_of_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--help"]) == 0
    assert "Exit status" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("geventconnpool ")
