"""Variants small enough to train in a test: one of each kind of network, process and optimiser."""

from dataclasses import replace

from models.sampler_spec import DiscreteSamplerSpec, SigmaSamplerSpec
from models.spec import CourseUNetSpec, EdmUNetSpec
from models.training_spec import TrainingSpec
from tasks.params import Compute
from tasks.variants import Variant
from tests.models.processes import ddpm, mixture_edm

SEED = 11
CPU = Compute(device="cpu", threads=1, precision="float32", compile=False)
CPU_BFLOAT16 = Compute(device="cpu", threads=1, precision="bfloat16", compile=False)

TRAINING = TrainingSpec(
    steps=12,
    distil_steps=0,
    distilled=None,
    batch=16,
    optimizer="adam",
    lr=0.002,
    adam_betas=(0.9, 0.99),
    muon_lr=0.0,
    warmup_steps=2,
    decay="linear",
    grad_clip=1.0,
    ema_lag=0.2,
    label_drop=0.2,
    log_every=2,
    validate_every=4,
    validation_images=20,
    checkpoint_every=5,
    snapshots=3,
    repeat=0,
)
COURSE = Variant(
    title="Small course",
    network=CourseUNetSpec(kind="course_unet", channels=(8, 16, 16), group_size=8, time_features=8),
    process=ddpm(10, 0.001, 0.2),
    training=TRAINING,
    sampling=DiscreteSamplerSpec(kind="ddpm", steps=10, eta=1.0, guidance=1.0, guide="unlabelled", start="noise"),
)
FROM_MOMENTS = replace(COURSE, title="Small start", sampling=replace(COURSE.sampling, start="moments"))
"""The course's training; sampled from a Gaussian for each class."""

FLAGSHIP = Variant(
    title="Small flagship",
    network=EdmUNetSpec(kind="edm_unet", patch=2, channels=(16, 16), blocks=(1, 1), heads=2, embedding=16, dropout=0.0),
    process=mixture_edm(),
    training=replace(TRAINING, optimizer="muon", muon_lr=0.02),
    sampling=SigmaSamplerSpec(
        kind="dpmpp_2m",
        steps=4,
        jump_steps=1,
        churn=0.0,
        sigma_min=0.02,
        sigma_max=2.0,
        mended_below=1000.0,
        rho=7.0,
        guidance=1.0,
        guide="unlabelled",
        guided_sigma=(),
        start="prior",
    ),
)
JUMPING = replace(FLAGSHIP.sampling, jump_steps=2)
STUDENT = replace(
    FLAGSHIP,
    title="Small student",
    training=replace(FLAGSHIP.training, distil_steps=6, distilled=JUMPING),
    sampling=JUMPING,
)
"""Taught to jump in the second half of its steps."""
VARIANTS = {"course": COURSE, "flagship": FLAGSHIP}
