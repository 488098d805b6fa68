"""The pictures of the benchmark: there, valid, and the same from the same figures."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import bench_fakes
import pytest
from availability import require_module

from geventconnpool.cli import main
from geventconnpool.cli.bench import children, plotting
from geventconnpool.cli.bench.answers import Answer, Figure

pytestmark = pytest.mark.servers  # not on a bare machine: needs matplotlib

SVG = "{http://www.w3.org/2000/svg}"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def _matplotlib() -> None:
    require_module("matplotlib")


def texts(path: Path) -> str:
    """All that can be read on a picture."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return "\n".join("".join(element.itertext()) for element in root.iter(f"{SVG}text"))


def drawn(figures: list[Figure], folder: Path) -> str:
    """The texts of the one picture of *figures*."""
    vector, pixels = plotting.plot([Answer("upkeep", "What?", figures)], folder)
    assert pixels.read_bytes().startswith(PNG)
    return texts(vector)


def figures(values: list[float], unit: str = "x", x: float | None = None) -> list[Figure]:
    names = ["floor: bare", "geventconnpool", "urllib3", "redis-py"]
    return [
        Figure("cost", name, value, value, value, unit, x)
        for name, value in zip(names, values, strict=False)
    ]


class TestKinds:
    def test_bars_against_the_floor(self, tmp_path: Path) -> None:
        text = drawn(figures([1.0, 1.23, 456.0]), tmp_path)

        for expected in ("cost", "geventconnpool", "1.23", "456", "times the floor: bare"):
            assert expected in text.splitlines()

    def test_lines_over_an_axis(self, tmp_path: Path) -> None:
        text = drawn([*figures([1.0, 2.0], x=100), *figures([1.0, 40.0], x=10_000)], tmp_path)

        for expected in ("connections", "100", "10,000", "geventconnpool", "times the floor: bare"):
            assert expected in text.splitlines()

    def test_shares_of_a_distribution_are_one_picture(self, tmp_path: Path) -> None:
        (vector, _) = [
            path
            for path in plotting.plot([bench_fakes.answer("contended")], tmp_path)
            if "wait" in path.name
        ]

        text = texts(vector)

        assert vector.name == "contended-wait-with-a-pause.svg"
        for expected in ("p50", "p99", "longest", "hand-offs, 100 greenlets", "urllib3"):
            assert expected in text.splitlines()

    @pytest.mark.parametrize("x", [None, 100.0])
    @pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [-8.7, 0.0, 121.0], [5.0, 5.0, 5.0]])
    def test_odd_values(self, values: list[float], x: float | None, tmp_path: Path) -> None:
        assert "geventconnpool" in drawn(figures(values, "ns", x), tmp_path)

    def test_what_is_missing_at_a_place_is_left_out(self, tmp_path: Path) -> None:
        shares = [
            Figure(f"wait, {share}", name, 2.0, 2.0, 2.0, "ms", x)
            for share in ("p50", "longest")
            for x, names in ((10, ["a pool", "slow"]), (100, ["a pool"]))
            for name in names
        ]

        assert "a pool" in drawn(shares, tmp_path)

    def test_two_figures_are_not_worth_a_picture(self, tmp_path: Path) -> None:
        assert plotting.plot([Answer("memory", "What?", figures([1.0, 2.0]))], tmp_path) == []


def test_the_same_figures_make_the_same_files(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        plotting.plot([bench_fakes.answer()], tmp_path / folder)

    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_but_the_ink_is_drawn(tmp_path: Path) -> None:
    """On white and on black: no ground, and no black and no white text."""
    vector, _ = plotting.plot([Answer("upkeep", "What?", figures([1.0, 2.0, 3.0]))], tmp_path)

    text = vector.read_text()

    assert not re.search(r"fill: #(ffffff|000000)|fill: (white|black)", text)
    assert "<dc:date>" not in text
    for element in ElementTree.fromstring(text).iter(f"{SVG}text"):
        assert "fill: #" in element.get("style", "")


def test_the_command_makes_the_folder_and_names_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "plots"
    monkeypatch.setattr(children, "ask", lambda key, effort: bench_fakes.answer(key))

    assert main(["bench", "blocked", "--plot", str(folder)]) == 0

    named = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(folder))]
    assert len(named) == 6
    assert sorted(named) == sorted(map(str, folder.iterdir()))
