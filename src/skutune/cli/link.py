"""`skutune link`: which product a name stands for, for one name or as many lines as arrive on stdin.

Lines are linked together as they arrive: thousands from a file share the encoder's batches, and what another program
writes a line at a time is answered a line at a time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, BinaryIO

import typer

from skutune.cli.console import say
from skutune.cli.inspect import JsonOption, RunOption, StoreOption, open_run
from skutune.errors import InputError
from skutune.text import fold

_BATCH = 1000
_READ_BYTES = 1 << 16
_LINE_BYTES = 1 << 20  # a longer line is no text, and joining its pieces would take for ever
_SHOWN = 80  # characters of a text, at a terminal
_WORDS = {
    "literal": "the very name",
    "same_words": "the same words",
    "fits": "all words, same kind of thing",
    "covered": "all words",
    "head_agrees": "same kind of thing",
}
"""What words say for a candidate, the strongest first: that alone is shown."""
_MORE = {"attribute_coverage": "words in its attributes", "constraint_extra": "a constraint not asked for"}
_COSINES = ("name_cosine", "text_cosine")


def link(
    context: typer.Context,
    texts: Annotated[list[str] | None, typer.Argument(help="Names; without any, lines of stdin.")] = None,
    store: StoreOption = "./runs",
    run: RunOption = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="Candidates to show.")] = 3,
    precision: Annotated[
        float | None,
        typer.Option(help="Wanted share of right products among the linked, between 0 and 1. Default: the run's."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the closest product for names, or none: one JSON object a line."""
    if precision is not None and not 0 < precision < 1:
        raise InputError(f"--precision {precision:g}: not between 0 and 1; 0.9 wants nine of ten links right")
    batches = _given(texts) if texts else _arriving(sys.stdin.buffer)
    if not texts and sys.stdin.isatty():
        say("One name a line; Ctrl-D ends.")
    from skutune.serving.finished_run import link_texts, linker_of

    opened, info = open_run(store, run)
    linker = linker_of(opened, info, context.obj, precision)
    show = _as_json if as_json or not sys.stdout.isatty() else _for_a_person
    for batch in batches:
        for linked in link_texts(linker, batch, top):
            print(show(linked))
        sys.stdout.flush()


def _given(texts: Sequence[str]) -> Iterator[list[str]]:
    for number, text in enumerate(texts, start=1):
        try:
            text.encode()
        except UnicodeEncodeError:  # Python keeps bytes of an argument that it cannot read as lone surrogates
            raise InputError(f"text {number}: not UTF-8; convert it first, for example with iconv") from None
    return (list(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH))


def _arriving(stream: BinaryIO) -> Iterator[list[str]]:
    """The lines of a stream, together as they arrive. Raises InputError that names a line which is no text."""
    number, rest = 0, b""
    while chunk := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]  # a buffered reader has it
        *lines, rest = (rest + chunk).split(b"\n")
        for at in range(0, len(lines), _BATCH):
            batch = lines[at : at + _BATCH]
            yield [_text(line, number + place) for place, line in enumerate(batch, start=1)]
            number += len(batch)
        if len(rest) > _LINE_BYTES:
            raise InputError(f"line {number + 1} of stdin: longer than {_LINE_BYTES:,} bytes; write one name a line")
    if rest:
        yield [_text(rest, number + 1)]


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(
            f"line {number} of stdin: not UTF-8 (byte {error.start + 1} of the line is 0x{line[error.start]:02x}); "
            "convert it first, for example with iconv"
        ) from None


def _as_json(linked: Mapping[str, Any]) -> str:
    return json.dumps(linked, ensure_ascii=False)


def _for_a_person(linked: Mapping[str, Any]) -> str:
    product = linked["product"]
    found = f"{product['name']}: id {product['id']} (p {product['p']:.2f})" if product else "no close product"
    text = fold(linked["text"])  # a control character would act on the terminal
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    candidates = [
        f"    {candidate['p']:.2f}  {candidate['name']}: id {candidate['id']}  ({_reasons(candidate['evidence'])})"
        for candidate in linked["candidates"]
    ]
    return "\n".join([f"{shown or '(empty)'} → {found}", *candidates])


def _reasons(evidence: Mapping[str, float]) -> str:
    """The main evidence in words; cosines in the units of the linker, where about 1 is two wordings of one thing."""
    words = next((said for name, said in _WORDS.items() if evidence.get(name)), "few words in common")
    more = [said for name, said in _MORE.items() if evidence.get(name)]
    name, text = (evidence.get(each, 0.0) for each in _COSINES)
    return ", ".join([words, *more, f"near by name {name:.1f}, by text {text:.1f}"])
