from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from aionet.services.files.entries import Entry
from aionet.services.files.web import listing
from aionet.services.files.web.listing import Listing, View
from aionet.services.files.web.page import PAGE_FIELDS, render_error, render_json, render_page
from aionet.services.files.web.target import parse_target

FILE = Entry("song.ogg", 3 * 1024 * 1024, 1_700_000_000_123456789, tag="t")
DIRECTORY = Entry("music", 0, 1_700_000_000_000000000, is_directory=True)


class Page(HTMLParser):
    """What a browser would see: elements and their text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a"]


def page_of(*entries: Entry, name: str = "", writable: bool = False, view: View | None = None, **more: int) -> bytes:
    facts = {"count": len(entries), "size": sum(entry.size for entry in entries), "left_out": 0} | more
    found = Listing(name, list(entries), view=view or View(), **facts)
    return render_page(found, writable=writable)


def test_a_page_lists_links_and_says_how_much() -> None:
    text = page_of(DIRECTORY, FILE, name="a b/c", left_out=2).decode()
    assert Page(text.encode()).links() == [
        *("/", "/a%20b/"),
        *("?sort=name&order=desc", "?sort=size&order=asc", "?sort=time&order=asc"),
        *("../", "./music/", "./song.ogg"),
    ]
    assert "3.0 MiB" in text
    assert '<time datetime="2023-11-14T22:13:20Z">2023-11-14 22:13</time>' in text
    assert "2 entries" in text
    assert "2 more cannot be served" in text
    assert 'aria-sort="ascending"' in text


def test_only_a_page_of_a_directory_that_takes_files_offers_to_send_some() -> None:
    assert "picker" in page_of(FILE, writable=True).decode()
    reading = Page(page_of(FILE))
    assert "picker" not in [attrs.get("id") for _, attrs in reading.tags]
    assert "button" not in [tag for tag, _ in reading.tags]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=20))
def test_no_name_is_markup(name: str) -> None:
    if name in (".", ".."):
        name += "x"
    for hostile in (name, f"<img src=x onerror=alert(1)>{name}", f'"><script>{name}'):
        page = Page(page_of(Entry(hostile, 1, 0), name=hostile, writable=True))
        plain = Page(page_of(Entry("x", 1, 0), name="x", writable=True))
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
        link = next(link for link in page.links() if link.startswith("./"))
        assert parse_target(f"/{link[2:]}").name == hostile
        assert hostile in "".join(page.texts)


def test_what_may_run_is_named_by_its_hash() -> None:
    page = page_of(FILE, writable=True).decode()
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in PAGE_FIELDS
    assert not re.search(r"\s(on\w+|style)=", page.partition("</style>")[2].partition("<script>")[0])


def test_ten_thousand_entries() -> None:
    entries = [Entry(f"file {number}", number, number * 10**9, tag="t") for number in range(10_000)]
    page = page_of(*entries)
    assert page.count(b"<tr>") == 10_001
    assert len(page) < 4_000_000


def test_pages_link_to_each_other() -> None:
    page = page_of(FILE, view=View("size", True, 2), count=listing.PER_PAGE * 2 + 1)
    assert Page(page).links()[-2:] == ["?sort=size&order=desc&page=1", "?sort=size&order=desc&page=3"]


def test_times_that_no_calendar_has() -> None:
    assert b"<time" not in page_of(Entry("a", 1, 2**63 * 1000))


def test_for_programs() -> None:
    found = json.loads(render_json(Listing("a", [DIRECTORY, FILE], 2, 5, 0, View())))
    assert found == {
        "name": "a",
        "count": 2,
        "left_out": 0,
        "page": 1,
        "pages": 1,
        "entries": [
            {"name": "music", "kind": "dir", "size": 0, "mtime": "1700000000.000000000"},
            {"name": "song.ogg", "kind": "file", "size": 3145728, "mtime": "1700000000.123456789", "tag": "t"},
        ],
    }


def test_an_error_says_what_and_what_to_do() -> None:
    page = render_error(404, "Not Found", "there is no '<b>'", "look elsewhere").decode()
    assert "there is no &#x27;&lt;b&gt;&#x27;" in page
    assert "look elsewhere" in page
