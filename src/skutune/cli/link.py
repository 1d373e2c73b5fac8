"""`skutune link`: finds the product that a name refers to, for arguments or for the lines of stdin.

Lines are batched as they arrive: thousands of lines from a file share the encoder's batches, while a program that
writes one line at a time gets one answer at a time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from skutune.cli.console import say
from skutune.cli.inspect import JsonOption, RunOption, StoreOption, open_run
from skutune.errors import InputError
from skutune.text import fold

_BATCH = 1000
_READ_BYTES = 1 << 16
_LINE_BYTES = 1 << 20  # bounds the quadratic cost of joining the chunks of a line
_MAX_SHOWN_CHARACTERS = 80  # of a text, in a table
_NAME_COLUMNS = 40
_PIPE_COLUMNS = 160
_LEXICAL_MATCHES = {
    "literal": "exact name",
    "same_words": "same words",
    "fits": "all words, same product type",
    "covered": "all words",
    "head_agrees": "same product type",
}
"""Lexical features of a candidate, strongest first; only the first match is shown."""
_OTHER_FEATURES = {"attribute_coverage": "words in its attributes", "constraint_extra": "additional constraint"}
_SIMILARITIES = ("name_similarity", "text_similarity")


def link(
    context: typer.Context,
    texts: Annotated[list[str] | None, typer.Argument(help="Names. Default: the lines of stdin.")] = None,
    store: StoreOption = "./runs",
    run: RunOption = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="Number of candidates to show.")] = 3,
    precision: Annotated[
        float | None,
        typer.Option(help="Target precision of the links, between 0 and 1. Default: that of the run."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Link names to the closest product or to none. Prints a table, or one JSON object per line with --json."""
    if precision is not None and not 0 < precision < 1:
        raise InputError(
            f"--precision {precision:g}: must be between 0 and 1; 0.9 means that 9 of 10 links are correct"
        )
    batches = _batch_arguments(texts) if texts else _batch_lines(sys.stdin.buffer)
    if not texts and sys.stdin.isatty():
        say("Enter one name per line; Ctrl-D ends the input.")
    from skutune.serving.finished_run import link_texts, load_run_linker

    opened, info = open_run(store, run)
    linker = load_run_linker(opened, info, context.obj, precision)
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)
    for number, batch in enumerate(batches):
        linked = link_texts(linker, batch, top)
        if as_json:
            for each in linked:
                print(json.dumps(each, ensure_ascii=False))
        else:
            console.print(_table(linked, show_header=number == 0))
        sys.stdout.flush()


def _batch_arguments(texts: Sequence[str]) -> Iterator[list[str]]:
    for number, text in enumerate(texts, start=1):
        try:
            text.encode()
        except UnicodeEncodeError:  # Python decodes invalid bytes in arguments to lone surrogates
            raise InputError(f"text {number}: not UTF-8; convert it, for example with iconv") from None
    return (list(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH))


def _batch_lines(stream: BinaryIO) -> Iterator[list[str]]:
    """Batches of the lines of a stream as they arrive. Raises InputError with the number of an invalid line."""
    number, rest = 0, b""
    while chunk := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]  # a buffered reader has it
        *lines, rest = (rest + chunk).split(b"\n")
        for at in range(0, len(lines), _BATCH):
            batch = lines[at : at + _BATCH]
            yield [_text(line, number + place) for place, line in enumerate(batch, start=1)]
            number += len(batch)
        if len(rest) > _LINE_BYTES:
            raise InputError(f"line {number + 1} of stdin: longer than {_LINE_BYTES:,} bytes; write one name per line")
    if rest:
        yield [_text(rest, number + 1)]


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(
            f"line {number} of stdin: not UTF-8 (byte {error.start + 1} of the line is 0x{line[error.start]:02x}); "
            "convert it, for example with iconv"
        ) from None


def _table(batch: Iterable[Mapping[str, Any]], *, show_header: bool) -> Table:
    """One block a text: the linked product, or none, and below it the candidates with their evidence."""
    table = Table(box=None, show_header=show_header)
    table.add_column("name", max_width=_NAME_COLUMNS)
    table.add_column("p", justify="right")
    for column in ("product", "id", "evidence"):
        table.add_column(column, overflow="fold")
    for linked in batch:
        product = linked["product"]
        text = fold(linked["text"])  # removes control characters, which the terminal would interpret
        shown = text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 1] + "…"
        target = (product["name"], product["id"]) if product else ("no close product", "")
        p = f"{product['p']:.2f}" if product else ""
        table.add_row(*(Text(cell, "bold") for cell in (shown or "(empty)", p, *target, "")))
        for each in linked["candidates"]:
            cells = ("", f"{each['p']:.2f}", each["name"], each["id"], _reasons(each["evidence"]))
            table.add_row(*(Text(cell, "dim") for cell in cells))
    return table


def _reasons(evidence: Mapping[str, float]) -> str:
    """A summary of the evidence. About 1 is the similarity of two paraphrases of one name; it may be larger."""
    lexical = next((label for name, label in _LEXICAL_MATCHES.items() if evidence.get(name)), "few words in common")
    other = [label for name, label in _OTHER_FEATURES.items() if evidence.get(name)]
    name, text = (evidence.get(each, 0.0) for each in _SIMILARITIES)
    return ", ".join([lexical, *other, f"similarity: name {name:.1f}, text {text:.1f}"])
