"""An OpenAPI 3.1 document as openapi_test.py needs it: its operations, a check of values against its schemas, and values made from them.

Of JSON Schema it knows what the document uses. A keyword that it does not know is an error and never passed over, so that nothing in the
document looks checked and is not.
"""
import base64
import datetime
import ipaddress
import json
import math
import re

# Said for people, and nothing to check.
_WORDS = {"description", "examples", "contentEncoding"}
_KNOWN = _WORDS | {"$ref", "type", "enum", "const", "oneOf", "anyOf", "properties", "required", "additionalProperties", "patternProperties", "maxProperties", "items",
                   "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern", "format"}


def _is_time(text):
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", text)
    try:
        return bool(found) and bool(datetime.datetime.fromisoformat(found[1]))
    except ValueError:
        return False


def _is_ip(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


_FORMATS = {"date-time": _is_time, "ip": _is_ip}
_TYPES = {"string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool), "null": lambda v: v is None, "object": lambda v: isinstance(v, dict),
          "array": lambda v: isinstance(v, list), "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
          "integer": lambda v: isinstance(v, int) and not isinstance(v, bool) or isinstance(v, float) and v.is_integer()}


def _same(a, b):
    return type(a) is type(b) and a == b


class Operation:
    def __init__(self, document, path, method, item):
        self.path, self.method, self.item = path, method.upper(), item
        self.parameters = [document.resolve(p) for p in item.get("parameters", [])]
        self.body = document.resolve(item["requestBody"]) if "requestBody" in item else None
        self.responses = {int(status): document.resolve(r) for status, r in item["responses"].items()}
        security = item.get("security", document.root.get("security", []))
        # The role that each way of proving oneself must have; None: everyone may.
        self.role = security[0]["token"][0] if security else None

    def __str__(self):
        return f"{self.method} {self.path}"


class Document:
    def __init__(self, root):
        self.root = root
        self.operations = [Operation(self, path, method, item) for path, methods in root["paths"].items() for method, item in methods.items()]

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file))

    def resolve(self, node):
        while "$ref" in node:
            target = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def problems(self, schema, value, where="$"):
        """What is wrong with the value, a sentence each."""
        unknown = set(schema) - _KNOWN
        if unknown:
            raise ValueError(f"openapi.py knows no schema keyword {sorted(unknown)}")
        if "$ref" in schema:
            return self.problems(self.resolve(schema), value, where)
        for keyword in ("oneOf", "anyOf"):
            if keyword in schema:
                each = [self.problems(s, value, where) for s in schema[keyword]]
                fits = sum(not p for p in each)
                if fits == 1 or fits > 1 and keyword == "anyOf":
                    return []
                return [f"{where}: fits {fits} of the {len(each)} forms of {keyword}"] + [p for e in each for p in e][:4]
        found = []
        if "const" in schema and not _same(value, schema["const"]):
            found.append(f"{where}: {value!r} is not {schema['const']!r}")
        if "enum" in schema and not any(_same(value, e) for e in schema["enum"]):
            found.append(f"{where}: {value!r} is none of {schema['enum']}")
        types = schema.get("type", list(_TYPES))
        types = [types] if isinstance(types, str) else types
        if not any(_TYPES[t](value) for t in types):
            return found + [f"{where}: {str(value)[:60]!r} is no {' or '.join(types)}"]
        if isinstance(value, str):
            found += self._text_problems(schema, value, where)
        elif isinstance(value, dict):
            found += self._object_problems(schema, value, where)
        elif isinstance(value, list):
            if len(value) > schema.get("maxItems", len(value)):
                found.append(f"{where}: {len(value)} items")
            for i, item in enumerate(value):
                found += self.problems(schema.get("items", {}), item, f"{where}[{i}]")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                found.append(f"{where}: {value} is out of bounds")
        return found

    def _text_problems(self, schema, value, where):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return [f"{where}: a text of {len(value)} characters"]
        if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
            return [f"{where}: {value[:60]!r} is not as {schema['pattern']}"]
        if "format" in schema and not _FORMATS[schema["format"]](value):
            return [f"{where}: {value[:60]!r} is no {schema['format']}"]
        return []

    def _object_problems(self, schema, value, where):
        found = [f"{where}: has no member {name!r}" for name in schema.get("required", []) if name not in value]
        if len(value) > schema.get("maxProperties", len(value)):
            found.append(f"{where}: {len(value)} members")
        for name, item in value.items():
            if name in schema.get("properties", {}):
                found += self.problems(schema["properties"][name], item, f"{where}.{name}")
                continue
            fitting = [s for pattern, s in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
            for s in fitting:
                found += self.problems(s, item, f"{where}.{name}")
            rest = schema.get("additionalProperties", True)
            if fitting or rest is True:
                continue
            found += [f"{where}: has a member {name[:60]!r} that the document does not know"] if rest is False else self.problems(rest, item, f"{where}.{name}")
        return found


class Maker:
    """Values that fit a schema, from its examples and from its edges. The same random numbers make the same values."""

    TEXTS = ["", "a", "x" * 300, "ü€𝄞", "'; drop list suspects", "<script>alert(1)</script>", "../../etc/passwd", "{{1+1}}", "%00", "\t\r\n", "$name", "@suspects", "NaN", "-1", "null"]
    NUMBERS = [0, 1, 2, 7, 100, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -1, -2**63]
    NAMES = ["a", "x-y", "name", "query", "ü", "__proto__", "net", "ports"]

    def __init__(self, document, rng):
        self.document, self.rng = document, rng
        self.is_tame = False  # then an example, wherever there is one, and little else

    def make(self, schema, depth=0):
        rng = self.rng
        schema = self.document.resolve(schema)
        if "examples" in schema and (self.is_tame or rng.random() < 0.75):
            return rng.choice(schema["examples"])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return rng.choice(schema["enum"])
        for keyword in ("oneOf", "anyOf"):
            if keyword in schema:
                return self.make(rng.choice(schema[keyword]), depth)
        types = schema.get("type", "string" if depth > 3 else list(_TYPES))
        kind = types if isinstance(types, str) else rng.choice(types)
        if kind == "string":
            return self._text(schema)
        if kind == "integer":
            low, high = schema.get("minimum", -2**63), schema.get("maximum", 2**64 - 1)
            return rng.choice([n for n in [low, high, *self.NUMBERS] if low <= n <= high])
        if kind == "number":
            low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
            return rng.choice([n for n in (0, 1, -1, 0.5, 1e308, -2.5e-9, 2**53 + 1, low, high) if low <= n <= high and math.isfinite(n)])
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            return [self.make(schema.get("items", {}), depth + 1) for _ in range(rng.randint(0, 3))]
        return self._object(schema, depth)

    def _text(self, schema):
        rng = self.rng
        if schema.get("contentEncoding") == "base64":
            return base64.b64encode(rng.randbytes(rng.randint(0, 90))).decode()
        if schema.get("format") == "date-time":
            return rng.choice(["2025-11-20T08:00:00Z", "2026-02-28T23:59:59.999999999Z", "2026-11-20T08:00:00+01:00", "1970-01-01T00:00:00Z"])
        if schema.get("format") == "ip":
            return rng.choice(["192.0.2.7", "2001:db8::7", "::"])
        if "pattern" in schema:
            found = re.fullmatch(r"\^(\[[^\]]+\])\{(\d+),(\d+)\}\$", schema["pattern"])
            if not found:
                raise ValueError(f"openapi.py makes no text for {schema['pattern']}")
            letters = [chr(c) for c in range(32, 127) if re.fullmatch(found[1], chr(c))]
            return "".join(rng.choice(letters) for _ in range(rng.randint(int(found[2]), int(found[3]))))
        fitting = [t for t in self.TEXTS if schema.get("minLength", 0) <= len(t) <= schema.get("maxLength", len(t))]
        return rng.choice(fitting)

    def _object(self, schema, depth):
        rng = self.rng
        required = set(schema.get("required", []))
        out = {name: self.make(s, depth + 1) for name, s in schema.get("properties", {}).items() if name in required or rng.random() < 0.4}
        for pattern, s in schema.get("patternProperties", {}).items():
            out[pattern.replace("^", "").replace("\\", "") + rng.choice(self.NAMES)] = self.make(s, depth + 1)
        rest = schema.get("additionalProperties", True)
        if rest is not False and depth < 4 and not self.is_tame:
            for _ in range(rng.randint(0, 2)):
                name = rng.choice(self.NAMES)
                if name not in schema.get("properties", {}):
                    out[name] = self.make({} if rest is True else rest, depth + 1)
        return out
