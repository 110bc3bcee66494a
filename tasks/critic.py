"""Fit the critic: a classifier of real garments, trained apart from every model that it will judge.

It is fitted in float32 whatever ``compute.precision`` says, so that no distance shifts with what a machine is fast at.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from prefect import task
from prefect.cache_policies import NO_CACHE
from torch import Tensor

from models.classifier import Classifier
from models.layers import reseed_dropout
from tasks.accuracy import accuracies, confusion
from tasks.dataset import Split, load_split
from tasks.errors import DivergedError
from tasks.files import sha256_file, write_json
from tasks.judge import Judge, as_input, new_classifier, save_critic
from tasks.params import Compute, Critic, Evaluate
from tasks.paths import metrics_file, split_file
from tasks.progress import track
from tasks.reproducibility import environment_record, prepare_compute
from tasks.seeds import derived_seed, torch_generator

ADAM_BETAS = (0.9, 0.99)
WARMUP_SHARE = 0.2
LABEL_SMOOTHING = 0.05
"""Probability spread over all classes (Szegedy et al. 2016): Fashion-MNIST's own labels are not certain."""


def run_critic(critic: Critic, evaluate: Evaluate, compute: Compute, seed: int) -> dict[str, Any]:
    """Fit the critic on the training images and report what it makes of the test images, which decide nothing.

    Args:
        critic: the network and its training.
        evaluate: confidence of the intervals.
        compute: device and threads.
        seed: the user's seed.

    Returns:
        The metrics: accuracy in all and by class with intervals, confusion, size, images seen and seconds.

    Raises:
        MissingResourceError: the data has not been prepared.
        DivergedError: the loss is not finite.
    """
    device = prepare_compute(compute)
    start = time.monotonic()
    split = load_split("train")
    classifier = fit(critic, split, compute, seed)
    seconds = time.monotonic() - start
    card = {"seed": seed, "data_sha256": sha256_file(split_file("train"))}
    save_critic(classifier, critic, {**card, "environment": environment_record(compute, device, "float32")})
    metrics = {
        **_test_results(Judge(classifier, device), evaluate.confidence),
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        "features": critic.features,
        "images": critic.steps * _images_per_step(len(split), critic),
        "seconds": seconds,
    }
    write_json(metrics_file("critic"), metrics)
    return metrics


def fit(critic: Critic, split: Split, compute: Compute, seed: int) -> Classifier:
    """Train a classifier with AdamW (Loshchilov and Hutter 2019), its rate rising and then falling linearly to 0.

    Images are not altered: flips would turn shoes round, and over so few epochs shifts cost accuracy.

    Args:
        critic: the network and its training.
        split: images and labels to learn.
        compute: device and threads.
        seed: decides the weights, the order of the images and what dropout hides.

    Raises:
        DivergedError: the loss is not finite.
    """
    device = prepare_compute(compute)
    classifier = new_classifier(critic, seed).to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(classifier, critic)
    images, labels = split.images.to(device), split.labels.to(device)
    order = _order(len(split), critic, torch_generator(seed, "critic order"))
    for step, chosen in enumerate(track(order, critic.steps, "fitting the critic")):
        reseed_dropout(classifier, derived_seed(seed, "critic dropout", step))
        logits, _ = classifier(as_input(images[chosen]))
        loss = F.cross_entropy(logits, labels[chosen], label_smoothing=LABEL_SMOOTHING)
        _update(optimizer, loss, critic.lr * _rate(step, critic.steps), step)
    return classifier


def _images_per_step(count: int, critic: Critic) -> int:
    """The batch, or all images where there are fewer."""
    return min(critic.batch, count)


def _order(count: int, critic: Critic, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of every step's images: each epoch in an order of its own, without its incomplete last batch."""
    batch = _images_per_step(count, critic)
    per_epoch = count // batch
    for step in range(critic.steps):
        if step % per_epoch == 0:
            shuffled = torch.split(torch.randperm(count, generator=generator), batch)
        yield shuffled[step % per_epoch]


def _optimizer(classifier: Classifier, critic: Critic) -> torch.optim.AdamW:
    """Weight decay acts on matrices and kernels alone, not on biases or the gains of the normalisation."""
    kernels = [parameter for parameter in classifier.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in classifier.parameters() if parameter.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": critic.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=critic.lr, betas=ADAM_BETAS, fused=True)


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate (one cycle, Smith and Topin 2019)."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    return (step + 1) / warmup if step < warmup else (steps - step) / max(1, steps - warmup)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, step: int) -> None:
    value = loss.item()
    if not math.isfinite(value):
        raise DivergedError("critic", f"the loss is {value} at step {step + 1}", "a finite number", "lower critic.lr")
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()


def _test_results(judge: Judge, confidence: float) -> dict[str, Any]:
    test, validation = load_split("test"), load_split("val")
    predicted = judge.features_and_logits(test.images)[1].argmax(dim=1)
    checked = judge.features_and_logits(validation.images)[1].argmax(dim=1)
    return {
        **accuracies(predicted, test.labels, confidence),
        "validation_accuracy": (checked == validation.labels).double().mean().item(),
        "num_test": len(test),
        "confusion": confusion(predicted, test.labels).tolist(),
    }


critic_task = task(name="critic", cache_policy=NO_CACHE)(run_critic)
