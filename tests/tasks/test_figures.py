"""Figures and comparison tables: complete, repeatable, true to the metrics, safe with any title."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from models.intervals import Interval
from models.pixels import PixelStatistics
from tasks.dataset import load_split
from tasks.errors import MissingResourceError
from tasks.evidence import Evidence, read_evidence
from tasks.figures.clip import draw_clip_overall
from tasks.figures.critic import decades, draw_critic_overall
from tasks.figures.forward import distinct_scales, draw_forward, noised
from tasks.figures.guidance import draw_guidance
from tasks.figures.losses import draw_losses, draw_noise_levels
from tasks.figures.panels import grid_of_panels, legend_below, pages_of_panels
from tasks.figures.progress import draw_progress
from tasks.figures.run import run_figures
from tasks.figures.samples import draw_samples, first_of_each_class
from tasks.figures.schedule import draw_schedule, ratio_along
from tasks.figures.style import blank, colour, logarithmic, montage, plain_number, theme
from tasks.figures.sweep import draw_sweep, tick_labels
from tasks.files import read_json, read_table, sha256_file
from tasks.params import Params
from tasks.paths import FIGURES, artifact, metrics_file, table_file
from tests.tasks.report_workspace import build_workspace

A_DIGIT = 6.0  # pixels, at 100 an inch
HOSTILE = r"$\frac$ <script>x</script> 100% _a_ \n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    """A workspace with all figures drawn once, for a module of tests that only look."""
    root = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        params = build_workspace()
        run_figures(params.variants, params.evaluate, params.seed)
    return root, params


def test_every_figure_exists_and_plots_exist_in_both_formats(workspace: tuple[Path, Params]) -> None:
    folder = workspace[0] / FIGURES
    pictures = {"forward", "samples-1", "progress-1", "reverse_course", "reverse_flagship"}
    pictures |= {"clip_gallery_course", "clip_gallery_flagship"}
    plots = {"schedule", "losses-1", "noise_levels-1", "recognition-1", "clip_classes", "clip_overall"}
    plots |= {"critic_classes", "critic_overall", "confusion", "sweep-1", "guidance-1", "side_by_side"}
    assert {path.stem for path in folder.glob("*.png")} == pictures | plots
    assert {path.stem for path in folder.glob("*.svg")} == plots
    for path in folder.glob("*.svg"):
        ElementTree.parse(path)


def test_the_same_measurements_give_the_same_bytes_even_under_another_style(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    folder = root / "again"
    folder.mkdir()
    evidence = read_evidence(params.variants)
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 17}):
        with theme():
            draw_forward(evidence, folder, params.seed)
            draw_losses(evidence, folder)
            draw_samples(evidence, folder)
        assert mpl.rcParams["font.size"] == 30
    made = sorted(path.name for path in folder.iterdir())
    assert made == ["forward.png", "losses-1.png", "losses-1.svg", "samples-1.png"]
    assert [sha256_file(folder / name) for name in made] == [sha256_file(FIGURES / name) for name in made]


@pytest.mark.parametrize(("models", "sizes"), [(0, []), (1, [1]), (6, [6]), (7, [3, 4]), (11, [5, 6]), (13, [4, 4, 5])])
def test_panels_are_spread_over_pages_of_six_at_most(
    models: int, sizes: list[int], workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    course = read_evidence(workspace[1].variants).variants[0]
    pages = list(pages_of_panels([replace(course, name=f"n{place}") for place in range(models)], "some", 1.0))
    assert [page.name for page in pages] == [f"some-{number}" for number in range(1, len(sizes) + 1)]
    assert [len(page.panels) for page in pages] == sizes
    assert [variant.name for page in pages for _, variant in page.panels] == [f"n{place}" for place in range(models)]


@pytest.mark.parametrize(("length", "columns"), [(5, 4), (26, 3), (60, 1), (200, 1)])
def test_a_legend_has_as_many_columns_as_fit(length: int, columns: int) -> None:
    figure, (axes,) = grid_of_panels(1, 1, 2.0)
    for index in range(8):
        axes.plot([0.0], [0.0], label=f"{index}{'x' * (length - 1)}")
    with theme():
        legend_below(figure, [axes], 4)
        figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend._ncols == columns
    if length < 100:
        assert legend.get_window_extent().width <= figure.get_window_extent().width


def test_titles_are_drawn_literally(workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    variants = {name: replace(spec, title=HOSTILE[:-3]) for name, spec in params.variants.items()}
    folder = root / "hostile"
    folder.mkdir()
    with theme():
        for draw in (draw_clip_overall, draw_losses, draw_schedule):
            draw(read_evidence(variants), folder)
    for path in folder.glob("*.svg"):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert "script" not in tags


def test_variants_table_repeats_the_metrics(workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace[0])
    table = read_table(table_file("variants")).set_index("name")
    assert list(table.index) == ["course", "flagship", "real", "blurred", "noised", "shuffled"]
    critic, clip = read_json(metrics_file("evaluate", "flagship")), read_json(metrics_file("score", "flagship"))
    row = table.loc["flagship"]
    assert row["class_accuracy"] == critic["accuracy"]["value"]
    assert (row["fid"], row["kid_high"], row["coverage"]) == (critic["fid"], critic["kid_high"], critic["coverage"])
    assert (row["clip_good_low"], row["clip_blurry"]) == (clip["good"]["low"], clip["blurry"]["value"])
    assert pd.isna(table.loc["real", "parameters"])
    assert row["parameters"] == read_json(metrics_file("train", "flagship"))["parameters"]


def test_recognition_table_has_a_row_per_image_and_position(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    counts = read_table(table_file("recognition")).groupby(["variant", "along"]).size()
    assert counts.to_dict() == {(name, along): 110 if along == "reverse" else 60 for name, along in counts.index}
    assert len(counts) == 4


def test_comparisons_of_models_and_of_judges_are_written(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    (pair,) = read_table(table_file("paired")).to_dict("records")
    # 12 a class of which 3 and 10 are right, the course's among the flagship's
    assert (pair["first"], pair["second"], pair["only_first"], pair["only_second"]) == ("course", "flagship", 0, 70)
    assert read_table(table_file("agreement"))[["variant", "right"]].to_numpy().tolist() == [
        ["course", 30],
        ["flagship", 100],
    ]


def test_a_missing_metrics_file_is_one_line(
    workspace: tuple[Path, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = build_workspace()
    metrics_file("evaluate", "course").unlink()
    with pytest.raises(
        MissingResourceError, match=r"^reports/metrics/evaluate/course.json: is missing; expected .*; do "
    ):
        run_figures(params.variants, params.evaluate, params.seed)
    assert not FIGURES.exists()


@pytest.fixture
def evidence(workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch) -> Evidence:
    """What the workspace has measured of a course's model and a flagship; the test works there."""
    monkeypatch.chdir(workspace[0])
    return read_evidence(workspace[1].variants)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The plots and pictures that a test draws, which are kept here instead of being written."""
    figures: list[Figure] = []
    plots, pictures = ("critic", "guidance", "losses", "schedule", "sweep"), ("progress", "samples")
    saving = [*(f"{module}.save_plot" for module in plots), *(f"{module}.save_picture" for module in pictures)]
    for name in saving:
        monkeypatch.setattr(f"tasks.figures.{name}", lambda figure, *_: figures.append(figure))
    return figures


@pytest.mark.parametrize("length", [8, 35])
def test_neither_numbers_nor_titles_of_the_critics_panels_run_into_each_other(
    length: int, workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch, drawn: list[Figure]
) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    variants = {name: replace(spec, title=f"{name} {'x' * 60}"[:length]) for name, spec in params.variants.items()}
    with theme():
        draw_critic_overall(read_evidence(variants), root)
        drawn[0].draw_without_rendering()
    for half in drawn[0].subfigs:
        named = {axes.get_title("left") for axes in half.axes}
        titles = [text for text in half.findobj(Text) if text.get_text() in named]
        for texts in (titles, [label for axes in half.axes for label in visible_numbers(axes)]):
            boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.x0)
            assert len(boxes) >= len(half.axes)
            assert min(right.x0 - left.x1 for left, right in pairwise(boxes)) >= A_DIGIT


def test_a_critic_that_sees_no_difference_is_drawn_too(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch, drawn: list[Figure]
) -> None:
    monkeypatch.chdir(workspace[0])
    monkeypatch.setattr("tasks.figures.critic.interval_beside", lambda *_: Interval(0.0, 0.0, 0.0))
    with theme():
        draw_critic_overall(read_evidence(workspace[1].variants), workspace[0])
        drawn[0].draw_without_rendering()


def test_each_sweep_has_the_line_and_the_band_of_real_images(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch, drawn: list[Figure]
) -> None:
    monkeypatch.chdir(workspace[0])
    with theme():
        draw_sweep(read_evidence(workspace[1].variants), workspace[0])
        drawn[0].draw_without_rendering()
    for axes, variant in zip(drawn[0].axes, workspace[1].variants, strict=True):
        sweep = read_json(metrics_file("sweep", variant))
        real = sweep["real"]
        (floor,) = (line for line in axes.lines if line.get_label() == "real test images")
        assert set(floor.get_ydata()) == {real["fid"]}
        (band,) = axes.patches
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((real["fid_low"], real["fid_high"]))
        assert axes.get_yscale() == "log"  # since the real images are so far from the others
        assert axes.get_ylim()[0] < real["fid_low"]
        assert axes.get_xticks().tolist() == sorted({row["budget"] for row in sweep["rows"]})
    (legend,) = drawn[0].legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[-1] == "real test images"
    samplers = [
        row["sampler"] for variant in workspace[1].variants for row in read_json(metrics_file("sweep", variant))["rows"]
    ]
    assert named[:-1] == list(dict.fromkeys(samplers))
    assert legend.get_window_extent().y1 <= min(axes.get_tightbbox().y0 for axes in drawn[0].axes)


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [([2, 4, 8, 16], ["2", "4", "8", "16"]), ([8, 10, 13, 16, 20, 50], ["8", "", "13", "", "20", "50"]), ([], [])],
)
def test_numbers_that_would_touch_on_a_logarithmic_axis_are_left_out(numbers: list[int], labels: list[str]) -> None:
    assert tick_labels(numbers) == labels


def test_a_sampler_looks_alike_in_all_panels(evidence: Evidence, tmp_path: Path, drawn: list[Figure]) -> None:
    """Also where another comes before it in one of them."""
    _, flagship = evidence.variants
    other = replace(flagship, sweep={**flagship.sweep, "rows": flagship.sweep["rows"][::-1]})
    with theme():
        draw_sweep(replace(evidence, variants=(flagship, other)), tmp_path)
    first, second = ({box.get_label(): box.lines[0] for box in axes.containers} for axes in drawn[0].axes)
    assert len(first) > 1
    assert list(first) != list(second)
    assert {name: line.get_color() for name, line in first.items()} == {
        n: line.get_color() for n, line in second.items()
    }


def test_weights_that_several_models_share_have_one_panel_in_the_first_ones_colour(
    evidence: Evidence, tmp_path: Path, drawn: list[Figure]
) -> None:
    course, flagship = evidence.variants
    start = replace(course, name="start", train={**course.train, "taken_from": "course"})
    with theme():
        for draw in (draw_losses, draw_noise_levels):
            draw(replace(evidence, variants=(course, start, flagship)), tmp_path)
    assert len(drawn) == 2
    for figure in drawn:
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == ["Course DDPM", "Flagship"]
        assert figure.axes[1].lines[-1].get_color() == colour(2)


@pytest.mark.parametrize("draw", [draw_samples, draw_progress])
def test_long_titles_of_pictures_beside_each_other_do_not_touch(
    draw: Any, workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch, drawn: list[Figure]
) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    title = "Flagship (narrower, taught to jump, with a long remark more)"
    variants = {name: replace(spec, title=title) for name, spec in params.variants.items()}
    with theme():
        draw(read_evidence(variants), root)
        drawn[0].draw_without_rendering()
    page = drawn[0].get_window_extent()
    boxes = [axes._left_title.get_window_extent() for axes in drawn[0].axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[-1].x1 <= page.x1
    assert max(box.y1 for box in boxes) <= page.y1


def test_a_guide_looks_alike_in_all_panels(evidence: Evidence, tmp_path: Path, drawn: list[Figure]) -> None:
    """Also where a model has not all of them; each line leads from the row without guidance along the scales."""
    course, flagship = evidence.variants
    few = [row for row in course.sweep["guidance"] if row["guide"] in ("none", "early state")]
    course = replace(course, sweep={**course.sweep, "guidance": few})
    with theme():
        draw_guidance(replace(evidence, variants=(flagship, course)), tmp_path)
    lines = [{box.get_label(): box.lines[0] for box in axes.containers} for axes in drawn[0].axes]
    assert [len(panel) for panel in lines] == [3, 1]
    first, second = (panel["early state"] for panel in lines)
    assert (first.get_color(), first.get_linestyle()) == (second.get_color(), second.get_linestyle())
    assert len({line.get_color() for line in lines[0].values()}) == 3
    assert second.get_xdata().tolist() == [row["recall"] for row in few]


def visible_numbers(axes: Axes) -> list[Text]:
    low, high = axes.get_xlim()
    labels = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label for place, label in labels if low <= place <= high]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.3, 5.0, [1.0]), (0.01, 10.0, [0.1, 10.0]), (0.02, 20.0, [0.1, 1.0, 10.0]), (0.0003, 2.2, [0.01, 1.0])],
)
def test_powers_of_ten_are_thinned_evenly_down_from_the_largest(low: float, high: float, expected: list[float]) -> None:
    assert decades(low, high, 3) == expected


def test_variants_of_one_noise_scale_share_a_curve_under_the_first_ones_name(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    again = replace(flagship, spec=replace(flagship.spec, title="Again"))
    aimed = replace(course, spec=replace(course.spec, process=replace(course.spec.process, target="v")))
    found = distinct_scales(replace(evidence, variants=(course, flagship, again, again, aimed)))
    assert [(label, spec.title) for label, spec in found] == [
        ("Course DDPM and 1 more", "Course DDPM"),
        ("Flagship and 2 more", "Flagship"),
    ]


def test_what_begins_elsewhere_or_ends_in_noise_has_a_curve_of_its_own(evidence: Evidence) -> None:
    course, flagship = evidence.variants
    sampling = flagship.spec.sampling
    stronger = replace(flagship.spec, title="Stronger", sampling=replace(sampling, sigma_max=2.0 * sampling.sigma_max))
    process = replace(course.spec.process, target="v", zero_terminal=True)
    variants = (
        course,
        flagship,
        replace(flagship, spec=stronger),
        replace(course, spec=replace(course.spec, process=process)),
    )
    found = distinct_scales(replace(evidence, variants=variants))
    assert [label for label, _ in found] == ["Course DDPM", "Flagship", "Stronger", "Course DDPM"]


def test_the_share_that_is_left_is_set_as_mathematics(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch, drawn: list[Figure]
) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    with theme():
        draw_schedule(read_evidence(params.variants), root)
    (remark,) = (text for text in drawn[0].axes[0].texts if "amplitude" in text.get_text())
    assert r"$\bar{\alpha}_T$ = 0.364" in remark.get_text()
    assert remark.get_parse_math()


def test_montage_puts_images_where_they_belong_dark_on_light() -> None:
    images = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).astype(np.uint8)
    picture = montage(images, gap=2)
    assert picture.shape == (2 * 6 - 2, 3 * 6 - 2)
    np.testing.assert_array_equal(picture[6:10, 12:16], 255 - images[1, 2])
    assert (picture[4:6] == 255).all()


def test_samples_are_the_first_of_each_class_unselected(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    shown = first_of_each_class(artifact("flagship", "samples.npz"), 8)
    with np.load(artifact("flagship", "samples.npz")) as arrays:
        np.testing.assert_array_equal(shown[7], arrays["images"][arrays["labels"] == 7][:8])


def test_the_courses_process_keeps_the_known_share_of_the_signal(params: Params) -> None:
    share, ratio = ratio_along(params.variants["course"])
    assert share[-1] == 1.0
    # prod(1 - linspace(0.0001, 0.02, 100)) = 0.3635, by hand in numpy
    np.testing.assert_allclose(ratio[-1] / (1 + ratio[-1]), np.prod(1 - np.linspace(0.0001, 0.02, 100)), rtol=1e-12)


def test_the_flagships_process_ends_at_the_samplers_largest_sigma(params: Params) -> None:
    _, ratio = ratio_along(params.variants["flagship"])
    np.testing.assert_allclose(ratio[-1], (0.5 / 20.0) ** 2, rtol=1e-9)


def test_forward_process_at_zero_is_the_image_and_follows_the_closed_form(params: Params) -> None:
    images = torch.arange(2 * 28 * 28).reshape(2, 28, 28).remainder(256).to(torch.uint8)
    training, eps = PixelStatistics(torch.full((28, 28), 60.0), 90.0), torch.full((2, 1, 28, 28), 0.3)
    amplitude = np.sqrt(np.prod(1 - np.linspace(0.0001, 0.02, 100)))
    total = np.hypot(0.5, 20.0)  # deviation of scaled images with noise of the largest sigma
    ends = {
        "course": 127.5 * (1 + amplitude * (images.numpy() / 127.5 - 1) + 0.3 * np.sqrt(1 - amplitude**2)),
        "flagship": 60 + ((images.numpy() - 60.0) * 0.5 + 90.0 * 0.3 * 20.0) / total,
    }
    for name, expected in ends.items():
        spec = params.variants[name]
        np.testing.assert_array_equal(noised(spec, training, images, eps, 0.0), images.numpy())
        assert np.abs(noised(spec, training, images, eps, 1.0) - np.round(expected)).max() <= 1


def test_the_training_images_are_read_once_for_all_columns(
    workspace: tuple[Path, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.chdir(workspace[0])
    monkeypatch.setattr("tasks.figures.forward.load_split", lambda name: read.append(name) or load_split(name))
    with theme():
        draw_forward(read_evidence(workspace[1].variants), tmp_path, workspace[1].seed)
    assert sorted(read) == ["test", "train"]


@pytest.mark.parametrize(("value", "text"), [(0.001, "0.001"), (5.0, "5"), (20_000, "20k"), (3e6, "3M")])
def test_tick_labels_are_plain(value: float, text: str) -> None:
    assert plain_number(value) == text


@pytest.mark.parametrize(
    ("low", "high", "numbered"),
    [
        (0.55, 1.2, ["0.6", "0.7", "0.8", "1"]),
        (0.15, 1.2, ["0.2", "0.3", "0.5", "1"]),
        (0.9, 120.0, ["1", "10", "100"]),
    ],
)
def test_a_logarithmic_axis_numbers_more_of_its_ticks_the_shorter_it_is(
    low: float, high: float, numbered: list[str]
) -> None:
    with theme():
        figure = blank(2.0)
        axes = figure.subplots()
        axes.set_ylim(low, high)
        logarithmic(axes, "y", minor=True)
        figure.canvas.draw()
    ticks = [*axes.yaxis.get_majorticklabels(), *axes.yaxis.get_minorticklabels()]
    shown = [tick for tick in ticks if tick.get_text() and low <= tick.get_position()[1] <= high]
    assert [tick.get_text() for tick in sorted(shown, key=lambda tick: tick.get_position()[1])] == numbered


@pytest.fixture
def params(workspace: tuple[Path, Params]) -> Params:
    return workspace[1]
