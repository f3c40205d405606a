"""The FIX dialect as others need it: a QuickFIX dictionary and a table of messages and fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import quoteattr

from deploy.docs.text import NOTICE, code, table
from exchange.messages.reasons import REASONS
from gateway.fix.dictionary import FIELDS, HEADER, MESSAGES, TRAILER, Layout
from gateway.fix.refusals import codes

ORDER_REASONS_END = 600  # above are the registry's, which no order hears


def dictionary_xml() -> str:
    """The dictionary for `DataDictionary` of QuickFIX and its ports."""
    lines = [
        "<!-- Made from the code by `python -m deploy.docs.generate`; change the code instead. -->",
        '<fix type="FIX" major="4" minor="4" servicepack="0">',
        " <header>",
        *_fields("  ", HEADER),
        " </header>",
        " <messages>",
    ]
    for layout in MESSAGES.values():
        category = "admin" if layout.is_admin else "app"
        lines.append(
            f"  <message name={quoteattr(layout.name)} msgtype={quoteattr(layout.msg_type)}"
            f' msgcat="{category}">'
        )
        lines += _fields("   ", layout.members)
        for group in layout.groups.values():
            name = quoteattr(FIELDS[group.count_tag].name)
            lines.append(f'   <group name={name} required="{_yes(group.is_required)}">')
            lines += _fields("    ", group.members)
            lines.append("   </group>")
        lines.append("  </message>")
    lines += [" </messages>", " <trailer>", *_fields("  ", TRAILER), " </trailer>"]
    lines += [" <components/>", " <fields>"]
    for tag, field in sorted(FIELDS.items()):
        head = f'  <field number="{tag}" name={quoteattr(field.name)} type={quoteattr(field.kind)}'
        if not field.values:
            lines.append(head + "/>")
            continue
        lines.append(head + ">")
        lines += [
            f"   <value enum={quoteattr(value)} description={quoteattr(word)}/>"
            for value, word in field.values.items()
        ]
        lines.append("  </field>")
    return "\n".join([*lines, " </fields>", "</fix>", ""])


def fields_page() -> str:
    """Every message with its fields, every field, and the codes of every reason."""
    parts = [
        "# FIX 4.4: messages, fields, reasons\n",
        NOTICE,
        "`fix.md` says how a session works. `FIX44-carbon.xml` is the same as a QuickFIX "
        "dictionary. A field in bold is required.\n",
        "## Messages\n",
        table(("MsgType", "name", "from", "fields"), _rows()),
        "## Fields\n",
        table(("tag", "name", "type", "values", "meaning"), [
            (
                tag, code(field.name), field.kind,
                ", ".join(f"{value} {word}" for value, word in field.values.items()), field.about,
            )
            for tag, field in sorted(FIELDS.items())
        ]),
        "## Reasons\n",
        "Every answer that refuses carries the venue's own number in VenueReason (20001), and "
        "beside it FIX's word for it; 99 and 0 are where FIX has none.\n",
        table(("VenueReason", "name", "OrdRejReason", "CxlRejReason", "BusinessRejectReason"), [
            (number, code(row.name), *codes(number))
            for number, row in sorted(REASONS.items())
            if 0 < number < ORDER_REASONS_END and row.status != 200
        ]),
    ]  # fmt: skip
    return "\n".join(parts)


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for layout in MESSAGES.values():
        yield code(layout.msg_type), layout.name, layout.sender, ", ".join(_said(layout))


def _said(layout: Layout) -> Iterator[str]:
    yield from _named(layout.members.items())
    for group in layout.groups.values():
        inside = ", ".join(_named(group.members.items()))
        (head,) = _named([(group.count_tag, group.is_required)])
        yield f"{head} ({inside})"


def _named(members: Iterable[tuple[int, bool]]) -> list[str]:
    return [
        f"**{FIELDS[tag].name}**" if is_required else FIELDS[tag].name
        for tag, is_required in members
    ]


def _fields(indent: str, members: dict[int, bool]) -> list[str]:
    return [
        f'{indent}<field name={quoteattr(FIELDS[tag].name)} required="{_yes(is_required)}"/>'
        for tag, is_required in members.items()
    ]


def _yes(is_so: bool) -> str:
    return "Y" if is_so else "N"
