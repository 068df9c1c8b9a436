"""A real browser for pages: headless Chromium, driven by playwright; and a measure of how alike two pictures are."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIMEOUT_MS = 120_000
SMALL_PX = 200  # width at which pictures are kept and compared
# Mean of the absolute difference over all channels and pixels, once both are small. The same page once more: 0; two
# of the figures of a run's page missing: 0.013.
MOST_APART = 0.01

ALIKE = """async ([one, other, width]) => {
  const load = async (data) => createImageBitmap(await (await fetch("data:image/png;base64," + data)).blob());
  const [a, b] = [await load(one), await load(other)];
  const height = Math.round((width * a.height) / a.width);
  const pixels = (image) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  };
  const [p, q] = [pixels(a), pixels(b)];
  let apart = 0;
  for (let i = 0; i < p.length; i += 1) apart += Math.abs(p[i] - q[i]) / 255;
  return [apart / p.length, (a.height / a.width) / (b.height / b.width)];
}"""
SHRINK = """async ([data, width]) => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + data)).blob());
  const canvas = new OffscreenCanvas(width, Math.round((width * image.height) / image.width));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. Skips the test where there is none, or no playwright to drive it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'glbdes[browser]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, width: int, theme: str = "light") -> Iterator[tuple[Any, list[str]]]:
    """The page at `path` in a window `width` px wide, all figures drawn; and what went wrong, as it comes: lines in the
    console, errors, requests for anything but the page itself."""
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.on("console", lambda line: wrong.append(f"console {line.type}: {line.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda asked: wrong.append(f"request: {asked.url[:80]}") if asked.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn", timeout=TIMEOUT_MS)
    yield page, wrong
    page.close()


def small(browser: Any, picture: bytes) -> bytes:
    """The picture (PNG) `SMALL_PX` wide."""
    page = browser.new_page()
    data = page.evaluate(SHRINK, [base64.b64encode(picture).decode(), SMALL_PX])
    page.close()
    return base64.b64decode(data)


def apart(browser: Any, kept: bytes, picture: bytes) -> tuple[float, float]:
    """How far a picture (PNG) is from one that was made `small`, 0 to 1, at its shape; and how their shapes compare."""
    other = small(browser, picture)
    page = browser.new_page()
    found = page.evaluate(ALIKE, [base64.b64encode(kept).decode(), base64.b64encode(other).decode(), SMALL_PX // 2])
    page.close()
    return found[0], found[1]
