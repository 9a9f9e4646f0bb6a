"""A training ends with its best weights, and is the same however often it is begun, stopped and gone on with."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.training import checkpoint
from knee_i2m2.training.batches import InOrder, loader, on_device
from knee_i2m2.training.fit import Stage, constant, predict, warm_cosine, warm_linear
from knee_i2m2.types import Batch, Modalities

STAGE_SCORES = [0.1, 0.5, 0.4, 0.5, 0.3, 0.9]


class Killed(BaseException):
    """The process ends here."""


def scripted(scores):
    """Returns a score that says what it was told to, epoch after epoch."""
    said = iter(scores)
    return lambda logp, truth: next(said)


# What is learned ------------------------------------------------------------------------------------------------------


def test_a_product_learns_the_tiny_problem(tiny: ModuleType, tmp_path: Path) -> None:
    method, history = tiny.learn(tmp_path, epochs=8)
    answers = predict(method, loader(tiny.Samples(200, 3), InOrder(200, 64)))
    assert tiny.accuracy(answers.logp, answers.y) > 0.75
    assert history[-1].train["likelihood"] < history[0].train["likelihood"]


def test_it_stops_by_patience_and_keeps_the_first_of_the_best_weights(tiny: ModuleType, tmp_path: Path) -> None:
    method, seen = tiny.product(), []
    _, history = tiny.learn(
        tmp_path,
        method,
        epochs=6,
        patience=3,
        score=scripted(STAGE_SCORES),
        report=lambda epoch: seen.append(tiny.state(method)),
    )
    assert [epoch.score for epoch in history] == STAGE_SCORES[:5]  # the best was epoch 1; three more were not better
    assert tiny.same(tiny.state(method), seen[1])
    assert not tiny.same(tiny.state(method), seen[3])  # as good, but later


@pytest.mark.parametrize("samples", [32, 40])  # of 40, the last step of an epoch has one batch instead of two
def test_accumulated_batches_make_the_step_of_one_large_batch(tiny: ModuleType, tmp_path: Path, samples: int) -> None:
    options = {"epochs": 3, "rate": constant, "optimiser": torch.optim.SGD, "clip": 0.5, "samples": samples}
    large, small = tiny.product(random=False), tiny.product(random=False)
    tiny.learn(tmp_path / "large", large, batch_size=16, **options)
    tiny.learn(tmp_path / "small", small, batch_size=8, accumulate=2, **options)
    for name, values in tiny.state(large).items():
        torch.testing.assert_close(tiny.state(small)[name], values)


def test_the_rate_warms_up_and_falls_along_straight_lines() -> None:
    assert [warm_linear(passed) for passed in (0.0, 0.05, 0.1, 0.55, 1.0)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_a_step_of_no_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="a step of 0 batches learns nothing"):
        Stage(1, 1, accumulate=0)


def test_without_loss_of_patience_it_takes_all_epochs(tiny: ModuleType, tmp_path: Path) -> None:
    _, history = tiny.learn(tmp_path, epochs=6, patience=4, score=scripted(STAGE_SCORES))
    assert [epoch.epoch for epoch in history] == list(range(6))


@pytest.mark.parametrize(("epochs", "patience"), [(0, 3), (3, 0)])
def test_a_stage_that_cannot_train_is_refused(epochs: int, patience: int) -> None:
    with pytest.raises(ConfigError, match=f"{epochs} epochs with patience {patience} train nothing"):
        Stage(epochs, patience)


def test_the_rate_warms_up_and_cools_down() -> None:
    assert [warm_cosine(passed) for passed in (0.0, 0.15, 0.3, 0.65, 1.0)] == pytest.approx([0.04, 0.52, 1, 0.5, 0])
    assert constant(0.7) == 1


def test_the_rate_multiplies_the_learning_rate_of_every_step(tiny: ModuleType, tmp_path: Path) -> None:
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, *arguments, **options):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*arguments, **options)

    tiny.learn(tmp_path, epochs=2, lr=0.1, optimiser=Spy, samples=32, rate=lambda passed: 1 + passed)
    assert rates == pytest.approx([0.1 * (1 + step / 8) for step in range(8)])


def test_a_gradient_is_clipped_to_its_greatest_norm(tiny: ModuleType, tmp_path: Path) -> None:
    method = tiny.product()
    before = torch.nn.utils.parameters_to_vector(method.parameters()).detach().clone()
    options = {"epochs": 1, "lr": 1.0, "batch_size": 33, "rate": constant, "optimiser": torch.optim.SGD}
    tiny.learn(tmp_path, method, clip=0.01, **options)
    moved = torch.nn.utils.parameters_to_vector(method.parameters()) - before
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_lone_last_sample_does_not_break_batch_normalisation(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.learn(tmp_path, epochs=1, samples=9, batch_size=4)


@pytest.mark.parametrize("clip", [math.inf, 1.0])
def test_a_diverging_training_says_so(tiny: ModuleType, tmp_path: Path, clip: float) -> None:
    with pytest.raises(DataError, match=r"the likelihood loss is (nan|inf) in epoch 0; lower the learning rate"):
        tiny.learn(tmp_path, lr=1e38, clip=clip, rate=constant, optimiser=torch.optim.SGD)
    assert not list(tmp_path.iterdir())


def test_a_score_that_cannot_be_estimated_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no target has both classes"):
        tiny.learn(tmp_path, score=lambda logp, truth: math.nan)


def test_half_precision_trains_and_its_answers_are_whole(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, linear = set(), torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: _noted(linear(*given), seen))
    tiny.learn(tmp_path / "32", epochs=2)
    assert seen == {torch.float32}
    method, history = tiny.learn(tmp_path / "16", epochs=2, fabric=tiny.on_cpu(precision="bf16-mixed"))
    assert seen == {torch.float32, torch.bfloat16}  # the former where it answers
    assert all(math.isfinite(epoch.train["likelihood"]) for epoch in history)
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}


def _noted(values: torch.Tensor, seen: set[torch.dtype]) -> torch.Tensor:
    seen.add(values.dtype)
    return values


# Repetition -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_to_the_bit(tiny: ModuleType, tmp_path: Path) -> None:
    first, history = tiny.learn(tmp_path / "1")
    torch.manual_seed(77)  # whatever was drawn before
    second, repeated = tiny.learn(tmp_path / "2")
    other, _ = tiny.learn(tmp_path / "3", seed=1)
    assert tiny.same(tiny.state(first), tiny.state(second))
    assert tiny.timeless(history) == tiny.timeless(repeated)
    assert not tiny.same(tiny.state(first), tiny.state(other))


@pytest.mark.parametrize("epoch", [0, 2])
def test_killed_between_epochs_and_resumed_it_ends_at_the_same_bits(tiny: ModuleType, tmp_path: Path, epoch) -> None:
    def kill(done) -> None:
        if done.epoch == epoch:
            raise Killed

    whole, history = tiny.learn(tmp_path / "whole")
    with pytest.raises(Killed):
        tiny.learn(tmp_path / "cut", report=kill)
    resumed, continued = tiny.learn(tmp_path / "cut", resume=True)
    assert tiny.same(tiny.state(whole), tiny.state(resumed))
    assert tiny.timeless(history) == tiny.timeless(continued)


@pytest.mark.parametrize("place", ["best", "last"])
def test_killed_before_an_epoch_is_kept_and_resumed_it_ends_at_the_same_bits(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    whole, history = tiny.learn(tmp_path / "whole", score=scripted([0.1, 0.2, 0.3, 0.2]))
    save = checkpoint.save

    def kill(folder: Path, model, state) -> None:
        if folder.name == place and len(state["history"]) == 3:
            raise Killed
        save(folder, model, state)

    monkeypatch.setattr(checkpoint, "save", kill)
    with pytest.raises(Killed):
        tiny.learn(tmp_path / "cut", score=scripted([0.1, 0.2, 0.3, 0.2]))
    monkeypatch.undo()
    resumed, continued = tiny.learn(tmp_path / "cut", resume=True, score=scripted([0.3, 0.2]))
    assert tiny.same(tiny.state(whole), tiny.state(resumed))
    assert tiny.timeless(history) == tiny.timeless(continued)


def test_a_finished_training_is_resumed_to_what_it_was(tiny: ModuleType, tmp_path: Path) -> None:
    method, history = tiny.learn(tmp_path, patience=1, score=scripted([0.5, 0.4]))
    again, continued = tiny.learn(tmp_path, tiny.product(5), patience=1, resume=True, score=scripted([]))
    assert tiny.same(tiny.state(method), tiny.state(again))
    assert history == continued


def test_resuming_where_nothing_was_begun_begins(tiny: ModuleType, tmp_path: Path) -> None:
    assert len(tiny.learn(tmp_path, epochs=1, resume=True)[1]) == 1


# Augmentation ---------------------------------------------------------------------------------------------------------


def jitter(x: Modalities, generator: torch.Generator) -> Modalities:
    """Moves every number by a draw."""
    return {name: values + 0.1 * torch.randn(values.shape, generator=generator) for name, values in x.items()}


@pytest.mark.parametrize("epoch", [0, 2])
def test_augmented_killed_and_resumed_it_ends_at_the_same_bits(tiny: ModuleType, tmp_path: Path, epoch: int) -> None:
    def kill(done) -> None:
        if done.epoch == epoch:
            raise Killed

    whole, history = tiny.learn(tmp_path / "whole", augment=jitter)
    with pytest.raises(Killed):
        tiny.learn(tmp_path / "cut", report=kill, augment=jitter)
    resumed, continued = tiny.learn(tmp_path / "cut", resume=True, augment=jitter)
    assert tiny.same(tiny.state(whole), tiny.state(resumed))
    assert tiny.timeless(history) == tiny.timeless(continued)
    plain, _ = tiny.learn(tmp_path / "plain")
    assert not tiny.same(tiny.state(whole), tiny.state(plain))


def test_augmenting_by_nothing_leaves_every_bit_as_it_is(tiny: ModuleType, tmp_path: Path) -> None:
    def nothing(x: Modalities, generator: torch.Generator) -> Modalities:
        torch.randn(100, generator=generator)  # a generator of its own: the networks' draws stay what they were
        return x

    plain, augmented = tiny.learn(tmp_path / "1")[0], tiny.learn(tmp_path / "2", augment=nothing)[0]
    assert tiny.same(tiny.state(plain), tiny.state(augmented))


def test_only_training_batches_are_augmented_each_from_a_generator_of_its_own(tiny: ModuleType, tmp_path: Path) -> None:
    def spied(seed: int) -> list[tuple[int, int]]:
        seen = []

        def spy(x: Modalities, generator: torch.Generator) -> Modalities:
            assert generator.device.type == "cpu"
            seen.append((len(x["a"]), generator.initial_seed()))
            return x

        tiny.learn(tmp_path / f"{len(list(tmp_path.iterdir()))}", epochs=3, seed=seed, augment=spy)
        return seen

    seen = spied(0)
    assert [size for size, _ in seen] == [8, 8, 8, 9] * 3  # 33 samples: the lone last one joins the batch before it
    assert len({state for _, state in seen}) == len(seen)
    assert spied(0) == seen
    assert not {state for _, state in spied(1)} & {state for _, state in seen}


def test_half_floats_travel_and_arrive_as_whole_ones() -> None:
    x = {"a": torch.randn(4, 3).half(), "b": torch.randn(4, 3).bfloat16(), "c": torch.randn(4, 3).double()}
    (arrived,) = on_device("cpu", [Batch(x, torch.zeros(4, 2, dtype=torch.int64), torch.arange(4))])
    assert {name: values.dtype for name, values in arrived.x.items()} == {
        "a": torch.float32,
        "b": torch.float32,
        "c": torch.float64,
    }
    assert torch.equal(arrived.x["a"], x["a"].float()) and arrived.y.dtype == torch.int64


# Predictions ----------------------------------------------------------------------------------------------------------


def test_every_sample_is_answered_once_in_its_order(tiny: ModuleType) -> None:
    samples = tiny.Samples(21, 4)
    answers = predict(tiny.product(), loader(samples, InOrder(21, 8)))
    assert answers.key.tolist() == list(range(21))
    assert (answers.y == samples.y.numpy()).all()
    assert answers.logp.shape == (21, 2, 2)
    assert {name: z.shape for name, z in answers.opinions.items()} == dict.fromkeys(tiny.PRODUCT.experts, (21, 2, 2))


def test_answers_do_not_depend_on_the_batches_and_draw_nothing(tiny: ModuleType) -> None:
    method, samples = tiny.product(), tiny.Samples(21, 4)
    one, all_at_once = (predict(method, loader(samples, InOrder(21, size))) for size in (1, 21))
    torch.testing.assert_close(torch.from_numpy(one.logp), torch.from_numpy(all_at_once.logp), atol=1e-6, rtol=0)


def test_the_answer_is_the_product_of_the_raw_opinions_and_the_bias(tiny: ModuleType) -> None:
    method = tiny.product()
    method.weights.copy_(torch.tensor([[1.0, 3.0], [2.0, 0.5]]))
    answers = predict(method, loader(tiny.Samples(21, 4), InOrder(21, 8)))
    summed = torch.from_numpy(sum(answers.opinions.values()) + answers.bias)
    torch.testing.assert_close(torch.from_numpy(answers.logp), summed.log_softmax(-1))
    torch.testing.assert_close(torch.from_numpy(answers.bias), -method.weights.log())
