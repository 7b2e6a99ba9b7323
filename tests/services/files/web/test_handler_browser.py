"""A browser, as it is: Chromium shows the page, saves a file, sends some, and runs nothing that was uploaded."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from aionet import Connection
from aionet.services.files.web import WebFiles
from aionet.services.files.web.codec import Message, Request

from ....tools import require
from .web_tools import Served, serve_web

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --no-proxy-server"
).split()

# A browser takes seconds to start: once for each test, on one loop; the other loop serves the other clients.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


TOKEN = "a-token-of-enough-length"


@asynccontextmanager
async def browsing(served: Served, path: str = "/", **options: Any) -> AsyncIterator[Page]:
    """A page that is open. It must not have logged an error when it is closed."""
    executable = require("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS, timeout=30_000)
        page = await browser.new_page(base_url=served.url, **options)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            await page.goto(path)
            yield page
        finally:
            await browser.close()
        assert errors == []


async def test_a_page_is_shown_sorted_and_filtered(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for name, size in (("a <b>bold<\u2215b>.txt", 5), ("big", 2_000_000), ("c & d.png", 70)):
        (tmp_path / name).write_bytes(bytes(size))
    async with serve_web(WebFiles(tmp_path)) as served, browsing(served) as page:
        names = page.locator("tbody td:first-child a")
        assert await names.all_inner_texts() == ["music/", "a <b>bold<\u2215b>.txt", "big", "c & d.png"]
        assert await page.locator("b").count() == 0
        assert await page.locator(".drop").count() == 0
        await page.get_by_role("link", name="Size").click()
        await page.get_by_role("link", name="Size").click()
        assert (await names.all_inner_texts())[0] == "big"
        await page.locator("#filter").fill("c &")
        assert await page.locator("tbody tr:visible").count() == 1
        await page.locator("#filter").fill("")
        await page.get_by_role("link", name="music/").click()
        assert await page.locator("[aria-current=page]").inner_text() == "music"
        await page.get_by_role("link", name="..").click()
        assert page.url == f"{served.url}/"


async def test_ten_thousand_entries_are_shown(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"file {number:05}").touch()
    async with serve_web(WebFiles(tmp_path)) as served, browsing(served) as page:
        assert await page.locator("tbody tr").count() == 10_000


async def test_a_file_is_saved(tmp_path: Path) -> None:
    served_tree = tmp_path / "served"
    served_tree.mkdir()
    content = os.urandom(2_000_000)
    (served_tree / "r\u00e9sum\u00e9 1.bin").write_bytes(content)
    async with serve_web(WebFiles(served_tree)) as served, browsing(served) as page:
        async with page.expect_download() as waiting:
            await page.get_by_role("link", name="r\u00e9sum\u00e9 1.bin").click()
        download = await waiting.value
        assert download.suggested_filename == "r\u00e9sum\u00e9 1.bin"
        await download.save_as(tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == content


async def test_files_are_sent_by_choosing_and_by_dropping_them(tmp_path: Path) -> None:
    served_tree = tmp_path / "served"
    served_tree.mkdir()
    large, small = tmp_path / "large #1.bin", tmp_path / "small.txt"
    large.write_bytes(os.urandom(20_000_000))  # three parts
    small.write_bytes(b"small")
    async with serve_web(WebFiles(served_tree, writable=True)) as served, browsing(served) as page:
        await page.set_input_files("#picker", [large, small])
        await page.locator("#transfers .done").nth(1).wait_for()
        drop = """() => {
            const data = new DataTransfer();
            data.items.add(new File(["dropped"], "dropped.txt"));
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }"""
        await page.evaluate(drop)
        await page.locator("#transfers .done").nth(2).wait_for()
        await page.get_by_role("link", name="dropped.txt", exact=True).wait_for()  # the list was read again
        assert await page.locator("#transfers .failed").count() == 0
    assert (served_tree / "large #1.bin").read_bytes() == large.read_bytes()
    assert (served_tree / "small.txt").read_bytes() == b"small"
    assert (served_tree / "dropped.txt").read_bytes() == b"dropped"


async def test_a_file_is_replaced_or_removed_only_if_that_is_confirmed(tmp_path: Path) -> None:
    served_tree, source = tmp_path / "served", tmp_path / "a.txt"
    served_tree.mkdir()
    (served_tree / "a.txt").write_bytes(b"old")
    source.write_bytes(b"new")
    async with serve_web(WebFiles(served_tree, writable=True)) as served, browsing(served) as page:
        page.once("dialog", lambda dialog: dialog.dismiss())
        await page.set_input_files("#picker", source)
        await page.locator("#transfers .failed").wait_for()
        assert (served_tree / "a.txt").read_bytes() == b"old"
        page.once("dialog", lambda dialog: dialog.accept())
        await page.set_input_files("#picker", source)
        await page.locator("#transfers .done").wait_for()
        assert (served_tree / "a.txt").read_bytes() == b"new"
        page.once("dialog", lambda dialog: dialog.accept("new folder"))
        await page.get_by_role("button", name="New folder").click()
        await page.get_by_role("link", name="new folder/").wait_for()
        page.once("dialog", lambda dialog: dialog.accept())
        await page.get_by_title("Delete a.txt").click()
        await page.get_by_role("link", name="a.txt").wait_for(state="detached")
    assert sorted(path.name for path in served_tree.iterdir()) == [".aionet-partial", "new folder"]


class CutsOnce(WebFiles):
    """Cuts the connection in the middle of an upload, once."""

    parts = 0

    async def on_message(self, conn: Connection[Message], message: Message) -> None:
        if isinstance(message, Request) and message.method == "PUT":
            self.parts += 1
            if self.parts == 2:
                conn.abort()
                return
        await super().on_message(conn, message)


async def test_an_upload_goes_on_after_a_cut(tmp_path: Path) -> None:
    served_tree, source = tmp_path / "served", tmp_path / "large"
    served_tree.mkdir()
    source.write_bytes(os.urandom(20_000_000))
    handler = CutsOnce(served_tree, writable=True)
    async with serve_web(handler) as served, browsing(served) as page:
        await page.set_input_files("#picker", source)
        await page.locator("#transfers .done").wait_for()
    assert (served_tree / "large").read_bytes() == source.read_bytes()
    assert handler.parts == 4


HOSTILE = {
    "evil.html": "<h1 id=shown>shown</h1><script>document.title = 'ran'</script>"
    "<img src=x onerror=\"document.title = 'ran'\">"
    "<script src=evil.js></script><form action=/victim.txt><button>send</button></form>",
    "evil.svg": "<svg xmlns='http://www.w3.org/2000/svg'><text id='shown' y='20'>shown</text>"
    "<script>document.title = 'ran'; fetch('/victim.txt', {method: 'DELETE'})</script></svg>",
    "evil.xhtml": "<html xmlns='http://www.w3.org/1999/xhtml'><body><p id='shown'>shown</p>"
    "<script>document.title = 'ran'</script></body></html>",
}


async def test_nothing_runs_from_a_file_that_was_uploaded(tmp_path: Path) -> None:
    (tmp_path / "victim.txt").write_bytes(b"here")
    (tmp_path / "evil.js").write_text("document.title = 'ran'")
    (tmp_path / "evil.txt").write_text(HOSTILE["evil.html"])
    (tmp_path / "evil").write_text(HOSTILE["evil.html"])
    for name, text in HOSTILE.items():
        (tmp_path / name).write_text(text)
    async with serve_web(WebFiles(tmp_path, writable=True)) as served, browsing(served) as page:
        for name in HOSTILE:
            await page.goto(f"/{name}")
            await page.locator("#shown").wait_for()
            await page.wait_for_load_state("networkidle")
            assert "ran" not in await page.title(), name
        await page.goto("/evil.txt")
        assert await page.locator("#shown").count() == 0  # text, whatever it looks like
        await page.goto("/")
        async with page.expect_download():
            await page.get_by_role("link", name="evil", exact=True).click()  # nobody looks what it might be
    assert (tmp_path / "victim.txt").read_bytes() == b"here"


async def test_a_browser_asks_for_a_token(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    async with serve_web(WebFiles(tmp_path, token=TOKEN)) as served:
        credentials = {"username": "anyone", "password": TOKEN}
        async with browsing(served, http_credentials=credentials) as page:
            assert await page.locator("tbody tr").count() == 1


async def test_without_scripts_the_page_lists_and_sorts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"aa")
    (tmp_path / "b").write_bytes(b"b")
    async with (
        serve_web(WebFiles(tmp_path, writable=True)) as served,
        browsing(served, java_script_enabled=False) as page,
    ):
        await page.get_by_role("link", name="Size").click()
        assert await page.locator("tbody td:first-child a").all_inner_texts() == ["b", "a"]
        assert not await page.locator(".drop").is_visible()
        assert not await page.locator("td button").first.is_visible()
