"""The appendix of settings: complete for every model, though most are told by what differs."""

from dataclasses import replace

import pytest

from tasks.evidence import Evidence, VariantEvidence, read_evidence
from tasks.settings_tables import (
    NO_OTHER,
    differences,
    differences_table,
    settings_of,
    settings_table,
    told_beside,
    told_in_full,
)
from tests.tasks.report_workspace import build_workspace


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A course's model and a flagship, as in the default build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("settings"))
        return read_evidence(build_workspace().variants)


def changed(variant: VariantEvidence, title: str, **training: float) -> VariantEvidence:
    spec = replace(variant.spec, title=title, training=replace(variant.spec.training, **training))
    return replace(variant, name=title.lower(), spec=spec)


def cells(table: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in str(table).replace("\\", "").splitlines()]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_every_setting_is_told_of_the_first_of_each_kind(evidence: Evidence) -> None:
    assert told_in_full(evidence) == list(evidence.variants)
    assert differences_table(evidence) is None
    for variant in evidence.variants:
        assert dict(cells(settings_table(variant))) == settings_of(variant)
        assert settings_of(variant)["training.steps"] == str(variant.spec.training.steps)


def test_others_are_told_by_what_differs_from_the_nearest_before_them(evidence: Evidence) -> None:
    """The second differs from the flagship in two settings, the third from the second in one."""
    course, flagship = evidence.variants
    second = changed(flagship, "Second", batch=3, lr=0.25)
    third = changed(second, "Third", batch=5)
    several = replace(evidence, variants=(course, flagship, second, third))
    assert told_in_full(several) == [course, flagship]
    assert [told_beside(variant, several) for variant in (second, third)] == [flagship, second]
    old = flagship.spec.training
    table = differences_table(several)
    assert table is not None
    assert cells(table) == [
        ["Second", "Flagship", "training.batch", "3", str(old.batch)],
        ["", "", "training.lr", "0.25", str(old.lr)],
        ["Third", "Second", "training.batch", "5", "3"],
    ]


def test_what_is_told_gives_every_setting_back(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    second = changed(flagship, "Second", batch=3, lr=0.25)
    told = settings_of(flagship) | {key: value for key, value, _ in differences(second, flagship)}
    assert told == settings_of(second)
    later = changed(course, "Later", batch=7)
    assert told_beside(later, replace(evidence, variants=(course, flagship, later))) is course


def test_a_model_without_a_setting_of_its_own_is_named(evidence: Evidence) -> None:
    _, flagship = evidence.variants
    table = differences_table(replace(evidence, variants=(flagship, changed(flagship, "Same"))))
    assert table is not None
    assert cells(table) == [["Same", "Flagship", NO_OTHER, "", ""]]
