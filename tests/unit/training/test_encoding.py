"""Loss is on answers alone, weighed where they name products, and no answer is cut inside a reference."""

import pytest
from llama2 import llama2_tokenizer

from skutune.answer_format import AnswerItem, AnswerText, Reference, parse_reference, render
from skutune.errors import InputError
from skutune.prompts.chat_template import DEFAULT_TEMPLATE
from skutune.training.encoding import Chat, ExampleEncoder
from skutune.training.tokens import IGNORED, fitting_length, load_tokenizer, prompt_tokens

PRODUCTS = [Reference("32717", "Baked Beans"), Reference("43962", "Crème fraîche 😀")]
ITEMS = [AnswerItem(f"item {number}", "Goes well.", product) for number, product in enumerate([*PRODUCTS, None])]
ANSWER = render(AnswerText("Three of them.", tuple(ITEMS), "Enjoy."))


@pytest.fixture(params=["bytes", "llama2"])
def tokenizer(request, base, tmp_path):
    """Two kinds of tokenizers that are made in other ways: byte-level, and SentencePiece's with bytes for the rest."""
    if request.param == "bytes":
        return load_tokenizer(base)
    llama2_tokenizer().save_pretrained(tmp_path)
    return load_tokenizer(tmp_path)


def chat(answer, question="What goes with steak?", **more):
    return Chat([{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more)


def encoded(tokenizer, *chats, max_length=4096, **settings):
    return ExampleEncoder(tokenizer, max_length, **settings).encode(list(chats))


def read(tokenizer, example, weight):
    """The text of the tokens of this weight, in pieces that lie together."""
    pieces, before = [], None
    for token, found in zip(example.input_ids, example.loss_weights, strict=True):
        if found == weight:
            pieces = [*pieces, [token]] if before != weight else [*pieces[:-1], [*pieces[-1], token]]
        before = found
    return [tokenizer.decode(piece).strip() for piece in pieces]


def taught(tokenizer, example):
    return tokenizer.decode([label for label in example.labels if label != IGNORED], skip_special_tokens=True).strip()


def test_the_prompt_carries_no_loss_and_the_answer_does(tokenizer):
    (example,) = encoded(tokenizer, chat(ANSWER))
    assert taught(tokenizer, example) == ANSWER
    prompt = prompt_tokens(tokenizer, chat("").messages[:1])
    assert example.input_ids[: len(prompt)] == prompt
    assert example.labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert all(label in (IGNORED, token) for token, label in zip(example.input_ids, example.labels, strict=True))


def test_the_end_of_an_answer_is_taught(tokenizer):
    (example,) = encoded(tokenizer, chat(ANSWER))
    assert tokenizer.eos_token_id in example.labels[-2:]


def test_only_the_last_answer_of_a_chat_is_taught(tokenizer):
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    (example,) = encoded(tokenizer, Chat([{"role": role, "content": text} for role, text in turns]))
    assert taught(tokenizer, example) == "d"


def test_exactly_names_and_ids_weigh_more(tokenizer):
    (example,) = encoded(tokenizer, chat(ANSWER), reference_weight=3.0)
    assert read(tokenizer, example, 3.0) == [f"{product.name}: id {product.id}" for product in PRODUCTS]
    assert set(example.loss_weights) == {0.0, 1.0, 3.0}
    weights = zip(example.loss_weights, example.labels, strict=True)
    assert all((weight == 0) == (label == IGNORED) for weight, label in weights)


def test_an_identity_weighs_more_as_a_whole_but_not_its_end(tokenizer):
    (example,) = encoded(tokenizer, chat("Beans: id é7", is_identity=True), reference_weight=2.0)
    assert read(tokenizer, example, 2.0) == ["Beans: id é7"]
    assert example.loss_weights[-1] == 1.0


def test_all_of_an_answer_weighs_alike_unless_something_else_is_asked_for(tokenizer):
    (example,) = encoded(tokenizer, chat(ANSWER))
    assert set(example.loss_weights) == {0.0, 1.0}


def test_an_answer_is_cut_after_a_whole_reference_at_every_length(tokenizer):
    (whole,) = encoded(tokenizer, chat(ANSWER))
    ends = set()
    for length in range(len(whole.input_ids)):
        (example,) = encoded(tokenizer, chat(ANSWER), max_length=length, reference_weight=2.0)
        if example is None:
            continue
        assert len(example.input_ids) <= length
        assert example.is_cut
        assert len(example.loss_weights) == len(example.labels) == len(example.input_ids)
        assert ANSWER.startswith(taught(tokenizer, example))
        last = taught(tokenizer, example).splitlines()[-1]
        parse_reference(last)
        ends.add(last)
    assert len(ends) == 3


def test_an_answer_without_room_for_its_first_reference_is_left_out(tokenizer):
    (whole,) = encoded(tokenizer, chat(ANSWER))
    first = len(encoded(tokenizer, chat(ANSWER.partition("\n\n")[0]))[0].input_ids)
    assert first < len(whole.input_ids)
    assert encoded(tokenizer, chat(ANSWER), chat("Short."), max_length=first)[0] is None


def test_an_identity_that_does_not_fit_is_left_out(tokenizer):
    product = chat("Baked Beans: id 32717", is_identity=True)
    (whole,) = encoded(tokenizer, product)
    assert encoded(tokenizer, product, max_length=len(whole.input_ids) - 2) == [None]


def test_an_answer_that_names_nothing_is_cut_at_the_limit(tokenizer):
    (example,) = encoded(tokenizer, chat("x" * 500), max_length=100)
    assert (len(example.input_ids), example.is_cut) == (100, True)


def test_a_prompt_that_is_too_long_leaves_nothing(tokenizer):
    assert encoded(tokenizer, chat("Yes.", question="q" * 200), max_length=100) == [None]


def test_a_base_without_chat_template_gets_the_default_one_and_its_own_begin(tmp_path):
    llama2_tokenizer().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.chat_template == DEFAULT_TEMPLATE
    assert tokenizer.pad_token == "</s>"
    (example,) = encoded(tokenizer, chat("Beans."))
    text = tokenizer.decode(example.input_ids)
    assert text == "<s>### Question:\nWhat goes with steak?\n\n### Answer:\nBeans.</s>"
    assert example.input_ids.count(tokenizer.bos_token_id) == 1


def test_a_tokenizer_that_cannot_place_its_tokens_is_the_users_error(base):
    class Slow:
        is_fast, name_or_path = False, "shop/slow"

    with pytest.raises(InputError, match=r"shop/slow.*tokenizer\.json"):
        ExampleEncoder(Slow(), 64)


def test_a_tokenizer_without_an_end_token_is_the_users_error(tmp_path):
    tokenizer = llama2_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no end-of-sequence token, so no answer would end"):
        load_tokenizer(tmp_path)


def test_a_model_of_an_unknown_kind_is_the_users_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(InputError, match="config cannot be read"):
        fitting_length(tmp_path, 64)
