"""The picture of a comparison shows what was measured, and a comparison of another version is refused."""

from pathlib import Path

import pytest
from matplotlib.colors import to_rgba

from tasks.errors import IntegrityError
from tasks.evidence import read_evidence
from tasks.figures.side_by_side import draw_side_by_side, time_to_quality
from tasks.files import write_json
from tasks.side_by_side import SUMMARY, described, measured_otherwise, said
from tests.tasks.report_workspace import COMPARED, build_workspace


def test_every_contender_has_a_line_through_its_looks_above_real_images() -> None:
    (axes,) = time_to_quality(COMPARED).axes
    own, far, real = axes.get_lines()
    assert [each.get_label() for each in (own, far, real)] == ["own", "far", "real test images"]
    assert (list(own.get_xdata()), list(own.get_ydata())) == ([10.0, 30.0], [9.0, 2.5])
    assert (list(far.get_xdata()), list(far.get_ydata())) == ([600.0], [70.0])
    assert list(real.get_ydata()) == [0.5, 0.5]
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (2.25, 10.0)
    assert to_rgba(own.get_color()) != to_rgba(far.get_color())
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_garments_drawn_by_the_project_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evidence = read_evidence(build_workspace(drawn=True).variants)
    draw_side_by_side(evidence, tmp_path)
    assert not list(tmp_path.glob("side_by_side.*"))


@pytest.mark.parametrize(("part", "lacking"), [("looks", "looks"), (None, "confidence")])
def test_a_comparison_of_another_version_is_refused(
    part: str | None, lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evidence = read_evidence(build_workspace().variants)
    rows = [{key: told for key, told in row.items() if key != part} for row in COMPARED["rows"]]
    whole = {key: told for key, told in COMPARED.items() if part or key != lacking}
    write_json(SUMMARY, {**whole, "rows": rows})
    with pytest.raises(IntegrityError, match=f"does not tell {lacking}"):
        draw_side_by_side(evidence, tmp_path)


def test_a_setting_that_is_off_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that is gone since, or one that another version of the project did not have yet."""
    monkeypatch.chdir(tmp_path)
    evidence = read_evidence(build_workspace().variants)
    flagship = described(evidence.variants[1].spec)
    older = {**said(flagship), "training": {**flagship["training"], "gone_since": 0, "distilled": None}}
    newer = {**older, "training": {**older["training"], "gone_since": 1}}
    assert "distil_steps" not in said(flagship)["training"]
    size = evidence.variants[1].train["parameters"]
    for settings, titles in ((older, []), (newer, ["Flagship"])):
        found = {"variants": {"flagship": settings}, "parameters": {"flagship": size}}
        assert measured_otherwise(found, evidence) == titles


def test_a_network_that_was_built_otherwise_shows_in_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evidence = read_evidence(build_workspace().variants)
    flagship = evidence.variants[1]
    size = flagship.train["parameters"]
    for sizes, titles in (({"flagship": size}, []), ({"flagship": size + 640}, ["Flagship"]), ({}, ["Flagship"])):
        found = {"variants": {"flagship": described(flagship.spec)}, "parameters": sizes}
        assert measured_otherwise(found, evidence) == titles
