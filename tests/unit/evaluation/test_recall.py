"""A completion can be nothing but a product's line, and its id is what counts."""

import pytest
import torch
from byte_model import byte_tokenizer

from skutune.evaluation.recall import Identities, IdentityMask, recalled, recalls

PRODUCTS = [("1", "Ale"), ("12", "Ale"), ("7", "Ale: id 1"), ("9", "<|end|>")]


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture(scope="module")
def identities(tokenizer):
    return Identities(PRODUCTS, tokenizer, [tokenizer.eos_token_id])


def written(identities, tokenizer, choose):
    """A line written token by token, each chosen of those that are allowed."""
    tokens = ()
    while tokens[-1:] != (tokenizer.eos_token_id,):
        tokens = (*tokens, choose(identities.following(tokens)))
    return tokenizer.decode(tokens[:-1])


@pytest.mark.parametrize("choose", [min, max, lambda allowed: allowed[len(allowed) // 2]])
def test_whatever_is_chosen_a_products_line_comes_out(identities, tokenizer, choose):
    assert written(identities, tokenizer, choose) in {f"{name}: id {each}" for each, name in PRODUCTS}


def test_a_line_may_end_where_another_goes_on(identities, tokenizer):
    tokens = tuple(tokenizer("Ale: id 1")["input_ids"])
    assert identities.following(tokens) == [*sorted(tokenizer("2:")["input_ids"]), tokenizer.eos_token_id]


def test_a_name_like_a_special_token_is_text(identities, tokenizer):
    first = tokenizer("<", split_special_tokens=True)["input_ids"]
    assert set(first) <= set(identities.following(()))


def test_the_mask_leaves_each_row_of_a_batch_what_follows_its_own_beginning(identities, tokenizer):
    mask = IdentityMask(identities)
    prompt = torch.zeros((2, 3), dtype=torch.long)
    scores = mask(prompt, torch.zeros((2, 258)))
    assert torch.isfinite(scores).sum(dim=1).tolist() == [len(identities.following(()))] * 2
    ale, bracket = (tokenizer(text, split_special_tokens=True)["input_ids"][0] for text in ("A", "<"))
    later = mask(torch.tensor([[0, 0, 0, ale], [0, 0, 0, bracket]]), torch.zeros((2, 258)))
    assert torch.isfinite(later[0]).nonzero().flatten().tolist() == tokenizer("l")["input_ids"]
    assert torch.isfinite(later[1]).nonzero().flatten().tolist() == tokenizer("|")["input_ids"]


def test_room_is_for_the_longest_line_and_its_end(identities):
    assert identities.max_tokens == len("Ale: id 1: id 7") + 1


def test_only_the_first_line_is_read_and_only_the_id_counts():
    assert recalled("7", "train", "base", "Beer: id 7\nand more").right
    assert not recalled("7", "train", "base", "Ale: id 8").right
    nothing = recalled("7", "train", "base", "It is ale.")
    assert (nothing.id, nothing.name, nothing.right) == ("", "", False)


def test_recall_is_told_by_split_and_system_and_resampled_by_product():
    rows = [recalled(str(n), "train", "tuned", f"Ale: id {n % 2}") for n in range(4) for _ in range(2)]
    rows.append(recalled("9", "held_out_product", "base", "Ale: id 9"))
    first, second = recalls(rows, ["base", "tuned"])
    assert (first.split, first.system, first.right.hits) == ("held_out_product", "base", 1)
    assert (second.descriptions, second.right.hits, second.right.trials) == (8, 4, 8)
