"""The words of the pages: both languages are complete, no key is missing and none is idle."""

from __future__ import annotations

import ast
import re
from typing import Any

from exchange.messages.reasons import REASONS
from exchange.surveillance.limits import load_limits
from gateway.console.files import FILES, FOLDER
from gateway.rest.openapi import describe
from matching.layout import Phase

ROW = re.compile(r'^  "?([\w-]+)"?: \[(.*?)\],$', re.MULTILINE | re.DOTALL)
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAME_IN_BOTH = {"other_language"}
ORDER_ENTRY = ("NewOrderSingle", "OrderMassCancelRequest", "Quote", "PickOrder", "BlockProposal",
               "BlockConfirmation", "AuctionBid")  # fmt: skip
NOT_SHOWN = {"type", "ref", "valid_ms"}


def words() -> dict[str, list[str]]:
    found = {}
    for key, texts in ROW.findall((FOLDER / "words.js").read_text("utf-8")):
        joined = re.sub(r'"\s*\+\s*"', "", texts)
        assert key not in found, key
        found[key] = TEXT.findall(joined)
    return found


def scripts() -> str:
    names = [name for name in FILES if name.endswith(".js") and name != "lightweight-charts.js"]
    parts = [(FOLDER / name).read_text("utf-8") for name in names if name != "words.js"]
    return "\n".join([*parts, (FOLDER / "index.html").read_text("utf-8")])


def literal_keys(text: str) -> set[str]:
    found = set(re.findall(r'data-(?:word|label)="([\w-]+)"', text))
    for call in re.findall(r"\bword\(((?:[^()]|\([^()]*\))*)\)", text):
        if "`" not in call:
            asked = call.split("?", 1)[1] if "?" in call else call
            found |= set(re.findall(r'"([\w-]+)"', asked))
    return found | set(re.findall(r'Error\("(key_\w+)"\)', text)) | set(
        re.findall(r'"((?:bad|no)_(?:quantity|price|account))"', text)
    )  # fmt: skip


def prefixes(text: str) -> set[str]:
    found = set(re.findall(r"(?:word|hasWord)\(`([\w-]+?_)\$\{", text))
    return found | set(re.findall(r"const key = `([\w-]+?_)\$\{", text))


def test_every_row_has_both_languages() -> None:
    for key, texts in words().items():
        assert len(texts) == 2, key
        english, chinese = texts
        assert english, key
        assert CHINESE.search(chinese) or key in SAME_IN_BOTH, key
        assert not CHINESE.search(english) or key in SAME_IN_BOTH, key


def test_no_key_is_missing_and_none_is_idle() -> None:
    text = scripts()
    known, asked, made = set(words()), literal_keys(text), prefixes(text)
    assert len(known) > 200
    assert sorted(asked - known) == []
    idle = {key for key in known - asked if not key.startswith(tuple(made))}
    assert sorted(idle) == []


def test_order_entry_and_phases_are_named_in_full() -> None:
    schemas = describe()["components"]["schemas"]
    known = set(words())
    missing = {f"phase_{phase.name}" for phase in Phase} - known
    for name in ORDER_ENTRY:
        for field, schema in schemas[name]["properties"].items():
            if field in NOT_SHOWN:
                continue
            missing |= {f"field_{field}"} - known
            missing |= {f"value_{value}" for value in schema.get("enum", ()) if value} - known
    assert sorted(missing) == [], "add rows to gateway/console/words.js"


def test_operations_are_named_in_full() -> None:
    described = describe()
    schemas, known, missing = described["components"]["schemas"], set(words()), set()

    def look(schema: dict[str, Any]) -> None:
        for field, property_ in schema["properties"].items():
            if field in NOT_SHOWN:
                continue
            missing.add(f"field_{field}")
            for kind in property_.get("anyOf", [property_]):
                missing.update(f"value_{value}" for value in kind.get("enum", ()) if value)
                if "$ref" in kind:
                    look(schemas[kind["$ref"].rpartition("/")[2]])

    for path, methods in described["paths"].items():
        if path.startswith("/operations/") and "post" in methods:
            missing.add(f"op_{path.rpartition('/')[2]}")
            body = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            look(schemas[body["$ref"].rpartition("/")[2]])
    missing |= {f"status_{status}" for status in ("PENDING", "DONE", "REFUSED", "PROPOSED")}
    assert sorted(missing - known) == [], "add rows to gateway/console/words.js"


def test_figures_of_alerts_are_named_in_full() -> None:
    told = set()
    for path in (FOLDER.parents[1] / "exchange/surveillance").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                told |= {key for item in node.args for key in keys_of(item)}
            elif isinstance(node, ast.Assign | ast.AugAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if ast.unparse(target) == "figures":
                    told |= keys_of(node.value)
                elif ast.unparse(target).startswith("figures["):
                    assert isinstance(target, ast.Subscript)
                    told.add(ast.literal_eval(target.slice))
    assert {"moved_bp", "price_gap_bp", "volume_ratio", "units"} <= told
    assert sorted({f"figure_{name}" for name in told} - set(words())) == []


def test_each_kind_of_alert_has_its_chinese_sentence() -> None:
    text = re.sub(r'"\s*\+ "', "", (FOLDER / "alerts_zh.js").read_text("utf-8"))
    rows = dict(re.findall(r'^  (\w+): "(.+)",$', text, re.MULTILINE))
    assert rows.keys() == load_limits().kinds.keys()
    known = {name.removeprefix("figure_") for name in words() if name.startswith("figure_")}
    for kind, sentence in rows.items():
        named = set(re.findall(r"{(\w+)}", sentence))
        assert named - known <= {"symbol", "accounts", "participants"}, kind
        assert len(named) > 3, kind
        assert CHINESE.search(sentence), kind


def keys_of(node: ast.AST) -> set[str]:
    """The names of a dictionary that is written out."""
    return {ast.literal_eval(key) for key in getattr(node, "keys", ()) if key is not None}


def test_reasons_in_chinese_are_reasons_of_the_venue() -> None:
    rows = re.findall(
        r'^  (\d+): "(.+)",$', (FOLDER / "reasons_zh.js").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) > 200
    assert len({number for number, _ in rows}) == len(rows)
    assert {int(number) for number, _ in rows} <= set(REASONS)
    assert all(CHINESE.search(text) for _, text in rows)


def test_no_module_makes_markup_of_text_or_keeps_a_key() -> None:
    text = scripts()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", "setAttribute(\"style"):  # fmt: skip
        assert word not in text, word
    assert re.findall(r"localStorage\.setItem\((.+?),", text) == []
    assert re.findall(r"sessionStorage\.setItem\((.+?),", text) == ['"symbol"']
