"""The pages that a browser gets: a directory, and an error. Everything that is not ours is escaped; nothing is loaded.

A page's Content-Security-Policy names its one style and its one script by their hashes, so that nothing else runs,
whatever a file or a directory is called; and unlike a nonce they are the same each time. Without its script a page
lists, sorts and links as well; the script filters, shows local times and sends files.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from ..entries import Entry, format_time
from .heads import content_type
from .listing import Listing, View
from .target import href

__all__ = ["PAGE_FIELDS", "TEXT_FIELDS", "render_error", "render_json", "render_page"]


def _inline(file: str) -> tuple[str, str]:
    """A file of this package, and the source expression that lets a page have it inline (CSP 3, 2.3.1)."""
    text = (files(__package__) / file).read_text(encoding="utf-8")
    return text, f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


_STYLE, _STYLE_HASH = _inline("page.css")
_SCRIPT, _SCRIPT_HASH = _inline("page.js")

PAGE_FIELDS: Final = (
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n"
    f"Content-Security-Policy: default-src 'none'; style-src {_STYLE_HASH}; script-src {_SCRIPT_HASH}; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
)
"""The fields of every answer that is a page. The referrer is for ourselves alone."""

TEXT_FIELDS: Final = (
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Type: text/plain; charset=utf-8\r\n"
)
"""Those of a message in plain text."""

_HEAD: Final = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
    f"<style>{_STYLE}</style>\n<title>"
)
_END: Final = "</body>\n</html>\n"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_TITLES: Final = {"name": "Name", "size": "Size", "time": "Changed"}
_ICONS: Final = {"image": "i", "audio": "a", "video": "v", "text": "t"}
_DOCUMENTS: Final = ("application/pdf", "application/json", "application/xml", "application/rtf")
_ARCHIVES: Final = ("zip", "tar", "compressed", "zstd", "x-xz", "bzip2", "rar")


def render_page(listing: Listing, *, writable: bool) -> bytes:
    """A directory's page. In a thread: ten thousand entries take some 80 ms.

    Args:
        listing: What to show.
        writable: Whether files can be sent, and deleted, from it.
    """
    name = listing.name
    title = name.rpartition("/")[2] or "Files"
    rows = [_row(entry, writable) for entry in listing.entries]
    if name:
        rows.insert(
            0, f'<tr class="up"><td colspan="{4 if writable else 3}"><a class="u" href="../">..</a></td></tr>\n'
        )
    return "".join(
        (
            f"{_HEAD}{escape(title)}</title>\n</head>\n<body>\n<header>\n<h1>{_breadcrumb(name)}</h1>\n",
            f'<div class="tools">{_FILTER}',
            '<button id="folder" type="button" hidden>New folder</button>' if writable else "",
            "</div>\n</header>\n<main>\n",
            _DROP if writable else "",
            '<div id="list">\n<div class="card">\n<table>\n<caption class="hidden">Content of ',
            escape(title),
            "</caption>\n<thead><tr>",
            "".join(_column(listing.view, key) for key in _TITLES),
            '<th scope="col"><span class="hidden">Actions</span></th>' if writable else "",
            "</tr></thead>\n<tbody>\n",
            *rows,
            "</tbody>\n</table>\n",
            "" if listing.count else '<p class="empty">Nothing is here.</p>\n',
            f'</div>\n{_page_links(listing)}</div>\n<p class="sum">{_summary(listing)}</p>\n</main>\n',
            f"<script>{_SCRIPT}</script>\n{_END}",
        )
    ).encode()


def render_json(listing: Listing) -> bytes:
    """The same for programs: an object with ``name``, ``entries``, ``count``, ``left_out``, ``page`` and ``pages``."""
    return msgspec.json.encode(
        {
            "name": listing.name,
            "count": listing.count,
            "left_out": listing.left_out,
            "page": listing.view.page,
            "pages": listing.pages,
            "entries": [_fact(entry) for entry in listing.entries],
        }
    )


def render_error(status: int, phrase: str, reason: str, hint: str | None = None) -> bytes:
    """An error, for people."""
    lines = "".join(f"<p>{escape(line)}</p>\n" for line in (reason, hint) if line)
    return (
        f'{_HEAD}{status} {escape(phrase)}</title>\n</head>\n<body>\n<main class="card error">\n<h2>{status} '
        f'{escape(phrase)}</h2>\n{lines}<p><a href="/">To the first page</a></p>\n</main>\n{_END}'
    ).encode()


_FILTER: Final = '<input id="filter" type="search" placeholder="Filter" aria-label="Filter by name" hidden>'
_DROP: Final = (
    '<section class="drop" aria-label="Send files">Drop files here, or <input id="picker" type="file" multiple>'
    '<label for="picker">choose some</label></section>\n<ul id="transfers" class="card" aria-label="Transfers"></ul>\n'
    '<p id="status" class="hidden" role="status"></p>\n<noscript><p class="note">Sending files from this page needs '
    "JavaScript; curl -T FILE does without.</p></noscript>\n"
)


def _breadcrumb(name: str) -> str:
    parts = name.split("/") if name else []
    steps = [("Files", ""), *((part, "/".join(parts[: depth + 1])) for depth, part in enumerate(parts))]
    links = [
        f'<li><a href="{escape(href(path, is_directory=True))}">{escape(text)}</a></li>' for text, path in steps[:-1]
    ]
    links.append(f'<li aria-current="page">{escape(steps[-1][0])}</li>')
    return f'<nav aria-label="Breadcrumb"><ol>{"".join(links)}</ol></nav>'


def _column(view: View, key: str) -> str:
    sorted_by = key == view.sort
    order = "desc" if sorted_by and not view.descending else "asc"
    aria = f' aria-sort="{"descending" if view.descending else "ascending"}"' if sorted_by else ""
    return (
        f'<th scope="col"{aria}><a href="?{escape(urlencode({"sort": key, "order": order}))}">{_TITLES[key]}</a></th>'
    )


def _row(entry: Entry, writable: bool) -> str:
    link = quote(entry.name, safe="")
    text = escape(entry.name)
    kind, size, slash = ("d", "", "/") if entry.is_directory else (_icon(entry.name), _size(entry.size), "")
    actions = ""
    if writable:
        save = "" if slash else f'<a class="get" href="./{link}?download" title="Save {text}">\u2193</a>'
        actions = (
            f'<td>{save}<button type="button" data-delete="./{link}{slash}" title="Delete {text}">\u00d7</button></td>'
        )
    return (
        f'<tr><td><a{f" class={kind}" if kind else ""} href="./{link}{slash}">{text}{slash}</a></td><td>{size}</td>'
        f"<td>{_time(entry.mtime_ns)}</td>{actions}</tr>\n"
    )


def _icon(name: str) -> str:
    kind = content_type(name)
    family, _, form = kind.partition("/")
    if kind.startswith(_DOCUMENTS):
        return "t"
    return _ICONS.get(family, "z" if any(word in form for word in _ARCHIVES) else "")


def _size(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, 6)
    return f'<span title="{size:,} bytes">{size / (1 << (10 * power)):.1f} {"KMGTPE"[power - 1]}iB</span>'


def _time(nanoseconds: int) -> str:
    try:
        when = _EPOCH + timedelta(seconds=nanoseconds // 1_000_000_000)
    except OverflowError:
        return ""
    text = when.isoformat(" ", "minutes").removesuffix("+00:00")
    return f'<time datetime="{when.isoformat().removesuffix("+00:00")}Z">{text}</time>'


def _summary(listing: Listing) -> str:
    entries = "1 entry" if listing.count == 1 else f"{listing.count:,} entries"
    parts = [entries, _size(listing.size)]
    if listing.left_out:
        parts.append(f"{listing.left_out:,} more cannot be served: links that leave, devices, names that are not UTF-8")
    return ", ".join(parts)


def _page_links(listing: Listing) -> str:
    if listing.pages == 1:
        return ""
    view = listing.view
    order = "desc" if view.descending else "asc"
    links = [_page_link(view.sort, order, page, page == view.page) for page in range(1, listing.pages + 1)]
    return f'<nav class="pages" aria-label="Pages">{"".join(links)}</nav>\n'


def _page_link(sort: str, order: str, page: int, current: bool) -> str:
    if current:
        return f'<strong aria-current="page">{page}</strong>'
    query = escape(urlencode({"sort": sort, "order": order, "page": page}))
    return f'<a href="?{query}">{page}</a>'


def _fact(entry: Entry) -> dict[str, Any]:
    kind = "dir" if entry.is_directory else "file"
    fact = {"name": entry.name, "kind": kind, "size": entry.size, "mtime": format_time(entry.mtime_ns)}
    return fact | {"tag": entry.tag} if entry.tag else fact
