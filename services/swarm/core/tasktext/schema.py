"""JSON Schemas (draft 2020-12) of task files and profiles, made from the tables that the readers are made from.

A schema can say less than a reader: not that a body fits its bytes, that no number is twice among nodes, or what
cannot work though it is taken. What it refuses, the reader refuses.
"""

from __future__ import annotations

from typing import Any

from .fields import (
    PLAIN,
    VARIABLE,
    Anything,
    Choice,
    Labels,
    Many,
    Maybe,
    Option,
    Pairs,
    Record,
    Spec,
    Text,
    TextOr,
    Whole,
    Without,
)
from .findings import Weight
from .model import TYPE_ALIASES, TaskType
from .profilefields import PROFILE
from .secrets import NAME_PATTERN, PREFIX
from .taskfields import BODIES, HEAD, REQUIRED
from .walk import PAIR_NAME_CHARS_MAX

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def task_schema(*, plain_secrets: bool = False) -> Schema:
    """Of a task file.

    Args:
        plain_secrets: as the reader's: user and password may stand in clear.
    """
    make = _Maker(plain_secrets)
    bodies = {kind.value: make.of(BODIES[kind]) for kind in TaskType}
    names = {kind: [kind.value, *(a for a, of in TYPE_ALIASES.items() if of is kind)] for kind in TaskType}
    return {
        "$schema": DRAFT,
        "$id": "urn:swarm:task-file",
        "title": "Task of a swarm",
        "type": "object",
        "properties": {**{key: make.of(spec) for key, spec in HEAD.items()}, "Body": {"type": "object"}},
        "required": list(REQUIRED),
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"TaskType": {"enum": names[kind]}}, "required": ["TaskType"]},
                "then": {"properties": {"Body": {"$ref": f"#/$defs/{kind.value}"}}},
            }
            for kind in TaskType
        ],
        "$defs": bodies,
    }


def profile_schema() -> Schema:
    """Of a SWOP profile. Keys that mean nothing pass."""
    return {
        "$schema": DRAFT,
        "$id": "urn:swarm:swop-profile",
        "title": "Profile of a SWOP",
        **_Maker(False).of(PROFILE),
    }


class _Maker:
    def __init__(self, plain_secrets: bool) -> None:
        self.plain_secrets = plain_secrets

    def of(self, spec: Spec) -> Schema:
        """One value's schema, with what the table says about it."""
        made = self._bare(spec)
        return {"description": spec.about, **made} if spec.about else made

    def _bare(self, spec: Spec) -> Schema:
        match spec:
            case Text():
                return self._text(spec)
            case Choice():
                return {"enum": [*spec.values, *spec.aliases]}
            case Whole():
                return {"type": "integer", "minimum": spec.least, "maximum": spec.most}
            case Anything():
                return {
                    "anyOf": [
                        {"type": ["null", "boolean", "number", "array", "object"]},
                        _string(0, spec.most, PLAIN),
                    ]
                }
            case Option():
                text = _string(0, spec.most, PLAIN)
                return {"anyOf": [{"type": ["null", "boolean", "number"]}, text, {"type": "array", "items": text}]}
            case Maybe():
                return {"anyOf": [{"type": "null"}, self.of(spec.of)]}
            case Many():
                return {
                    "type": "array",
                    "items": self.of(spec.item),
                    "minItems": spec.least,
                    "maxItems": spec.most,
                }
            case Pairs():
                return {
                    "type": "array",
                    "maxItems": spec.most,
                    "items": {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 1,
                        "propertyNames": _string(1, PAIR_NAME_CHARS_MAX, VARIABLE),
                        "additionalProperties": self.of(spec.value),
                    },
                }
            case Labels():
                label = _string(1, PAIR_NAME_CHARS_MAX, PLAIN)
                return {
                    "anyOf": [
                        {
                            "type": "object",
                            "maxProperties": spec.most,
                            "propertyNames": label,
                            "additionalProperties": self.of(Anything()),
                        },
                        {"type": "array", "maxItems": spec.most, "items": label},
                    ]
                }
            case TextOr():
                return {"anyOf": [self.of(spec.text), self.of(spec.record)]}
            case Record():
                return {
                    "type": "object",
                    "properties": {key: self.of(inner) for key, inner in spec.fields.items()},
                    "required": list(spec.required),
                    "additionalProperties": spec.extra is not Weight.ERROR,
                }

    def _text(self, spec: Text) -> Schema:
        made = _string(spec.least, spec.most, spec.without)
        if spec.reserved:
            made["not"] = {"anyOf": [made["not"], {"enum": list(spec.reserved)}]}
        if spec.secret and not self.plain_secrets:
            made["pattern"] = f"^{PREFIX}{NAME_PATTERN}$"
        if spec.empty_is_text:
            made["type"] = ["string", "null"]
        return made


def _string(least: int, most: int, without: Without) -> Schema:
    # "not" beside a pattern of one character: unlike "^[^...]*$" no dialect lets a last line break through.
    return {
        "type": "string",
        "minLength": least,
        "maxLength": most,
        "not": {"type": "string", "pattern": without.pattern},
    }
