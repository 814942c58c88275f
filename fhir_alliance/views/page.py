"""A self-contained HTML page: one file, no script, no address, its own policy; for screen, dark screen and paper.

`page` wraps sections into a document; `figure` puts a picture with the table behind it. htpy escapes all text.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

import htpy as h
from htpy import Element, Node

from fhir_alliance.views.drawing import legible
from fhir_alliance.views.palette import COLOURS, PICTURES
from fhir_alliance.views.picture import Picture, Table

_STYLE: Final = (
    COLOURS
    + PICTURES
    + (
        "*{box-sizing:border-box}"
        "body{margin:0 auto;max-width:940px;padding:24px 24px 48px;background:var(--paper);color:var(--ink);"
        "font:16px/1.5 system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
        "h1{font-size:26px;line-height:1.25;margin:0 0 4px}h2{font-size:20px;margin:40px 0 8px;padding-top:12px;"
        "border-top:1px solid var(--faint)}h3{font-size:16px;margin:20px 0 4px}"
        "p{margin:6px 0}footer{overflow-wrap:anywhere}.quiet{color:var(--muted)}.small{font-size:14px}"
        "a{color:inherit;text-underline-offset:3px}"
        "a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--first);outline-offset:2px}"
        ".skip{position:absolute;left:-999px}.skip:focus{position:static}"
        "nav ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:12px 0}"
        ".notice{border:2px solid var(--second);border-radius:8px;padding:10px 16px;margin:16px 0}"
        "figure{margin:12px 0 20px}figcaption{margin-bottom:6px}"
        ".scroll{overflow-x:auto}.scroll .picture{display:block;min-width:640px;max-width:100%;height:auto}"
        "details{margin:6px 0}summary{cursor:pointer;color:var(--muted);font-size:14px}"
        "table{border-collapse:collapse;font-size:14px;margin:8px 0;width:100%}"
        "caption{text-align:left;color:var(--muted);padding:4px 0}"
        "th,td{text-align:left;vertical-align:top;padding:4px 12px 4px 0;border-bottom:1px solid var(--faint)}"
        "td{overflow-wrap:anywhere;min-width:6em}td.short{min-width:0}.short{white-space:nowrap}"
        "ul.plain{padding-left:20px;margin:6px 0}li{margin:4px 0}"
        "@page{margin:14mm}"
        "@media print{body{max-width:none;padding:0;font-size:11pt}nav,.skip{display:none}h2{margin-top:16px}"
        "table{font-size:8.5pt}th,td{padding-right:7px}"
        "figure,li,tr,.notice,h2,h3,article,footer{break-inside:avoid}h2,h3,figcaption{break-after:avoid}"
        "details:not([open]){display:none}.scroll{overflow:visible}.scroll .picture{min-width:0;width:86%}}"
    )
)
_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_SHORT: Final = 24
# Nothing may be fetched, run, framed or sent; the one style sheet is known by its hash.
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def page(title: str, sections: Node, language: str = "en") -> str:
    """Return the whole document. sections: the body, which begins with an h1."""
    document = h.html(lang=language)[
        h.head[
            h.meta(charset="utf-8"),
            h.meta({"http-equiv": "Content-Security-Policy"}, content=POLICY),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="referrer", content="no-referrer"),
            h.meta(name="robots", content="noindex"),
            h.title[title],
            Element("style")[h.fragment[_Known(_STYLE)]],
        ],
        h.body[h.a(".skip", href="#content")["Skip to the content"], h.main("#content")[sections]],
    ]
    return legible("".join(document.iter_chunks())) + "\n"


def figure(picture: Picture, *, heading: bool = False) -> Element:
    """Return a picture with its title, and the table behind it; by keyboard it scrolls and opens.

    heading: show the title as a caption above the picture.
    """
    caption = h.figcaption[h.strong[picture.title]] if heading else None
    scroll = h.div(".scroll", tabindex="0", role="group", aria_label=picture.title)
    return h.figure[
        caption,
        scroll[picture.element()],
        h.details[h.summary[f"The numbers behind this picture ({len(picture.table.rows)} rows)"], table(picture.table)],
    ]


def table(told: Table) -> Element:
    """Return a table; its first column is the rows' heads. A wide one scrolls by itself, also by keyboard."""
    return h.div(".scroll", tabindex="0", role="group", aria_label=told.caption)[
        h.table[
            h.caption[told.caption],
            h.thead[h.tr[(h.th(scope="col")[name] for name in told.head)]],
            h.tbody[(h.tr[_head(row[0]), (_cell(cell) for cell in row[1:])] for row in told.rows)],
        ]
    ]


def _head(text: str) -> Element:
    return h.th({"class": "short"} if len(text) <= _SHORT else {}, scope="row")[text]


def _cell(text: str) -> Element:
    """Return a cell; a date, number or word is not broken over lines."""
    return h.td({"class": "short"} if len(text) <= _SHORT else {})[h.bdi[text]]


class _Known:
    """A style sheet of ours, which stands in markup as it is; nothing that came in is ever wrapped so."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __html__(self) -> str:
        """Return the text as markup."""
        return self._text
