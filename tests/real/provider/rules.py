"""Checks that the three APIs have in common. Each refusal reads as the real one does, as far as that is known."""

import re

from script import Refused

CALLERS_KEY = "the-callers-own-key"
"""What every judge sends as its key: it must never arrive here."""

FORBIDDEN_HEADERS = re.compile(r"^(cookie|forwarded|x-forwarded-.*|x-toolgate-.*|proxy-.*|te|trailer|upgrade)$")


def leaks(headers):
    """What a gateway let through that it must keep, in words."""
    found = [f"header {name} reached the provider" for name in headers if FORBIDDEN_HEADERS.match(name.lower())]
    found += [f"the caller's key reached the provider in {name}" for name, value in headers.items()
              if CALLERS_KEY in value]
    return found


def fields(value, allowed, path, words="Unknown parameter: '{}'."):
    """Refuses what the API does not know."""
    if not isinstance(value, dict):
        raise Refused(f"Invalid type for '{path}': expected an object.", param=path, code="invalid_type")
    for name in value:
        if name not in allowed:
            where = f"{path}.{name}" if path else name
            raise Refused(words.format(where), param=where, code="unknown_parameter")


def text(value, path):
    if not isinstance(value, str):
        raise Refused(f"Invalid type for '{path}': expected a string.", param=path, code="invalid_type")
    return value


def array(value, path):
    if not isinstance(value, list):
        raise Refused(f"Invalid type for '{path}': expected an array.", param=path, code="invalid_type")
    return value


def tool_names(names, longest, path="tools"):
    """Names are legal and stand once."""
    for index, name in enumerate(names):
        if not isinstance(name, str) or not re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{longest}}}", name):
            raise Refused(f"Invalid '{path}[{index}].name': {name!r} does not match "
                          f"'^[a-zA-Z0-9_-]{{1,{longest}}}$'.", param=f"{path}[{index}].name")
        if name in names[:index]:
            raise Refused(f"{path}: Tool names must be unique: {name!r} stands twice.", param=path)


def schema(value, path):
    """A tool's schema: an object at the root without combinators, and arrays that say what is in them."""
    if not isinstance(value, dict) or value.get("type") != "object":
        raise Refused(f"Invalid schema for {path}: schema must be a JSON Schema of 'type: \"object\"'.", param=path)
    for word in ("oneOf", "anyOf", "allOf", "enum", "not"):
        if word in value:
            raise Refused(f"Invalid schema for {path}: no 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
                          param=path)
    _arrays(value, path)


def _arrays(value, path):
    if isinstance(value, dict):
        if value.get("type") == "array" and "items" not in value:
            raise Refused(f"Invalid schema for {path}: array schema missing items.", param=path)
        for key, inner in value.items():
            _arrays(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            _arrays(inner, path)


def known_tools(turn, names):
    """A model calls only what it was offered."""
    for call in turn.round.calls:
        if call.tool not in names:
            raise Refused(f"The script of `{turn.scenario.name}` calls `{call.tool}`, which is not among the tools.",
                          param="tools")


def same(actual, issued, path):
    """What comes back is what was issued: each issued field unchanged, nothing of substance added."""
    if isinstance(issued, dict) and isinstance(actual, dict):
        for key, value in issued.items():
            if key not in actual and value not in (None, []):
                raise Refused(f"{path}.{key}: the model's own output came back without it.", param=path)
            if key in actual:
                same(actual[key], value, f"{path}.{key}")
        for key, value in actual.items():
            if key not in issued and value is not None:
                raise Refused(f"{path}.{key}: the model's own output came back with it added.", param=path)
    elif isinstance(issued, list) and isinstance(actual, list):
        if len(actual) != len(issued):
            raise Refused(f"{path}: {len(issued)} parts were issued, {len(actual)} came back.", param=path)
        for index, (left, right) in enumerate(zip(actual, issued)):
            same(left, right, f"{path}.{index}")
    elif actual != issued and not (actual is None and issued == []):
        raise Refused(f"{path}: the model's own output came back changed: {actual!r} is not {issued!r}.", param=path)
