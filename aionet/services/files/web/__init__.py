"""The same directory over HTTP. ``docs/files-http.md`` is its manual.

===================  ==================================================================
:mod:`.codec`        requests as messages, by httptools
:mod:`.target`       what a request's target names
:mod:`.conditions`   conditional and range requests: which answer
:mod:`.heads`        the heads of answers
:mod:`.exchange`     one request and its answer
:mod:`.guard`        which hosts are answered to, and whose pages may change something
:mod:`.sending`      a file for an answer
:mod:`.receiving`    what clients may change
:mod:`.listing`      what a directory's page shows
:mod:`.page`         the pages, with page.css and page.js
:mod:`.handler`      :class:`WebFiles`, the server
===================  ==================================================================
"""

from .codec import HttpCodec
from .handler import WebFiles

__all__ = ["HttpCodec", "WebFiles"]
