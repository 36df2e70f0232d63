"""How large an evidence page is, how fast it opens, and what an accessibility checker finds: in headless Chromium, offline.

The page that is opened is a copy with a small script in it that reports the browser's own clock; the copy's policy is
relaxed for that script and for nothing else, and the page itself is not touched. axe-core (https://github.com/dequelabs/axe-core)
is brought by whoever runs the check: ``npm pack axe-core`` holds ``axe.min.js``.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.errors import ConfigError, RunNotFound

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
)  # fmt: skip
SERIOUS = ("serious", "critical")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="[^"]*">')
_CLOCK = """
const checker = AXE;  // taken now: a library of the page may use the name for something else
addEventListener("load", () => {
  const height = document.documentElement.scrollHeight;  // asks for the whole layout
  const told = document.createElement("pre");
  told.id = "nightfolio-page-report";
  const report = {
    opened: performance.now(), height, violations: [], elements: document.getElementsByTagName("*").length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
  const tell = () => { told.textContent = JSON.stringify(report); document.body.append(told); };
  if (!checker) return tell();
  checker.run(document, {resultTypes: ["violations"]}).then(found => {
    report.violations = found.violations.map(v =>
      ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200))}));
    tell();
  });
});
"""


@dataclass(frozen=True)
class Opened:
    """One page as Chromium opened it."""

    page: str
    bytes: int
    milliseconds: float
    """From the start of navigation until everything was read and the whole page laid out."""
    elements: int
    overflow: int
    """Pixels by which the page is wider than the window."""
    violations: tuple[dict[str, Any], ...]
    """axe's: id, impact, help, nodes; empty where axe was not given."""

    @property
    def serious(self) -> tuple[dict[str, Any], ...]:
        return tuple(found for found in self.violations if found["impact"] in SERIOUS)


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome", "chrome"))
    return next((path for path in found if path), None)


def chromium(arguments: list[str], browser: str, seconds: int = 120) -> str:
    """Runs the browser once with a profile that is thrown away; returns what it printed. Raises ConfigError where it fails."""
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={profile}", *arguments],
            capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
    if done.returncode:
        raise ConfigError(
            f"{browser} ended with status {done.returncode}", remedy="run it by hand on the page and see what it says"
        )
    return done.stdout


def open_page(page: Path, browser: str, axe: Path | None = None, width: int = 1366) -> Opened:
    """Opens a copy of ``page`` beside it (so that what it loads is found), and reads the clock and axe's findings."""
    text = page.read_text(encoding="utf-8")
    script = "" if axe is None else f"<script>{axe.read_text(encoding='utf-8')}</script>"
    clock = _CLOCK.replace("AXE", "null" if axe is None else "window.axe")
    relaxed = _POLICY.sub("", text, count=1).replace("</head>", f"{script}<script>{{{clock}}}</script></head>", 1)
    copy = Path(tempfile.mkdtemp()) / page.name
    try:
        for beside in page.parent.glob("*.js"):
            (copy.parent / beside.name).symlink_to(beside.resolve())
        copy.write_text(relaxed, encoding="utf-8")
        arguments = [f"--window-size={width},900", "--virtual-time-budget=60000", "--dump-dom", copy.as_uri()]
        if axe is None:
            arguments.remove("--virtual-time-budget=60000")  # virtual time would stand still while the page works
        dom = chromium(arguments, browser)
    finally:
        shutil.rmtree(copy.parent)
    found = re.search(r'<pre id="nightfolio-page-report">(.*?)</pre>', dom, re.DOTALL)
    if found is None:
        raise ConfigError(f"{page.name} did not load in {browser}", remedy="open it by hand")
    told = json.loads(html.unescape(found.group(1)))
    return Opened(page.name, page.stat().st_size, told["opened"], told["elements"], told["wide"], tuple(told["violations"]))


def bench_page(folder: Path, *, browser: str | None, axe: Path | None, rounds: int, say: Callable[[str], None]) -> bool:
    """Prints size, median opening time and axe's findings of every page of ``folder``; whether none is serious."""
    browser = browser or find_chromium()
    if browser is None:
        raise ConfigError("no Chromium on this machine", remedy="install one, or name it with --chromium")
    pages = sorted(folder.glob("*.html"), key=lambda page: (page.name != "index.html", page.name))
    if not pages:
        raise RunNotFound(f"no page in {folder}", remedy="only a night writes evidence pages: `nightfolio runs` lists them")
    say(f"{'page':<28}{'KiB':>9}{'opens in ms':>13}{'elements':>10}{'axe: serious':>14}{'other':>7}")
    clean = True
    for page in pages:
        times = sorted(open_page(page, browser).milliseconds for _ in range(rounds if page.name == "index.html" else 1))
        seen = open_page(page, browser, axe) if axe is not None else None
        serious, other = ("not run", "") if seen is None else (len(seen.serious), len(seen.violations) - len(seen.serious))
        opened = times[len(times) // 2]
        elements = "" if seen is None else f"{seen.elements:,}"
        say(f"{page.name:<28}{page.stat().st_size / 1024:>9,.1f}{opened:>13,.0f}{elements:>10}{serious:>14}{other:>7}")
        for found in () if seen is None else seen.violations:
            say(f"    {found['impact']}: {found['id']}: {found['help']} ({len(found['nodes'])}×), e.g. {found['nodes'][0]}")
        clean = clean and not (seen and seen.serious)
    return clean
