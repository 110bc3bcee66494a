"""The report as readers get it: true to the metrics, repeatable, self-contained, and safe with any title."""

import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.embeddings import position_frequencies
from models.sigma_levels import sigma_grid
from tasks import report_tables
from tasks.documents import Documents
from tasks.errors import IntegrityError, MissingResourceError
from tasks.evidence import interval, read_evidence
from tasks.figures.comparisons import write_comparisons
from tasks.figures.tables import write_tables
from tasks.files import read_json, read_table, sha256_file, write_json
from tasks.params import Params
from tasks.paths import FIGURES, REPORTS, metrics_file, table_file
from tasks.questions import QUESTIONS, Question, left_open
from tasks.report import DRAWN, Settings, read_measurements, report_markdown, run_report
from tasks.side_by_side import SUMMARY, described
from tasks.wording import APOSTROPHE, escape, number_interval, percent_interval
from tests.tasks.report_workspace import QUALITY, build_workspace, plain_shapes, write_variant

PICTURES = ("forward", "samples-1", "progress-1", "reverse_course", "reverse_flagship")
PICTURES += ("clip_gallery_course", "clip_gallery_flagship")
PLOTS = ("schedule", "losses-1", "noise_levels-1", "recognition-1", "clip_classes", "clip_overall")
PLOTS += ("critic_classes", "critic_overall", "confusion", "sweep-1", "guidance-1", "side_by_side")
PAYLOADS = (
    "<script>alert(1)</script>",
    r"$\frac$ and \input{x}",
    '#import "x.typ": *',
    "[a](javascript:alert(1))",
    "**x** _y_ `z` ~w~ ^v^",
    '"><img src=x onerror=y>',
    "# heading | cell || ::: div",
    "{{ 7 * 7 }} {% raw %} {#a}",
    "--- ... 'quoted' @cite",
    "https://example.org/x",
)
VOID = {"meta", "link", "img", "br", "hr", "col", "input"}


class Page(HTMLParser):
    """An HTML page as lists of what the tests ask for; refuses tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if "style" in self.open else data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def stand_in_figures() -> None:
    """One tiny picture under each figure's name: drawing the real ones is tested elsewhere."""
    FIGURES.mkdir(parents=True)
    for index, name in enumerate(PICTURES + PLOTS):
        Image.fromarray(np.full((4, 8), 10 * index, dtype=np.uint8)).save(FIGURES / f"{name}.png")
    for name in PLOTS:
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><title>{name}</title></svg>'
        (FIGURES / f"{name}.svg").write_text(svg)


def prepared(root: Path, patch: pytest.MonkeyPatch, **settings: Any) -> Params:
    patch.chdir(root)
    params = build_workspace(**settings)
    write_tables(read_evidence(params.variants))
    write_comparisons(list(params.variants), replace(params.evaluate, bootstrap=100), params.seed)
    stand_in_figures()
    return params


def run(params: Params) -> dict[str, Any]:
    return run_report(params.report, params.variants, params.scorer, params.evaluate, params.seed)


def built(root: Path, patch: pytest.MonkeyPatch, **settings: Any) -> Params:
    params = prepared(root, patch, **settings)
    run(params)
    return params


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        return root, built(root, patch)


@pytest.fixture(scope="module")
def page(workspace: tuple[Path, Params]) -> Page:
    return Page((workspace[0] / REPORTS / "report.html").read_text())


@contextmanager
def changed(path: Path, **values: Any) -> Iterator[None]:
    """A metrics file with other values, for as long as a test looks at it."""
    before = read_json(path)
    write_json(path, {**before, **values})
    try:
        yield
    finally:
        write_json(path, before)


def source_of(params: Params) -> str:
    settings = Settings(params.report, params.scorer, params.evaluate, params.seed)
    return report_markdown(read_measurements(params.variants, settings), settings)


def open_questions(params: Params) -> list[Question]:
    settings = Settings(params.report, params.scorer, params.evaluate, params.seed)
    measured = read_measurements(params.variants, settings)
    return left_open(measured.evidence, measured.claims)


def unescaped(source: str) -> str:
    return source.replace("\\", "")


def typst_of(params: Params, mark: str = "") -> str:
    title = escape(params.report.title)
    return Documents(source_of(params), title, escape(params.report.author), escape(mark)).typst_source()


def test_numbers_in_the_html_are_those_of_the_metrics(workspace: tuple[Path, Params], page: Page) -> None:
    root = workspace[0]
    for variant in ("course", "flagship"):
        critic = read_json(root / metrics_file("evaluate", variant))
        clip = read_json(root / metrics_file("score", variant))
        shown = [percent_interval(interval(critic["accuracy"])), percent_interval(interval(clip["blurry"]))]
        shown.append(
            number_interval(interval({"value": critic["fid"], "low": critic["fid_low"], "high": critic["fid_high"]}))
        )
        shown += [f"{critic['recall']:.3f}", percent_interval(interval(clip["per_class"]["bag"]["good"]))]
        assert [text for text in shown if text not in page.text] == []


def test_models_are_compared_image_by_image(page: Page) -> None:
    # 12 a class, of which 3 and 10 are right: a difference of 7 in 12
    assert "Of 120 shared seeds, Flagship alone is right on 70 and Course DDPM alone on 0: +58.3 points" in page.text
    assert "Only Course DDPM right" in page.text


def test_a_sampler_that_starts_from_a_gaussian_says_so(
    workspace: tuple[Path, Params], page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    assert "Gaussian start" not in page.text
    course = workspace[1].variants["course"]
    started = replace(course, sampling=replace(course.sampling, start="moments"))
    evidence = read_evidence({**workspace[1].variants, "course": started})
    assert "DDPM, Gaussian start" in unescaped(report_tables.sampling_table(evidence))


def test_a_model_that_was_taught_to_jump_says_so_where_its_loss_changes(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    params = workspace[1]
    flagship = params.variants["flagship"]
    jumping = replace(flagship.sampling, steps=11, jump_steps=2)
    training = replace(flagship.training, steps=700, distil_steps=200, distilled=jumping)
    assert "Taught to jump" not in source_of(params)
    taught = replace(flagship, training=training, sampling=jumping)
    source = source_of(replace(params, variants={**params.variants, "flagship": taught}))
    assert "From step 500 on Flagship is taught to jump" in source
    level = sigma_grid(jumping.steps, jumping.sigma_min, jumping.sigma_max, jumping.rho)[-3]
    learnt = f"take the last 2 of the {jumping.steps} steps of its sampler at once, from \u03c3 = {level:.2g} on."
    assert f"Flagship learnt in 200 steps of 700 to {learnt}" in source.replace("\\", "")
    assert "after each of its 10 reverse steps. Its last step is a jump." in source
    assert "\n\n## How many evaluations an image needs" in source
    assert "it has no validation loss, since it is no denoiser any more" in source
    images = 64 * params.variants["flagship"].training.steps
    (row,) = (line for line in unescaped(source).splitlines() if line.startswith(f"| Flagship | {images:,} |"))
    assert row.endswith("| \u2013 |")
    assert "At the end Flagship is no denoiser any more" in source
    assert "Up to step 500 Flagship takes every step of its sampler by itself here" in source


def test_grids_of_a_model_that_an_early_state_guides_are_said_to_be_without_it(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    params = workspace[1]
    flagship = params.variants["flagship"]
    led = replace(flagship, sampling=replace(flagship.sampling, guidance=1.5, guide="early"))
    said = "Flagship is drawn without its guide here"
    assert said not in source_of(params)
    assert said in source_of(replace(params, variants={**params.variants, "flagship": led}))


def test_what_a_build_leaves_open_is_listed_and_what_it_answers_is_not(
    workspace: tuple[Path, Params], page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    listed = page.text.partition("needs something that this build does not have.")[2].partition(
        "How this was measured"
    )[0]
    missing = open_questions(workspace[1])
    keys = {question.key for question in missing}
    shown = {question.key for question in QUESTIONS if question.asks.replace("'", APOSTROPHE) in listed}
    assert shown == keys


def test_the_comparison_with_other_libraries_names_its_machine(page: Page) -> None:
    _, _, section = page.text.rpartition("Beside other libraries")  # the contents name it first
    section, _, _ = section.partition("CLIP evaluation")
    for said in (
        "the run on a machine of some kind, in float32",
        "own: 7 steps of 8",
        "512",
        "24 s",
        "2.50 (2.25 to 2.75)",
        "1,000 images a look, or 500 where these are far from all of them",
    ):
        assert said in section


def test_where_nothing_was_compared_the_report_does_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(tmp_path, monkeypatch)
    SUMMARY.unlink()
    assert "Beside other libraries" not in source_of(params)


def test_what_no_settings_of_the_project_make_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still_open = unescaped(source_of(prepared(tmp_path, monkeypatch)).partition("## Left open")[2])
    assert "no settings of this project make.\n\n- " in still_open
    assert "Needs a plain CNN, trained on an equal budget*." in still_open
    assert "two variants that differ in the target alone." in still_open


def test_a_model_that_was_measured_otherwise_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(tmp_path, monkeypatch)
    own = params.variants["flagship"]
    said = "This build trains or samples Flagship otherwise than was measured there."
    renamed = replace(own, title="Another name")
    faster = replace(own, training=replace(own.training, lr=2.0 * own.training.lr))
    for spec, says in ((own, False), (renamed, False), (faster, True)):
        told = {"variants": {"flagship": described(spec)}, "parameters": {"flagship": 1_070_000}}
        write_json(SUMMARY, {**read_json(SUMMARY), **told})
        assert (said in source_of(params)) == says


def test_a_comparison_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(tmp_path, monkeypatch)
    write_json(SUMMARY, {key: told for key, told in read_json(SUMMARY).items() if key != "real"})
    with pytest.raises(IntegrityError, match=r"summary.json: does not tell real; .*; do run `make bench`, or remove"):
        source_of(params)


def test_an_experiment_is_compared_where_it_stops_being_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(tmp_path, monkeypatch)
    flagship = params.variants["flagship"]
    again = replace(flagship, title="Again", training=replace(flagship.training, repeat=1))
    more = replace(params, variants={**params.variants, "again": again})
    monkeypatch.setitem(QUALITY, "again", 0.5)
    write_variant("again", more, plain_shapes)
    write_tables(read_evidence(more.variants))
    write_comparisons(list(more.variants), replace(more.evaluate, bootstrap=100), more.seed)
    for name in ("reverse_again", "clip_gallery_again"):
        (FIGURES / f"{name}.png").write_bytes((FIGURES / "forward.png").read_bytes())
    asks, before, after = "How far apart are two trainings", source_of(params), source_of(more)
    not_told = "how much another seed would change is not measured here"
    assert (not_told in before, not_told in after) == (True, False)
    assert asks not in before.partition("## One change at a time")[2].partition("## Left open")[0]
    compared, _, still_open = after.partition("## One change at a time")[2].partition("## Left open")
    assert asks in compared
    assert asks not in still_open
    # 12 a class, of which 6 and 10 are right
    assert "adjusted for the 3 comparisons that this build asks for" in unescaped(after)
    assert "comparisons that this build asks for" not in before
    expected = "Of 120 shared seeds, Again alone is right on 0 and Flagship alone on 40: \u221233.3 points"
    assert expected in unescaped(compared)


def test_a_variant_with_anothers_weights_is_not_presented_as_trained(
    workspace: tuple[Path, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    whole = unescaped(source_of(params))
    assert "This build trained and sampled 2 models; two judges" in whole
    said = "Flagship was not trained separately: its weights are those of Course DDPM."
    assert said not in whole
    with changed(metrics_file("train", "flagship"), taken_from="course"):
        shared = unescaped(source_of(params))
        write_tables(read_evidence(params.variants))
        rows = read_table(table_file("variants")).set_index("name")
    write_tables(read_evidence(params.variants))
    assert "trained and sampled 1 model and sampled 1 more with the weights of another; two judges" in shared
    assert shared.count(said) == 3  # in the summary, and where losses and times are
    assert "times by Flagship" not in shared
    assert "Flagship: 0.109 to 0.109 on" not in shared
    assert "Flagship: 0.109 to 0.109 on" in whole
    assert rows["weights_of"].dropna().to_dict() == {"course": "course", "flagship": "course"}


def test_a_mixture_of_precisions_is_said_wherever_models_are_ranked_and_else_nothing(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    said = "The models were not computed alike"
    assert said not in source_of(workspace[1])
    environment = read_json(metrics_file("train", "course"))["environment"]
    with changed(metrics_file("train", "course"), environment={**environment, "precision": "bfloat16"}):
        source = unescaped(source_of(workspace[1]))
    summary, _, rest = source.partition("# Understanding diffusion")
    models, _, samples = rest.partition("## What the samples say")
    assert [part.count(said) for part in (summary, models, samples)] == [1, 1, 1]
    assert "Course DDPM trained on the CPU in bfloat16 and sampled on the CPU in float32; Flagship" in summary


def test_a_sweep_answers_for_the_number_of_steps_wherever_the_report_speaks_of_it(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    asks, unmeasured = "Do many small reverse steps do better", "do better than few is\nnot measured in this build"

    def told() -> tuple[bool, bool, bool]:
        source = unescaped(source_of(workspace[1]))
        compared = source.partition("## One change at a time")[2].partition("## Left open")[0]
        return asks in compared, asks in source.partition("## Left open")[2], unmeasured in source

    assert told() == (True, False, False)
    with ExitStack() as stack:
        for variant in workspace[1].variants:
            sweep = read_json(metrics_file("sweep", variant))
            own = sweep["rows"][0]
            rows = [row for row in sweep["rows"] if row is own or row["sampler"] != own["sampler"]]
            stack.enter_context(changed(metrics_file("sweep", variant), rows=rows))
        assert told() == (False, True, True)


def test_a_sweep_stands_beside_as_many_real_images(
    workspace: tuple[Path, Params], page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    assert "The FID of as many real test images is 0.900 (0.800 to 1.000)." in page.text
    section = unescaped(source_of(workspace[1])).partition("## How many evaluations an image needs")[2]
    assert "| Real test images | \u2013 | \u2013 | \u2013 | 0.900 (0.800 to 1.000) |" in section.partition("\n## ")[0]
    assert "the grey line and its band 500 real test images" in section


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "never in training."),
        (1, "never in training, but 1 of them also occurs, pixel for pixel, in the training split."),
        (1234, "never in training, but 1,234 of them also occur, pixel for pixel, in the training split."),
    ],
)
def test_test_images_that_occur_in_training_are_counted(
    number: int, said: str, workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    with changed(metrics_file("prepare"), duplicates={"train_test": number}):
        assert said in unescaped(source_of(workspace[1]))


def test_captions_count_the_images_of_models_and_of_real_ones(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test split may hold fewer images of a class than each model was asked for."""
    monkeypatch.chdir(workspace[0])
    alike = unescaped(source_of(workspace[1]))
    assert alike.count("120 images a row") == 3
    assert alike.count("12 images a class and row") == 3
    assert alike.count("12 images a class, with") == 2
    with changed(metrics_file("references"), num_images=50):
        apart = unescaped(source_of(workspace[1]))
    assert apart.count("120 images a model and 50 a row of real images") == 3
    assert apart.count("12 images a class and model, 5 of real images") == 3
    assert apart.count("12 images a class, with") == 2
    assert "a class and row" not in apart
    with changed(metrics_file("evaluate", "course"), num_images=60):
        assert "60 or 120 images a model and 120 a row of real images" in source_of(workspace[1])


def test_width_of_box_blur_is_said_where_a_blur_was_fitted(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    assert escape("deviation of 1.41 px, within the 0.8 to 2 px") in source_of(workspace[1])
    with changed(metrics_file("scorer"), source="pretrained"):
        assert "deviation of" not in source_of(workspace[1])


def test_the_embedding_is_written_as_the_network_computes_it(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    source = source_of(workspace[1])
    exponent = re.search(r"\\omega_k = 10000\^\{(.+?)\}", source)
    assert exponent
    written = [10_000.0 ** eval(exponent[1], {"k": k, "K": 8}) for k in range(8)]
    assert written == pytest.approx(position_frequencies(16).tolist(), rel=1e-5)
    assert r"\sin(\omega_k t / T)" in source


def test_the_sources_variant_claims_no_more_than_is_checked(
    workspace: tuple[Path, Params], page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    assert "Course DDPM shares with the source what the source fixes" in page.text
    assert "Its widths (32, 64 and 128 channels)" in page.text
    params = workspace[1]
    course = params.variants["course"]
    repaired = replace(course, process=replace(course.process, beta_end=0.2))
    other = source_of(replace(params, variants={**params.variants, "course": repaired}))
    assert "shares with the source" not in other
    assert escape("Does the forward process end in noise?") in other


def test_sections_come_in_the_sources_order(page: Page) -> None:
    wanted = ["Understanding diffusion", "Model architecture", "Training analysis", "CLIP evaluation"]
    wanted += ["Practical applications", "Bonus"]
    positions = [page.text.rindex(name) if name == "Bonus" else page.text.index(name) for name in wanted]
    assert positions == sorted(positions)


def test_html_holds_every_figure_and_asks_for_nothing(workspace: tuple[Path, Params], page: Page) -> None:
    assert len(page.of("img")) == len(PICTURES + PLOTS)
    for image in page.of("img"):
        assert (image["src"] or "").startswith("data:image/")
        assert image["alt"]
    addresses = [a[key] or "" for _, a in page.tags for key in ("href", "src", "action", "data", "poster") if key in a]
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    style = (workspace[0] / REPORTS / "report.html").read_text().partition("<style")[2].partition("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style
    policies = [
        meta["content"] or "" for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert page.of("script") == []


def test_formulas_are_mathml_and_references_are_resolved(page: Page) -> None:
    assert len(page.of("math")) > 10
    assert "Figure\u00a0?" not in page.text
    assert "Table\u00a0?" not in page.text
    figures = [int(found) for found in re.findall(r"Figure (\d+)\.", page.text)]
    assert sorted(set(figures)) == list(range(1, len(PICTURES + PLOTS) + 1))


def test_internal_links_lead_somewhere(page: Page) -> None:
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {(a["href"] or "")[1:] for a in page.of("a")} <= ids


def test_the_same_files_give_the_same_bytes(workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    names = [REPORTS / f"report.{ending}" for ending in ("html", "pdf", "docx")]
    before = [sha256_file(name) for name in names]
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    run(params)
    assert [sha256_file(name) for name in names] == before


def test_docx_is_stamped_with_the_fixed_time_and_holds_png_pictures(workspace: tuple[Path, Params]) -> None:
    with zipfile.ZipFile(workspace[0] / REPORTS / "report.docx") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {2000}
        pictures = [name for name in archive.namelist() if name.startswith("word/media/")]
        assert len(pictures) == len(PICTURES + PLOTS)
        assert {Path(name).suffix for name in pictures} == {".png"}


def test_pdf_is_a_pdf(workspace: tuple[Path, Params]) -> None:
    content = (workspace[0] / REPORTS / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page") >= 5 or content.count(b"/Type/Page") >= 5


def test_a_real_build_carries_no_mark(workspace: tuple[Path, Params], page: Page) -> None:
    assert DRAWN not in page.text
    assert "for these alone" not in page.text


def test_a_drawn_build_says_so_on_every_page_and_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = built(tmp_path, monkeypatch, drawn=True)
    page = Page((REPORTS / "report.html").read_text())
    sections = sum(tag == "h1" for tag, _ in page.tags) - 1
    assert page.text.count(DRAWN) == sections + 1  # one over the page that stays in view
    assert any(attributes.get("class") == "mark" for attributes in page.of("div"))
    header = typst_of(params, DRAWN).partition("header:")[2].partition("footer:")[0]
    assert DRAWN in header
    assert "on drawn garments and for these alone" in page.text
    assert "Beside other libraries" not in page.text
    with zipfile.ZipFile(REPORTS / "report.docx") as archive:
        assert archive.read("word/document.xml").decode().count(DRAWN) == sections


def test_a_failed_gate_is_said_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(prepared(tmp_path, monkeypatch, gate_passed=False))
    assert "**CLIP failed its test on real images." in source
    assert "**The scorer failed its gate.**" in source
    assert "It passed." not in source
    assert "CLIP passed its test" not in source


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_is_shown_literally(
    payload: str, workspace: tuple[Path, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace[0])
    markdown = "# Heading\n\n" + escape(payload) + "\n\n" + report_tables.pipe_table(("a", "b"), [(payload, payload)])
    document = Documents(markdown, escape(payload), escape(payload), escape(payload))
    document.write_html(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    assert page.text.count(payload) == 7  # title twice, author, mark, paragraph, two cells
    assert not {"script", "img", "math", "strong", "em", "code"} & {tag for tag, _ in page.tags}
    assert [a for a in page.of("a") if a.get("href") not in ("#heading",)] == []
    document.write_pdf(tmp_path / "page.pdf")
    document.write_docx(tmp_path / "page.docx")


def test_hostile_titles_pass_through_the_whole_report(
    workspace: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, params = workspace
    monkeypatch.chdir(root)
    titles = dict(zip(params.variants, PAYLOADS[:2], strict=True))
    variants = {name: replace(spec, title=titles[name]) for name, spec in params.variants.items()}
    report = replace(params.report, title=PAYLOADS[2])
    hostile = replace(params, variants=variants, report=report)
    source = source_of(hostile)
    for title in titles.values():
        assert title not in source
        assert escape(title) in source
    typst_of(hostile)


def test_a_missing_metrics_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(tmp_path, monkeypatch)
    metrics_file("scorer").unlink()
    with pytest.raises(
        MissingResourceError, match=r"^reports/metrics/scorer.json: is missing; expected .*; do [^\n]*$"
    ):
        run(params)


@pytest.mark.parametrize(
    ("lengths", "total", "expected"),
    [
        ([10, 8], 20, [10, 8]),
        ([30, 8, 20], 40, [16, 8, 16]),
        ([30, 8, 20], 50, [22, 8, 20]),
        ([9, 9], 1, [1, 1]),
    ],
)
def test_the_widest_columns_give_way_first(lengths: list[int], total: int, expected: list[int]) -> None:
    assert report_tables.fitted(lengths, total) == expected


@pytest.mark.parametrize("name", ["schedule.png", "schedule.svg", "forward.png", "samples-1.png"])
def test_a_missing_figure_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(tmp_path, monkeypatch)
    (FIGURES / name).unlink()
    with pytest.raises(MissingResourceError, match=rf"^reports/figures/{name}: is missing; expected .*; do [^\n]*$"):
        run(params)


def test_a_source_that_pandoc_doubts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"^report: pandoc failed .*; do [^\n]*$"):
        Documents("![x](nowhere.png)", "t", "", "").write_html(tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_raw_code_in_the_source_is_text(tmp_path: Path) -> None:
    """The second line of defence: what escapes escaping still cannot become code of an output format."""
    raw = "<b onclick=x>bold</b> \\newcommand{\\x}{y} `<i>`{=html} `#panic()`{=typst}"
    document = Documents(raw, "t", "", "")
    document.write_html(tmp_path / "page.html")
    assert "<b onclick=x>bold</b>" in Page((tmp_path / "page.html").read_text()).text
    document.write_pdf(tmp_path / "page.pdf")
