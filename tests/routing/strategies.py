"""Matchers as hypothesis makes them."""

from __future__ import annotations

from hypothesis import strategies as st

from aionet.routing import prefix

__all__ = ["COMBINED"]

PREFIXES = st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=3).map(lambda words: prefix(*words))
COMBINED = st.recursive(
    PREFIXES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        inner.map(lambda matcher: ~matcher),
    ),
    max_leaves=6,
)
