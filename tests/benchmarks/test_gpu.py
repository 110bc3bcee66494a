"""The page about a GPU: shares are of the rates that stand beside them. The measuring itself needs a card."""

from benchmarks.gpu import Facts, TrainingSpeed, page

FACTS = Facts(
    card="A card",
    precision="bfloat16",
    batch=1024,
    evaluations=10,
    matrix_gflops=700_000.0,
    convolution_gflops=480_000.0,
    sampled_per_second=4321.0,
)


def test_shares_are_of_the_rates_beside_them() -> None:
    row = page(FACTS, [TrainingSpeed("compiled", 29.0, 20_329.4, 96_000.0, 3.46)]).splitlines()[-3]
    assert row == "| compiled | 29.0 | 20,329 | 96.0 | 14% | 20% | 3.5 |"


def test_the_page_names_card_and_rates() -> None:
    assert "\n\nFrom `make gpu`" in page(FACTS, [])
    told = " ".join(page(FACTS, []).split())
    for fact in ("batches of 1,024, in bfloat16", "at 700 TFLOP/s", "at 480.", "10 evaluations", "4,321 images/s"):
        assert fact in told
    assert "A card;" in told
