"""Log-probabilities in blocks are those of the full logits, with the same gradients and without their memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from small_trainers import small_model
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from trl.trainer.utils import entropy_from_logits, selective_log_softmax

from kto_recipes.trainer import logps as module
from kto_recipes.trainer.logps import HeadCall, head_logps, scoring_head

VOCABULARY, HIDDEN = 97, 24
SMALLEST = 16  # tokens of the vocabulary in the smallest block: six of them, and one token more
TOKENS = [0, 1, 16, 17, 48, 81]
FULL = 10 * VOCABULARY  # elements: one block for all but the longest


@pytest.fixture(autouse=True, params=[1, 48 * 24], ids=["blocks of 16", "blocks by the number of rows"])
def elements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setitem(module.BLOCK_ELEMENTS, "cpu", request.param)
    monkeypatch.setattr(module, "MIN_BLOCK", SMALLEST)
    return request.param


def parts(tokens: int, dtype: torch.dtype, bias: bool = True, trained: bool = True, seed: int = 0) -> list[Any]:
    """hidden, weight, bias, targets; hidden alone has a gradient where the head is frozen."""
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, HIDDEN, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, HIDDEN, generator=draw, dtype=torch.float64).to(dtype).requires_grad_(trained)
    shift = torch.randn(VOCABULARY, generator=draw, dtype=torch.float64).to(dtype).requires_grad_(trained)
    return [hidden, weight, shift if bias else None, torch.randint(0, VOCABULARY, (tokens,), generator=draw)]


def full(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    return functional.linear(hidden, weight, bias).log_softmax(-1).gather(1, targets[:, None])[:, 0]


def gradients(score: Callable[..., Tensor], given: list[Any], upstream: Tensor) -> list[Tensor]:
    """Of the scores weighted by `upstream`, for whatever in `given` has a gradient."""
    wanted = [x for x in given[:3] if x is not None and x.requires_grad]
    return list(torch.autograd.grad((score(*given) * upstream).sum(), wanted))


def blockwise(*given: Any) -> Tensor:
    return head_logps(*given)[0]


def upstream(tokens: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.linspace(-0.3, 0.7, tokens, dtype=dtype)


# --- values and gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=["float64", "float32"]
)
def test_values_and_gradients_are_those_of_the_full_logits(
    dtype: torch.dtype, close: float, tokens: int, bias: bool, trained: bool
) -> None:
    given = parts(tokens, dtype, bias, trained)
    found, expected = blockwise(*given), full(*given)
    assert found.shape == (tokens,)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, atol=close, rtol=close)
    weights = upstream(tokens, dtype)
    pairs = zip(gradients(blockwise, given, weights), gradients(full, given, weights), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, atol=close, rtol=close)


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_gradients_are_those_of_finite_differences(bias: bool, trained: bool) -> None:
    hidden, weight, shift, targets = parts(SMALLEST + 1, torch.float64, bias, trained)
    small = [x[:7] if x is not None else None for x in (weight, shift)]
    leaves = [x.detach().requires_grad_(x.requires_grad) if x is not None else None for x in (hidden[:, :4], *small)]
    leaves[1] = leaves[1][:, :4].detach().requires_grad_(trained)
    assert torch.autograd.gradcheck(lambda *given: blockwise(*given, targets % 7), tuple(leaves))


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_a_head_that_is_trained_in_part_gets_the_gradient_of_that_part(frozen: str) -> None:
    given = parts(3 * SMALLEST, torch.float64)
    given[1 if frozen == "weight" else 2].requires_grad_(False)
    weights = upstream(3 * SMALLEST)
    for ours, theirs in zip(gradients(blockwise, given, weights), gradients(full, given, weights), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_without_a_gradient_to_make_the_values_are_the_same(trained: bool) -> None:
    given = parts(40, torch.float64, trained=trained)
    with torch.no_grad():
        found = blockwise(*given)
    assert not found.requires_grad
    torch.testing.assert_close(found, full(*given).detach(), atol=1e-12, rtol=1e-12)


# --- bf16 ---------------------------------------------------------------------------------------------------


def stock(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """What TRL does with a model's logits."""
    return selective_log_softmax(functional.linear(hidden, weight, bias), targets)


def autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_under_autocast_products_run_in_bf16_and_the_rest_in_float32(trained: bool) -> None:
    given = parts(3 * SMALLEST + 1, torch.float32, trained=trained)
    with autocast():
        found, expected = blockwise(*given), functional.linear(*given[:3])
    assert expected.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    exact = expected.float().log_softmax(-1).gather(1, given[3][:, None])[:, 0]
    # A bf16 product may be rounded the other way in another shape: one part in 256 of logits up to 20.
    torch.testing.assert_close(found, exact, atol=0.15, rtol=0)
    assert (found - exact).abs().mean() < 0.01


def bf16_errors(score: Callable[..., Tensor], dtype: torch.dtype, trained: bool, seed: int) -> list[float]:
    """Relative errors of the values and of each gradient, against the same numbers in float64."""
    tokens = 9 * SMALLEST
    given = parts(tokens, dtype, trained=trained, seed=seed)
    exact = [x.detach().double().requires_grad_(x.requires_grad) for x in given[:3]] + given[3:]
    weights = torch.full((tokens,), 0.3)

    def cast(*parts: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.float32):
            return score(*parts).float()

    found = [cast(*given).detach(), *gradients(cast, given, weights)]
    truth = [full(*exact).detach(), *gradients(full, exact, weights.double())]
    return [((a.double() - b).norm() / b.norm()).item() for a, b in zip(found, truth, strict=True)]


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["autocast", "bf16 weights"])
def test_bf16_errors_of_values_and_gradients_are_no_larger_than_trls(dtype: torch.dtype, trained: bool) -> None:
    ours, theirs = (
        torch.tensor([bf16_errors(score, dtype, trained, seed) for seed in range(8)]).mean(0)
        for score in (blockwise, stock)
    )
    assert (ours <= theirs).all()
    assert (ours < 0.01).all()
    assert (ours > 1e-4).all(), "nothing was rounded"


# --- what is logged -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("tokens", TOKENS)
def test_the_entropy_is_that_of_the_full_logits_and_has_no_gradient(tokens: int, trained: bool) -> None:
    given = parts(tokens, torch.float64, trained=trained)
    found, entropy = head_logps(*given, with_entropy=True)
    assert entropy is not None
    assert not entropy.requires_grad
    expected = entropy_from_logits(functional.linear(*given[:3]).detach()) if tokens else torch.zeros(0)
    torch.testing.assert_close(entropy, expected.to(torch.float64), atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(found, blockwise(*given))


def test_the_entropy_is_not_made_unasked() -> None:
    assert head_logps(*parts(5, torch.float32))[1] is None


# --- inside a model -----------------------------------------------------------------------------------------


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(5, 300, (3, 30), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def positions() -> Tensor:
    """Completions that start and end at different tokens; the last row has none."""
    start, end = torch.tensor([[3], [20], [29]]), torch.tensor([[25], [29], [29]])
    place = torch.arange(29)
    return (place >= start) & (place < end)


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_a_models_logits_become_the_completions_log_probabilities(
    trained: bool, ids: Tensor, positions: Tensor
) -> None:
    model = small_model()
    model.lm_head.weight.requires_grad_(trained)
    logits = model(input_ids=ids).logits[:, :-1]
    call = HeadCall(positions, ids[:, 1:][positions], with_entropy=True)
    with scoring_head(model.lm_head, call):
        found = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(found, selective_log_softmax(logits, ids[:, 1:])[positions])
    assert call.entropy is not None
    assert call.mean_logits is not None
    torch.testing.assert_close(call.entropy, entropy_from_logits(logits)[positions].detach())
    torch.testing.assert_close(call.mean_logits, logits.mean(-1)[positions].detach(), atol=1e-5, rtol=1e-5)
    assert not call.mean_logits.requires_grad


def test_the_mean_logit_counts_the_bias() -> None:
    head = nn.Linear(HIDDEN, VOCABULARY)
    hidden = torch.randn(2, 6, HIDDEN)
    everywhere = torch.ones(2, 5, dtype=torch.bool)
    call = HeadCall(everywhere, torch.zeros(10, dtype=torch.int64))
    with scoring_head(head, call):
        head(hidden)
    torch.testing.assert_close(call.mean_logits, head(hidden)[:, :-1].mean(-1).flatten().detach())


def test_the_head_is_itself_again_afterwards_and_after_an_exception(ids: Tensor, positions: Tensor) -> None:
    model = small_model()
    expected = model(input_ids=ids).logits
    call = HeadCall(positions, ids[:, 1:][positions])
    with scoring_head(model.lm_head, call):
        assert model(input_ids=ids).logits.shape != expected.shape
    torch.testing.assert_close(model(input_ids=ids).logits, expected)
    with pytest.raises(RuntimeError, match="on purpose"), scoring_head(model.lm_head, call):
        raise RuntimeError("on purpose")
    torch.testing.assert_close(model(input_ids=ids).logits, expected)
    assert "forward" not in model.lm_head.__dict__


def test_a_head_whose_forward_somebody_had_exchanged_gets_that_one_back() -> None:
    head = nn.Linear(HIDDEN, VOCABULARY)
    head.forward = exchanged = lambda hidden: hidden + 1
    with scoring_head(head, HeadCall(torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, dtype=torch.int64))):
        assert head.forward is not exchanged
    assert head.forward is exchanged


# --- memory -------------------------------------------------------------------------------------------------


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple | list) else [result]:
            if isinstance(made, Tensor):
                self.elements = max(self.elements, made.numel())
        return result


def kept_for_backward(score: Callable[..., Tensor], given: list[Any]) -> Iterator[int]:
    """The number of elements of each tensor that autograd keeps."""
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        score(*given)
    return iter(kept)


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_no_tensor_of_tokens_by_vocabulary_is_kept_or_made(trained: bool, elements: int) -> None:
    tokens = 640
    given = parts(tokens, torch.float32, trained=trained)
    own = max(tokens * HIDDEN, VOCABULARY * HIDDEN)  # hidden states and weights
    assert max(kept_for_backward(blockwise, given)) <= own
    assert max(kept_for_backward(full, given)) == tokens * VOCABULARY, "the stock way does keep one"
    with _Largest() as largest:
        gradients(blockwise, given, upstream(tokens, torch.float32))
    assert largest.elements <= max(own, elements, tokens * SMALLEST) < tokens * VOCABULARY / 2
    with _Largest() as largest:
        gradients(full, given, upstream(tokens, torch.float32))
    assert largest.elements == tokens * VOCABULARY


def test_a_whole_models_pass_keeps_nothing_of_the_vocabularys_size(positions: Tensor) -> None:
    vocabulary = 5000
    model = small_model(vocab_size=vocabulary)
    ids = torch.randint(5, vocabulary, (3, 30))
    call = HeadCall(positions, ids[:, 1:][positions])

    def ours() -> Tensor:
        with scoring_head(model.lm_head, call):
            return model(input_ids=ids, use_cache=False).logits.sum()

    logits = int(positions.sum()) * vocabulary
    model.model.embed_tokens.weight.requires_grad_(False)
    assert vocabulary * model.config.hidden_size < 2 * logits
    kept = [elements for elements in kept_for_backward(ours, []) if elements != vocabulary * model.config.hidden_size]
    assert max(kept) < logits / 10
    assert max(kept_for_backward(lambda: model(input_ids=ids).logits.log_softmax(-1).sum(), [])) >= logits
