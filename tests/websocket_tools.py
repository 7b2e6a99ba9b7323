"""A browser, for tests of what only a browser does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

from .tools import require

__all__ = ["browsing"]

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Page]:
    """A page of headless Chromium, loaded."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=require("chromium"), args=ARGUMENTS)
        try:
            page = await browser.new_page()
            await page.goto(url)
            yield page
        finally:
            await browser.close()
