"""The report's tables in Markdown, each a plain function of the measurements."""

from collections.abc import Sequence
from math import ceil

from tasks.evidence import (
    Evidence,
    Json,
    Judged,
    VariantEvidence,
    interval,
    interval_beside,
    network_name,
    process_name,
    target_name,
)
from tasks.gate import HELD_OUT_BLURS
from tasks.labels import CLASS_NAMES, CLASS_SLUGS
from tasks.sampler_names import sampler_name
from tasks.verdicts import Finding
from tasks.wording import (
    Markdown,
    count,
    duration,
    escape,
    number,
    number_interval,
    percent,
    percent_interval,
    size_text,
)

MIN_WIDTH = 6
LETTERS = 116
"""How many letters of a table are about as wide as a page, the space between its columns counted."""
BOLD = 1.15
"""How wide a bold letter is beside another."""
COLUMNS = 4
"""How many columns of shares with intervals fit beside their row's name."""
HELD_OUT_NAMES = {
    "box_blur": "box blur of {} px",
    "motion_blur": "motion blur of {} px",
    "pixelation": "pixelation in blocks of {} px",
    "salt_and_pepper": "salt and pepper on {:.0%} of the pixels",
}
MARKS = {"confirmed": "yes", "confirmed in part": "part", "refuted": "no", "not answered": "open"}


def pipe_table(header: Sequence[str], rows: Sequence[Sequence[object]], widths: Sequence[int] = ()) -> Markdown:
    """A table in pandoc's pipe syntax, as wide as the page.

    Args:
        header: titles of the columns.
        rows: one sequence of cells a row; cells are escaped unless they are Markdown already.
        widths: relative widths for a table of prose, whose columns all go to the left; without them the columns are
            as wide as their longest cells, as far as the page holds them, the first goes to the left and the others
            to the right.
    """
    ends = ["", *[":"] * (len(header) - 1)] if not widths else [""] * len(header)
    columns = zip(map(_length_of_title, header), *(map(_length, row) for row in rows), strict=True)
    longest = [max(MIN_WIDTH, *column) + 2 for column in columns]
    lengths = widths or fitted(longest, LETTERS)
    rules = [f"{'' if end else ':'}{'-' * length}{end}" for length, end in zip(lengths, ends, strict=True)]
    lines = [_line(header), f"|{'|'.join(rules)}|", *map(_line, rows)]
    return Markdown("\n".join(lines))


def fitted(lengths: Sequence[int], total: int) -> list[int]:
    """Lengths that sum to at most ``total``, if need be with the longest cut to the same, as little as suffices."""
    longest = max(lengths)
    while sum(min(length, longest) for length in lengths) > total and longest > 1:
        longest -= 1
    return [min(length, longest) for length in lengths]


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"


def _length_of_title(cell: object) -> int:
    return ceil(BOLD * _length(cell))


def _length(cell: object) -> int:
    return len(str(cell).replace("\\", ""))


def claims_table(found: Sequence[Finding]) -> Markdown:
    """Claims, verdicts and the figures behind them."""
    rows = [(finding.claim, verdict_mark(finding.verdict), finding.text) for finding in found]
    return pipe_table(("Claim of the source", "Verdict", "Measured"), rows, (26, 13, 61))


def verdict_mark(verdict: str) -> Markdown:
    """A verdict that the theme may colour."""
    return Markdown(f"[{escape(verdict)}]{{.verdict .{MARKS[verdict]}}}")


def critic_table(evidence: Evidence) -> Markdown:
    """Class accuracy, FID and KID with intervals, a row for each variant and reference."""
    header = ("Images", "n", "Class accuracy", "FID", "KID")
    return pipe_table(header, [_critic_row(row) for row in evidence.rows()])


def _critic_row(row: Judged) -> tuple[object, ...]:
    critic = row.critic
    fid, kid = (interval_beside(critic, key) for key in ("fid", "kid"))
    accuracy = percent_interval(interval(critic["accuracy"]))
    return name_of(row), count(critic["num_images"]), accuracy, number_interval(fid), number_interval(kid)


def manifold_table(evidence: Evidence) -> Markdown:
    """Precision, recall, density and coverage, a row for each variant and reference."""
    keys = ("precision", "recall", "density", "coverage")
    rows = [(name_of(row), *(f"{row.critic[key]:.3f}" for key in keys)) for row in evidence.rows()]
    return pipe_table(("Images", "Precision", "Recall", "Density", "Coverage"), rows)


def clip_table(evidence: Evidence) -> Markdown:
    """CLIP's mean shares with intervals, a row for each variant and reference."""
    keys = ("good", "clear", "blurry", "accuracy")
    rows = [(name_of(row), *(percent_interval(interval(row.clip[key])) for key in keys)) for row in evidence.rows()]
    return pipe_table(("Images", "Good", "Clear", "Blurry", "Class named"), rows)


def clip_class_table(variant: VariantEvidence) -> Markdown:
    """CLIP's mean shares by class for one variant."""
    rows = []
    for name, slug in zip(CLASS_NAMES, CLASS_SLUGS, strict=True):
        scores = variant.score["per_class"][slug]
        rows.append((name, *(percent_interval(interval(scores[key])) for key in ("good", "clear", "blurry"))))
    return pipe_table(("Class", "Good", "Clear", "Blurry"), rows)


def critic_class_tables(evidence: Evidence) -> list[Markdown]:
    """The critic's accuracy by class, a column for each variant and one for real images, a few columns a table."""
    rows = [row for row in evidence.rows() if row.measured or row.key == "real"]
    return [_critic_class_table(rows[start : start + COLUMNS]) for start in range(0, len(rows), COLUMNS)]


def _critic_class_table(rows: list[Judged]) -> Markdown:
    body = [
        (name, *(percent_interval(interval(row.critic["per_class"][slug]["accuracy"])) for row in rows))
        for name, slug in zip(CLASS_NAMES, CLASS_SLUGS, strict=True)
    ]
    return pipe_table(("Class", *(row.title for row in rows)), body)


def name_of(row: Judged) -> Markdown:
    """A row's title: bold where a model made the images."""
    return Markdown(f"**{escape(row.title)}**") if row.measured else escape(row.title)


def models_table(evidence: Evidence) -> Markdown:
    """What each variant is made of."""
    rows = [
        (
            variant.spec.title,
            network_name(variant.spec),
            size_text(variant.train["parameters"], variant.train["fitted_numbers"]),
            process_name(variant.spec),
            target_name(variant.spec),
        )
        for variant in evidence.variants
    ]
    header = ("Variant", "Network", "Parameters", "Noising", "Predicts")
    return pipe_table(header, rows, (18, 22, 14, 34, 12))


def training_table(evidence: Evidence) -> Markdown:
    """What each training cost and where its losses ended."""
    header = ("Variant", "Images seen", "Epochs", "Time", "Images/s", "First loss", "Last loss", "Validation loss")
    images = sum(evidence.prepare["counts"]["train"])
    return pipe_table(header, [_training_row(variant, images) for variant in evidence.variants])


def _training_row(variant: VariantEvidence, images: int) -> tuple[object, ...]:
    train = variant.train
    ends = (number(train[key]) for key in ("train_loss_first", "train_loss_final"))
    validated = "\u2013" if variant.jumps else number(train["val_loss_final"])
    pace = duration(train["seconds"]), count(train["images_per_second"])
    return variant.spec.title, count(train["images"]), f"{train['images'] / images:.2f}", *pace, *ends, validated


def sampling_table(evidence: Evidence) -> Markdown:
    """What each sample costs."""
    rows = [
        (
            variant.spec.title,
            _sampler(variant),
            count(variant.spec.sampling.steps),
            count(variant.sample["evaluations"]),
            f"{variant.sample['images_per_second']:.1f}",
            f"{variant.spec.sampling.guidance:g}",
        )
        for variant in evidence.variants
    ]
    return pipe_table(("Variant", "Sampler", "Steps", "Network calls/image", "Images/s", "Guidance"), rows)


def _sampler(variant: VariantEvidence) -> str:
    sampler = variant.spec.sampling
    start = {"noise": "", "moments": ", Gaussian start", "prior": ", from its prior"}[sampler.start]
    return f"{sampler_name(sampler)}{start}"


def scorer_table(evidence: Evidence) -> Markdown:
    """CLIP's test results on real images beside what its gate asks.

    Where the scorer was fitted here, kinds of damage that the fitting did not use are marked.
    """
    scorer, gate = evidence.scorer, evidence.scorer["gate"]
    named = percent_interval(interval(scorer["zero_shot_accuracy"]))
    rows = [("Class named (10 classes)", named, f"at least {percent(gate['zero_shot_accuracy'])}")]
    for label, key in (("Gaussian blur", "auc_clear_blurry"), ("Gaussian noise", "auc_clear_noisy")):
        rows.append(_damage_row(label, scorer[key], gate["auc"]))
    unseen = ", not seen in fitting" if scorer["source"] == "fitted" else ""
    for kind, found in scorer["held_out"].items():
        asked = gate["auc"] if kind in HELD_OUT_BLURS else None
        rows.append(_damage_row(HELD_OUT_NAMES[kind].format(found["strength"]) + unseen, found, asked))
    return pipe_table(("Test on real, held-out images", "Measured", "Asked"), rows)


def _damage_row(label: str, found: Json, asked: float | None) -> tuple[str, str, str]:
    measured = number_interval(interval(found))
    return f"Clear above {label} (AUC)", measured, "not asked" if asked is None else f"at least {asked:g}"


def provenance_table(evidence: Evidence) -> Markdown:
    """Hashes of the data, of each model's weights and identity, and of the scorer; shortened to 16 digits."""
    rows = [(f"data, {split}", digest[:16]) for split, digest in sorted(evidence.prepare["sha256"].items())]
    for variant in evidence.variants:
        rows.append((f"{variant.spec.title}, weights", variant.train["weights_sha256"][:16]))
        rows.append((f"{variant.spec.title}, identity", variant.train["identity"][:16]))
    rows.append(("CLIP scorer", evidence.scorer["sha256"][:16]))
    cells = [(name, Markdown(f"`{digest}`")) for name, digest in rows]
    return pipe_table(("File", "sha256, first 16 digits"), cells, (50, 50))


def environment_table(evidence: Evidence) -> Markdown:
    """Versions and settings under which each variant was trained."""
    keys = sorted({key for variant in evidence.variants for key in variant.train["environment"]})
    rows = [(v.spec.title, *(v.train["environment"].get(key, "") for key in keys)) for v in evidence.variants]
    return pipe_table(("Variant", *keys), rows)


def side_by_side_table(found: Json) -> Markdown:
    """Seconds of training to each distance, and what was reached in the end, a row a contender, above real images."""
    targets = [f"To FID {target:g}" for target in found["targets"]]
    header = ("Contender", "Training, images/s", *targets, "FID at the end")
    rows = [
        (row["name"], count(row["images_per_second"]), *row["times"], number_interval(interval(row["fid"])))
        for row in found["rows"]
    ]
    real = ("real test images", *[""] * (len(header) - 2), number_interval(interval(found["real"])))
    return pipe_table(header, [*rows, real])
