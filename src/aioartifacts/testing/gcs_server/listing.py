"""Listing a bucket: prefix, delimiter, offsets, paging and glob, over names in UTF-8 order."""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_left
from dataclasses import dataclass, field

from .wire import ApiError

MAX_RESULTS = 1000


@dataclass(frozen=True, slots=True)
class Listing:
    """*start* is inclusive, *end* and *after* are exclusive; *token* is the previous page's ``next_token``."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    after: str = ""
    token: str = ""
    limit: int = MAX_RESULTS
    include_trailing_delimiter: bool = False
    match_glob: str = ""


@dataclass(slots=True)
class Page:
    names: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str = ""


def list_names(names: list[str], listing: Listing) -> Page:
    """One page out of sorted *names*; names and prefixes together are at most ``limit``."""
    page = Page()
    wanted = re.compile(translate_glob(listing.match_glob)) if listing.match_glob else None
    limit = max(1, min(listing.limit, MAX_RESULTS))
    at = bisect_left(names, max(listing.prefix, listing.start))
    if listing.after:
        at = max(at, bisect_left(names, listing.after + "\0"))
    shown_alone = ""
    if listing.token:
        last, is_group = _decode_token(listing.token)
        at = max(at, _past_group(names, last) if is_group else bisect_left(names, last + "\0"))
        if not is_group and _stands_for_group(last, listing):
            at, shown_alone = bisect_left(names, last), last
    last_token = ""
    while at < len(names):
        name = names[at]
        if not name.startswith(listing.prefix) or (listing.end and name >= listing.end):
            break
        cut = name.find(listing.delimiter, len(listing.prefix)) if listing.delimiter else -1
        group = name[: cut + len(listing.delimiter)] if cut >= 0 else ""
        shown = group or name
        if wanted is not None and not wanted.fullmatch(shown):
            at = _past_group(names, group) if group else at + 1
            continue
        if len(page.names) + len(page.prefixes) >= limit:
            page.next_token = last_token
            break
        if not group:
            page.names.append(name)
            at += 1
        elif name == group != shown_alone and listing.include_trailing_delimiter:
            # The folder's own object comes first, and its prefix on the next turn of the loop.
            page.names.append(name)
            shown_alone, group = name, ""
        else:
            page.prefixes.append(group)
            at = _past_group(names, group)
        last_token = _encode_token(shown, is_group=bool(group))
    return page


def _stands_for_group(name: str, listing: Listing) -> bool:
    cut = name.find(listing.delimiter, len(listing.prefix)) if listing.delimiter else -1
    return listing.include_trailing_delimiter and cut >= 0 and cut + len(listing.delimiter) == len(name)


def _past_group(names: list[str], group: str) -> int:
    """The index of the first name after those that start with *group*."""
    trimmed = group.rstrip("\U0010ffff")
    if not trimmed:
        return len(names)
    return bisect_left(names, trimmed[:-1] + chr(ord(trimmed[-1]) + 1))


def _encode_token(name: str, *, is_group: bool) -> str:
    return base64.urlsafe_b64encode(("g" if is_group else "n").encode() + name.encode()).decode()


def _decode_token(token: str) -> tuple[str, bool]:
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError) as error:
        raise ApiError(400, f"Invalid page token: {token!r}") from error
    if text[:1] not in ("g", "n"):
        raise ApiError(400, f"Invalid page token: {token!r}")
    return text[1:], text[0] == "g"


def translate_glob(glob: str) -> str:
    """``*`` and ``?`` stop at a slash, ``**`` does not; ``[...]`` and ``{a,b}`` as in a shell."""
    out: list[str] = []
    at = depth = 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            if glob[at : at + 1] == "*":
                at += 1
                if glob[at : at + 1] == "/" and (at == 2 or glob[at - 3] == "/"):
                    at += 1
                    out.append("(?:.*/)?")
                else:
                    out.append(".*")
            else:
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[" and (close := glob.find("]", at + 1)) > 0:
            inner = glob[at:close].replace("\\", "\\\\")
            out.append(f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]")
            at = close + 1
        elif char == "{" and "}" in glob[at:]:
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        elif char == "\\" and at < len(glob):
            out.append(re.escape(glob[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "(?s:" + "".join(out) + ")"
