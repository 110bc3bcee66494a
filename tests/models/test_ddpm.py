"""The course's DDPM: closed forms, parity of every step with diffusers, and what the network is told."""

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn
from torch.testing import assert_close

from models.ddpm import Ddpm, generate_samples, predict_x0, q_sample, remove_noise
from models.diffusion import Draw
from models.discrete_samplers import looking
from models.forward import at_step
from models.noise import ImageNoise
from models.sampler_spec import DiscreteSamplerSpec
from models.schedule import linear_schedule
from models.starts import class_moments
from models.targets import Prediction, Target, min_snr_weight, read_answer, target_of
from tests.models.processes import along_sigma, ddpm

SPEC = ddpm(100, 0.0001, 0.02)
SCHEDULE = linear_schedule(100, 0.0001, 0.02)


class Recorder(nn.Module):
    """Answers with a fixed prediction and remembers its arguments."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
        self.calls.append((x, level, labels, keep))
        return self.answer


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seen(xt: Tensor, t: Tensor, eps: Tensor) -> Prediction:
    """What a network sees that takes ``eps`` for the noise."""
    return read_answer("eps", eps, xt, t, SCHEDULE)


def test_eps_to_x0_and_back() -> None:
    x0, eps = normal(100, 1, 4, 4), normal(100, 1, 4, 4, seed=1)
    t = torch.arange(100)
    xt = q_sample(x0, t, eps, SCHEDULE)
    assert_close(predict_x0(xt, t, eps, SCHEDULE), x0)
    assert_close(q_sample(predict_x0(xt, t, eps, SCHEDULE), t, eps, SCHEDULE), xt)


def test_noised_data_has_the_closed_form_moments() -> None:
    """Data N(m, s^2) becomes N(sqrt(abar) m, abar s^2 + 1 - abar)."""
    m, s, count = 0.4, 0.3, 200_000
    x0 = m + s * normal(1, 1, 1, count)
    for t in (0, 20, 50, 99):
        xt = q_sample(x0, torch.tensor([t]), normal(1, 1, 1, count, seed=2), SCHEDULE)
        abar = SCHEDULE.abar[t].item()
        assert xt.mean().item() == pytest.approx(abar**0.5 * m, abs=0.01)
        assert xt.var().item() == pytest.approx(abar * s**2 + 1.0 - abar, rel=0.01)


def test_noising_step_by_step_equals_the_jump_in_distribution() -> None:
    """x_t = sqrt(alpha) x_(t-1) + sqrt(beta) z, t + 1 times, has the variance of the closed form."""
    variance = torch.zeros((), dtype=torch.float64)
    for t in range(100):
        variance = SCHEDULE.alpha[t] * variance + SCHEDULE.beta[t]
    assert_close(variance, 1.0 - SCHEDULE.abar[-1])


def test_last_step_returns_the_predicted_clean_image() -> None:
    """At t = 0 the reverse step is exactly equation 4 solved for x_0, whatever z is."""
    xt, eps, z = normal(2, 1, 3, 3), normal(2, 1, 3, 3, seed=1), 100.0 * normal(2, 1, 3, 3, seed=2)
    t = torch.zeros(2, dtype=torch.int64)
    assert_close(remove_noise(xt, t, seen(xt, t, eps), z, SCHEDULE), predict_x0(xt, t, eps, SCHEDULE))


@pytest.mark.parametrize("t", [0, 40, 99])
def test_reverse_step_is_that_of_the_course(t: int) -> None:
    """Line 4 of algorithm 2: (x_t - beta_t / sqrt(1 - abar_t) * eps) / sqrt(alpha_t) + s * z."""
    xt, eps, z = normal(1, 1, 3, 3), normal(1, 1, 3, 3, seed=1), normal(1, 1, 3, 3, seed=2)
    beta, abar = SCHEDULE.beta[t], SCHEDULE.abar[t]
    mean = (xt - beta / (1 - abar).sqrt() * eps) / (1 - beta).sqrt()
    expected = mean + SCHEDULE.posterior_variance[t].sqrt() * z
    steps = torch.tensor([t])
    assert_close(remove_noise(xt, steps, seen(xt, steps, eps), z, SCHEDULE), expected)


@pytest.mark.parametrize("t", [0, 1, 50, 99])
def test_step_parity_with_diffusers(t: int) -> None:
    """In float64: diffusers' own float32 loses three digits of 1 - abar at the first steps."""
    theirs = DDPMScheduler(num_train_timesteps=100, variance_type="fixed_small", clip_sample=False)
    theirs.alphas_cumprod = torch.cumprod(1.0 - torch.linspace(0.0001, 0.02, 100, dtype=torch.float64), dim=0)
    xt, eps, z = normal(2, 1, 5, 5), normal(2, 1, 5, 5, seed=1), normal(2, 1, 5, 5, seed=7)
    expected = theirs.step(eps, t, xt, generator=torch.Generator().manual_seed(7))
    steps = torch.full((2,), t)
    assert_close(remove_noise(xt, steps, seen(xt, steps, eps), z, SCHEDULE), expected.prev_sample)
    assert_close(predict_x0(xt, steps, eps, SCHEDULE), expected.pred_original_sample)
    assert_close(q_sample(xt, steps, eps, SCHEDULE), theirs.add_noise(xt, eps, steps))


def test_generate_samples_visits_every_step_from_the_last_to_the_first() -> None:
    told: list[float] = []

    def predict(x: Tensor, level: float) -> Tensor:
        told.append(level)
        return 0.1 * x

    steps = list(
        generate_samples(
            looking(predict, "eps", SCHEDULE), SCHEDULE, normal(2, 1, 3, 3), lambda: normal(2, 1, 3, 3, seed=1)
        )
    )
    assert told == [float(t) for t in range(99, -1, -1)]
    assert [step.index for step in steps] == list(range(101))
    assert {step.total for step in steps} == {100}
    assert [step.level for step in steps] == [*told, -1.0]
    assert steps[-1].x is steps[-1].x0


def test_loss_is_the_error_of_the_predicted_noise() -> None:
    eps = normal(3, 1, 28, 28, dtype=torch.float32)
    wrong = eps.clone()
    wrong[1] += 0.5
    draw = Draw(torch.tensor([0.0, 40.0, 99.0]), eps)
    x0 = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    loss = Ddpm(Recorder(wrong), SPEC).loss(x0, torch.arange(3), torch.ones(3), draw)
    assert_close(loss, torch.tensor([0.0, 0.25, 0.0]))


def test_network_sees_the_noised_image_the_step_the_label_and_the_mask() -> None:
    network = Recorder(torch.zeros(2, 1, 28, 28))
    eps = normal(2, 1, 28, 28, dtype=torch.float32)
    x0 = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    draw = Draw(torch.tensor([7.0, 99.0]), eps)
    Ddpm(network, SPEC).loss(x0, torch.tensor([4, 9]), torch.tensor([1.0, 0.0]), draw)
    x, level, labels, keep = network.calls[0]
    assert_close(x, q_sample(x0, torch.tensor([7, 99]), eps, SCHEDULE))
    assert_close(level, torch.tensor([7.0, 99.0]))
    assert labels.tolist() == [4, 9]
    assert keep.tolist() == [1.0, 0.0]


def test_loss_stays_float32_when_the_network_answers_in_bfloat16() -> None:
    network = Recorder(torch.zeros(2, 1, 28, 28, dtype=torch.bfloat16))
    process = Ddpm(network, SPEC)
    draw = process.draw(2, torch.Generator().manual_seed(0))
    loss = process.loss(torch.zeros(2, 1, 28, 28), torch.arange(2), torch.ones(2), draw)
    assert loss.dtype == torch.float32
    assert_close(loss, draw.eps.square().mean(dim=(1, 2, 3)))


def test_draws_are_uniform_over_the_steps_and_reproducible() -> None:
    process = Ddpm(nn.Identity(), SPEC)
    counts = torch.bincount(process.draw_levels(50_000, torch.Generator().manual_seed(5)).long(), minlength=100)
    assert len(counts) == 100
    assert torch.all((counts - 500).abs() < 5 * 500**0.5)
    first, again = (process.draw(64, torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.eps.shape == (64, 1, 28, 28)
    assert torch.equal(first.level, again.level)
    assert torch.equal(first.eps, again.eps)


@pytest.mark.parametrize(("share", "t"), [(0.0, 0.0), (0.5, 50.0), (1.0, 99.0)])
def test_probe_puts_every_image_at_one_step(share: float, t: float) -> None:
    probe = Ddpm(nn.Identity(), SPEC).probe(6, share, torch.Generator().manual_seed(0))
    assert probe.level.tolist() == [t] * 6
    assert probe.eps.shape == (6, 1, 28, 28)


def test_pixels_lie_between_minus_one_and_one_whatever_the_data() -> None:
    process = Ddpm(nn.Identity(), SPEC)
    images = torch.arange(256, dtype=torch.uint8).repeat(28 * 28 // 256 + 1)[: 28 * 28].view(1, 28, 28)
    before = process.encode(images)
    process.fit_pixels(torch.full((28, 28), 70.0, dtype=torch.float64), 80.0)
    assert torch.equal(process.encode(images), before)
    assert (before.min().item(), before.max().item()) == (-1.0, 1.0)
    assert torch.equal(process.decode(before), images)


def test_sampling_starts_from_the_image_noise_and_draws_nothing_after_the_last_step() -> None:
    process = Ddpm(Recorder(torch.zeros(2, 1, 28, 28)), SPEC)
    sampler = DiscreteSamplerSpec(kind="ddpm", steps=100, eta=1.0, guidance=1.0, guide="unlabelled", start="noise")
    noise = ImageNoise([1, 2])
    steps = list(process.sample(sampler, noise, torch.tensor([0, 1])))
    expected = ImageNoise([1, 2])
    draws = [expected.draw() for _ in range(101)]
    assert torch.equal(steps[0].x, draws[0])
    assert torch.equal(noise.draw(), draws[100])  # one start and 99 z were used


def test_a_sigma_sampler_is_refused() -> None:
    sampler = along_sigma("heun", 4, sigma_min=0.1, sigma_max=10.0)
    with pytest.raises(TypeError, match="a DDPM cannot be sampled by heun"):
        Ddpm(nn.Identity(), SPEC).sample(sampler, ImageNoise([1]), torch.tensor([0]))


def test_more_steps_than_the_process_has_are_refused() -> None:
    sampler = DiscreteSamplerSpec(kind="ddim", steps=101, eta=0.0, guidance=1.0, guide="unlabelled", start="noise")
    with pytest.raises(ValueError, match="cannot keep 101 of 100 steps"):
        Ddpm(nn.Identity(), SPEC).sample(sampler, ImageNoise([1]), torch.tensor([0]))


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_a_perfect_answer_costs_nothing_and_gives_the_image_back(target: str) -> None:
    """Loss, sampler and target agree on what the network is to say."""
    process = Ddpm(nn.Identity(), ddpm(target=target))
    x0, eps, t = (
        normal(3, 1, 28, 28, dtype=torch.float32),
        normal(3, 1, 28, 28, seed=1, dtype=torch.float32),
        torch.tensor([0, 40, 99]),
    )
    answer = target_of(process.spec.target, x0, t, eps, process.schedule)
    process.network = Recorder(answer)
    assert_close(process.loss(x0, t, torch.ones(3), Draw(t.float(), eps)), torch.zeros(3))
    sight = read_answer(process.spec.target, answer, q_sample(x0, t, eps, process.schedule), t, process.schedule)
    assert_close(sight.x0, x0, rtol=1e-3, atol=1e-4)


def test_min_snr_caps_the_weight_of_a_step() -> None:
    """For the noise min(SNR, 5) / SNR: 1 where the ratio is small, and almost nothing where it is large."""
    draw = Draw(torch.tensor([0.0, 99.0]), torch.zeros(2, 1, 28, 28))
    network = Recorder(torch.ones(2, 1, 28, 28))
    loss = Ddpm(network, ddpm(min_snr_gamma=5.0)).loss(torch.zeros(2, 1, 28, 28), torch.arange(2), torch.ones(2), draw)
    assert_close(loss, torch.tensor([5.0 / (0.9999 / 0.0001), 1.0]))


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_the_loss_weighs_by_its_own_target(target: Target) -> None:
    t, x0 = torch.tensor([0, 30, 99]), normal(3, 1, 28, 28, dtype=torch.float32)
    draw = Draw(t.float(), normal(3, 1, 28, 28, seed=1, dtype=torch.float32))
    network = Recorder(normal(3, 1, 28, 28, seed=2, dtype=torch.float32))
    plain, capped = (
        Ddpm(network, ddpm(target=target, min_snr_gamma=gamma)).loss(x0, t, torch.ones(3), draw) for gamma in (0.0, 5.0)
    )
    assert_close(capped, plain * min_snr_weight(target, SCHEDULE.snr[t].float(), 5.0))


def test_stratified_steps_cover_the_schedule_and_are_each_as_likely() -> None:
    process = Ddpm(nn.Identity(), ddpm(times="stratified"))
    generator = torch.Generator().manual_seed(0)
    drawn = process.draw_levels(100, generator)
    assert sorted(drawn.tolist()) == [float(t) for t in range(100)]
    assert drawn.tolist() != sorted(drawn.tolist())


def test_pure_noise_is_undone_from_the_velocity() -> None:
    """With nothing of the image left at the last step, a perfect network still leads to the image."""
    process = Ddpm(nn.Identity(), ddpm(10, zero_terminal=True, target="v"))
    x0 = normal(2, 1, 28, 28, dtype=torch.float32).clamp(-1, 1)

    class Knowing(nn.Module):
        def forward(self, x: Tensor, level: Tensor, labels: Tensor, keep: Tensor) -> Tensor:
            t, schedule = level.long(), process.schedule
            eps = (x - at_step(schedule.sqrt_abar, t, x) * x0) / at_step(schedule.sqrt_one_minus_abar, t, x)
            return target_of("v", x0, t, eps, schedule)

    process.network = Knowing()
    for sampler in (
        DiscreteSamplerSpec(kind="ddpm", steps=10, eta=1.0, guidance=1.0, guide="unlabelled", start="noise"),
        DiscreteSamplerSpec(kind="ddim", steps=4, eta=0.0, guidance=1.0, guide="unlabelled", start="noise"),
    ):
        *_, last = process.sample(sampler, ImageNoise([1, 2]), torch.tensor([0, 1]))
        assert_close(last.x, x0, rtol=0.0, atol=1e-4)


FROM_MOMENTS = DiscreteSamplerSpec(kind="ddim", steps=2, eta=0.0, guidance=1.0, guide="unlabelled", start="moments")


def test_sampling_can_start_from_the_moments_of_noised_images() -> None:
    """Mean and variance of the start are those of q_sample at the last step, class by class."""
    process = Ddpm(Recorder(torch.zeros(400, 1, 28, 28)), ddpm())
    generator = torch.Generator().manual_seed(4)
    images = (40 * torch.rand(600, 1, 1, generator=generator) + 100).expand(-1, 28, 28).round().to(torch.uint8)
    labels = torch.arange(600) % 10
    images = images + (labels * 10).to(torch.uint8)[:, None, None]
    moments = class_moments(process.encode(images), labels)
    chosen = torch.full((400,), 7)
    start = next(iter(process.sample(FROM_MOMENTS, ImageNoise(range(400)), chosen, moments))).x
    x0 = process.encode(images[labels == 7])
    abar = process.schedule.abar[-1].item()
    assert start.mean().item() == pytest.approx(abar**0.5 * x0.mean().item(), abs=0.01)
    of_images = start.mean(dim=(1, 2, 3)).var().item()  # all pixels of an image are equal before the noise
    assert of_images == pytest.approx(abar * x0.mean(dim=(1, 2, 3)).var().item() + (1 - abar) / 784, rel=0.25)
    assert [name for name, _ in process.named_buffers()] == []


def test_a_start_from_moments_that_are_not_given_is_refused() -> None:
    with pytest.raises(ValueError, match="moments that are not given"):
        Ddpm(nn.Identity(), SPEC).sample(FROM_MOMENTS, ImageNoise([1]), torch.tensor([0]))
