"""Pages as pictures, by a headless Chromium where one is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser() -> str | None:
    """Path of an installed one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def screenshot(browser: str, page: Path, out: Path, size: tuple[int, int]) -> None:
    """The page's first `size` (width, height) pixels; headless Chromium makes no window narrower than 500."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [browser, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}",
             f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=2000", f"--screenshot={out.resolve()}",
             page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
