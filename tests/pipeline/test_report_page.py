"""The report in a real browser: it renders, needs no network, raises no error, and fits a phone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from finished import Rows, report, usual

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(
    not CHROMIUM, reason="needs a browser: install Debian's `chromium` (apt-get install chromium)"
)
# Tells in its title whether the page fits: a frame is as narrow as it is told to be, a window is not.
PROBE = """<!doctype html><title>waiting</title><iframe src="report.html" style="width:{width}px;height:800px;border:0">
</iframe><script>onload = () => {{ const page = document.querySelector("iframe").contentDocument;
const {{scrollWidth, clientWidth}} = page.documentElement;
document.title = page.body.innerText.length + (scrollWidth > clientWidth ? " too wide" : " fits"); }}</script>"""


class Elements(HTMLParser):
    """Counts elements by id and by class, and keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.classes: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.ids.add(named.get("id") or "")
        self.classes += (named.get("class") or "").split()

    def handle_data(self, data: str) -> None:
        self.text += data


def browse(page: Path, scratch: Path, *options: str) -> str:
    """The page's DOM once it has loaded; everything that the browser asks the network for goes into `net.json`."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-extensions"]
    command += [
        f"--user-data-dir={scratch / 'profile'}",
        f"--log-net-log={scratch / 'net.json'}",
        "--enable-logging=stderr",
    ]
    command += [*options, "--dump-dom", page.as_uri()]
    home = {**os.environ, "HOME": str(scratch)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=home, check=True)
    (scratch / "browser.log").write_text(done.stderr, encoding="utf-8")
    return done.stdout


def requested(scratch: Path) -> list[str]:
    """The addresses that the page made the browser ask for."""
    text = (scratch / "net.json").read_text(encoding="utf-8").rstrip().removesuffix(",")
    log: dict[str, Any] = json.loads(text if text.endswith("}") else text + "]}")
    kind = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    started = [event.get("params", {}) for event in log["events"] if event["type"] == kind]
    own = "not an origin"  # what no page asked for: the browser's own calls home
    return [params["url"] for params in started if "url" in params and params.get("initiator") != own]


def complaints(scratch: Path) -> list[str]:
    """What the browser's console says of the page."""
    log = (scratch / "browser.log").read_text(encoding="utf-8")
    return [line for line in log.splitlines() if "CONSOLE" in line]


@needs_browser
def test_a_page_that_loads_something_or_fails_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "other.html"
    page.write_text('<img src="http://127.0.0.1:9/x.png"><script>missing()</script>', encoding="utf-8")
    browse(page, tmp_path)
    assert requested(tmp_path) == ["http://127.0.0.1:9/x.png"]
    assert len(complaints(tmp_path)) == 1


@needs_browser
def test_the_page_renders_in_a_browser_without_network_or_errors(tmp_path: Path) -> None:
    html = browse(report(tmp_path / "run", usual()), tmp_path)
    found = Elements(html)
    sections = {"compared", "answers", "training", "pipeline", "linking", "coverage", "examples", "rejected", "models"}
    assert sections <= found.ids
    assert found.classes.count("sample") == 2
    assert found.classes.count("chart") == 3
    assert {"right", "wrong", "none"} <= set(found.classes)
    assert "script" not in found.tags
    assert "<b>Bold</b> & <script>alert(1)</script> Mustard" in found.text
    assert requested(tmp_path) == []
    assert complaints(tmp_path) == []


@needs_browser
def test_the_page_of_an_empty_run_renders_too(tmp_path: Path) -> None:
    found = Elements(browse(report(tmp_path / "run", Rows(names=())), tmp_path))
    assert "No answers to show." in found.text
    assert "chart" not in found.classes


@needs_browser
@pytest.mark.parametrize("width", [400, 320])
def test_the_page_is_no_wider_than_a_phone(tmp_path: Path, width: int) -> None:
    page = report(tmp_path / "run", usual())
    probe = page.with_name("probe.html")
    probe.write_text(PROBE.format(width=width), encoding="utf-8")
    html = browse(probe, tmp_path, "--allow-file-access-from-files")
    assert re.search(r"<title>\d{4,} fits</title>", html)
