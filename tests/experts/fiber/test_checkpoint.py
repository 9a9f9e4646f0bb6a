"""A file in FIBER's layout is loaded whole or refused in a sentence."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.checkpoint import QUEUES, Loaded, load_fiber, resized_table
from knee_i2m2.experts.fiber.fiber import BASE, TINY, Fiber
from knee_i2m2.experts.pairs.nlvr2 import nlvr2_experts
from tests.experts.fiber import reference
from tests.experts.fiber.reference import SMALL, at_side, roused, sample

PRETRAINING = ("itm_score", "mlm_score", "rank_output", "temp")


def constants(layout: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Returns tensors of these shapes that take one number each: a file of 281 M parameters and a queue of 7 GB."""
    return {name: torch.tensor(float(n)).expand(shape) for n, (name, shape) in enumerate(layout.items())}


@pytest.mark.parametrize(
    ("kind", "given", "loaded"),
    [
        ("pretrain", ("nlvr2_classifier",), Loaded(("nlvr2_classifier",), PRETRAINING)),
        ("nlvr2_finetuned", ("nlvr2_classifier",), Loaded((), ())),
    ],
)
def test_a_checkpoint_of_the_full_size_loads_with_nothing_missing_and_nothing_left_over(
    shared_data: Path, tmp_path: Path, kind: str, given: tuple[str, ...], loaded: Loaded
) -> None:
    layout = reference.layout(shared_data.parent / "facts" / "fiber_checkpoint_keys.json", kind)
    assert len(layout) == {"pretrain": 722, "nlvr2_finetuned": 710}[kind]
    state, path = constants(layout), tmp_path / "fiber.ckpt"
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {"config": {"image_size": 384}}}, path)
    with torch.device("meta"):
        experts = nlvr2_experts(["images+sentence"], BASE)
    experts.to_empty(device="cpu")
    fiber, heads = experts.encoders.fiber, {name: experts.head("images+sentence") for name in given}
    assert load_fiber(path, fiber, heads) == loaded
    assert all((t == state[name].flatten()[0]).all() for name, t in fiber.state_dict().items())
    if not loaded.fresh:
        for name, head in heads.items():
            assert all((t == state[f"{name}.{key}"].flatten()[0]).all() for key, t in head.state_dict().items())


@pytest.fixture(scope="module")
def fiber() -> Fiber:
    return roused(Fiber(SMALL))


def whole(fiber: Fiber) -> dict[str, Tensor]:
    """Returns what the original would have saved of this backbone: with buffers, queues and heads."""
    tower = {f"vit_model.{name}": t for name, t in fiber.vit_model.named_buffers()}
    queues = {name: torch.zeros(3) for name in QUEUES}
    extra = {"temp": torch.tensor(0.07), "itm_score.fc.weight": torch.zeros(2, 40)}
    return {
        **fiber.state_dict(),
        **tower,
        **queues,
        **extra,
        "text_transformer.embeddings.position_ids": torch.arange(5),
    }


@pytest.mark.parametrize("name", ["fiber.ckpt", "fiber.safetensors", "old.ckpt"])
def test_a_file_of_either_format_brings_the_answers_back(fiber: Fiber, tmp_path: Path, name: str) -> None:
    path, state = tmp_path / name, whole(fiber)
    if path.suffix == ".safetensors":
        save_file({key: t.clone() for key, t in state.items()}, path)
    else:
        torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=name == "fiber.ckpt")
    fresh, x = Fiber(SMALL).double().eval(), sample(SMALL)
    assert load_fiber(path, fresh) == Loaded((), ("itm_score", "temp"))
    images, tokens = x["images"][:, 0], x["sentence"]
    torch.testing.assert_close(fresh.joint(images, tokens).pooled, fiber.joint(images, tokens).pooled)


def test_a_file_without_queues_and_heads_is_whole_too(fiber: Fiber, tmp_path: Path) -> None:
    torch.save({"state_dict": fiber.state_dict()}, tmp_path / "fiber.ckpt")
    assert load_fiber(tmp_path / "fiber.ckpt", Fiber(SMALL)) == Loaded((), ())


def test_another_resolution_changes_the_position_tables_and_nothing_else(fiber: Fiber, tmp_path: Path) -> None:
    torch.save({"state_dict": whole(fiber)}, tmp_path / "fiber.ckpt")
    size = at_side(SMALL, 160)
    larger = Fiber(size).double().eval()
    load_fiber(tmp_path / "fiber.ckpt", larger)
    for name, t in larger.state_dict().items():
        old = fiber.state_dict()[name]
        if name.endswith("relative_position_bias_table"):
            assert (len(old), len(t)) == (25, 81)
            torch.testing.assert_close(t, bicubic(old, 9), rtol=0, atol=1e-5)
        else:
            assert torch.equal(t, old)
    x, state = sample(size), larger.state_dict()
    own = larger.joint(x["images"][:, 0], x["sentence"])
    assert reference.difference(own.pooled, reference.joint(state, size, x["images"][:, 0], x["sentence"])[2]) < 1e-10


def cubic(t: float) -> float:
    """Keys' kernel with a = -0.75."""
    t, a = abs(t), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def bicubic(table: Tensor, new: int) -> Tensor:
    """Interpolates by a matrix along each axis: pixels are areas, edges are repeated, nothing is smoothed."""
    old = round(len(table) ** 0.5)
    matrix = torch.zeros(new, old).double()
    for i in range(new):
        centre = (i + 0.5) * old / new - 0.5
        for j in range(-4, old + 4):
            matrix[i, min(max(j, 0), old - 1)] += cubic(centre - j)
    square = table.double().reshape(old, old, -1)
    return torch.einsum("ay,bx,yxh->abh", matrix, matrix, square).reshape(new * new, -1)


def test_the_table_of_384_pixels_gets_the_rows_of_576() -> None:
    table = torch.randn(529, 4)
    assert resized_table(table, 18).shape == (1225, 4)
    torch.testing.assert_close(resized_table(table, 18).double(), bicubic(table, 35), rtol=0, atol=1e-5)
    torch.testing.assert_close(resized_table(table, 6).double(), bicubic(table, 11), rtol=0, atol=1e-5)
    assert resized_table(table, 12) is table


def refusal(path: Path, fiber: Fiber, heads: dict[str, nn.Module] | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_fiber(path, fiber, heads or {})
    assert caught.value.exit_code == 4
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_missing_file_is_a_sentence_that_says_what_to_put_where(tmp_path: Path) -> None:
    assert refusal(tmp_path / "fiber.ckpt", Fiber(TINY)) == (
        "is missing; put FIBER's fiber_pretrain.ckpt, or its state_dict as .safetensors, there; nothing is downloaded"
    )


def test_a_name_too_many_or_too_few_and_another_shape_are_named(fiber: Fiber, tmp_path: Path) -> None:
    path, state = tmp_path / "fiber.ckpt", fiber.state_dict()
    hint = "build the backbone in the size of the file"

    def told(changed: dict[str, Tensor], heads: dict[str, nn.Module] | None = None) -> str:
        torch.save({"state_dict": changed}, path)
        return refusal(path, Fiber(SMALL), heads)

    lacking = {name: t for name, t in state.items() if not name.startswith("vit_model.norm.")}
    assert told(lacking) == f"lacks vit_model.norm.bias, vit_model.norm.weight; {hint}"
    assert told({**state, "vit_model.head.bias": torch.zeros(3)}) == f"holds the unknown vit_model.head.bias; {hint}"
    assert told({**state, "novel.weight": torch.zeros(3)}) == f"holds the unknown novel.weight; {hint}"
    narrow = {**state, "vit_model.norm.bias": torch.zeros(3)}
    assert told(narrow) == f"vit_model.norm.bias has the shape [3], not [64]; {hint}"
    odd = {**state, "vit_model.layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(24, 1)}
    assert told(odd).startswith("vit_model.layers.0.blocks.0.attn.relative_position_bias_table has the shape [24, 1]")
    half = {**state, "nlvr2_classifier.0.weight": torch.zeros(3, 4)}
    assert told(half, {"nlvr2_classifier": nn.Sequential(nn.Linear(4, 3))}) == f"lacks nlvr2_classifier.0.bias; {hint}"
    assert told({}) == "has no state_dict of tensors; give a checkpoint of the network"
    many = {name: t for name, t in state.items() if ".mlp." not in name}
    assert told(many).endswith(f"and 43 more; {hint}")


def test_a_file_that_is_refused_changes_nothing(fiber: Fiber, tmp_path: Path) -> None:
    own = Fiber(SMALL)
    before = {name: t.clone() for name, t in own.state_dict().items()}
    torch.save({"state_dict": {**fiber.state_dict(), "novel": torch.zeros(1)}}, tmp_path / "fiber.ckpt")
    refusal(tmp_path / "fiber.ckpt", own)
    assert all(torch.equal(t, before[name]) for name, t in own.state_dict().items())


class Trap:
    """Code that runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", ["trap", "cut", "text", "pickle"])
def test_a_damaged_file_or_one_with_code_is_refused_and_nothing_runs(tmp_path: Path, content: str) -> None:
    path, trapped = tmp_path / "fiber.ckpt", tmp_path / "trapped"
    torch.save({"state_dict": {"a": torch.zeros(300)}, "more": Trap(trapped) if content == "trap" else 0}, path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:400])
    if content == "text":
        path.write_text("no checkpoint")
    if content == "pickle":
        path.write_bytes(pickle.dumps(Trap(trapped), protocol=2))
    assert refusal(path, Fiber(TINY)).startswith("is damaged, or holds more than tensors and plain values; save its")
    assert not trapped.exists()
    safe = tmp_path / "fiber.safetensors"
    safe.write_bytes(path.read_bytes())
    assert refusal(safe, Fiber(TINY)).startswith("is damaged")
