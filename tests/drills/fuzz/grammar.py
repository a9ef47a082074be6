"""Makes the requests of a seed: the request with a number is the same in every run.

Only what earlier responses taught, such as the ids of predictions, differs between runs; a failed
request is therefore kept as it was sent.
"""

from random import Random
from urllib.parse import quote

from tests.drills.fuzz import framing, tensors
from tests.drills.fuzz.bodies import WITH_BODY, Bodies
from tests.drills.fuzz.framing import Header, Message
from tests.drills.fuzz.knowledge import Knowledge
from tests.drills.fuzz.request import Ending, Request
from tests.drills.fuzz.routes import PARAMETER, Route

# A share of the requests is valid, so that there are predictions, jobs and labels to disturb.
VALID_SHARE = 0.3
MORE_TURNS = 4
GRPC_EVERY = 8
OTHER_METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "QUERY",
    "get",
)
PATH_PARTS = (
    *("%00", "%ff%fe", "..%2f..%2fkeys.json", "%2e%2e", ".", "", "%20", "a" * 5000, "%ed%a0%80"),
    *("1e308", "-1", "0", "None", "%F0%9F%98%80", "a/b", "00000000-0000-0000-0000-000000000000"),
    *("a%0d%0ab", "%25", "con", "~", "*", "{name}", "99999999999999999999"),
)
QUERIES = (
    *("1e308", "-1", "inf", "nan", "5e-324", "", "%00", "%ff", "a" * 5000, "true", "9" * 400),
    *("%ed%a0%80", "[]", "0", "1", "1&{0}=2", "%u0041", "../..", "parquet", "zip", "jsonl", "tar"),
)
ACCEPTS = (
    *("*/*", "text/event-stream", "image/png", "image/png;q=1e308", "application/json;q=nan", ","),
    *(
        "text/html",
        "application/*;q=0",
        "text/event-stream;q=0, */*",
        "a/b" + ",a/b" * 3000,
        "\xff",
    ),
)
OTHER_HEADERS: tuple[Header, ...] = (
    *((b"Prefer", value) for value in (b"respond-async", b"respond-async, wait=1e308", b"wait=-1")),
    *(
        (b"Range", value)
        for value in (b"bytes=0-", b"bytes=9-1", b"bytes=0-0,-1", b"bytes=-" + b"9" * 30)
    ),
    *((b"If-None-Match", value) for value in (b"*", b'W/"a"', b"\xff")),
    *(
        (b"Origin", value)
        for value in (b"null", b"http://evil.example", b"http://localhost", b"\xff")
    ),
    *(
        (b"Authorization", value)
        for value in (b"Bearer", b"Bearer \xff", b"Basic YTpi", b"Bearer a.b")
    ),
    *((b"Traceparent", value) for value in (b"00-" + b"\xff" * 52, b"00-" + b"0" * 52, b"a")),
    *((b"Slipway-Purpose", value) for value in (b"verify", b"\xff", b"a" * 5000)),
    *((b"Slipway-Variant", value) for value in (b"challenger", b"shadow", b"\xff")),
    *((b"Accept-Encoding", value) for value in (b"gzip", b"br;q=nan", b"identity;q=0")),
    (b"Last-Event-ID", b"\xff"),
    (b"If-Modified-Since", b"Thu, 99 Foo 9999999 99:99:99 GMT"),
    (b"If-Range", b"Thu, 99 Foo 9999999 99:99:99 GMT"),
    (b"Access-Control-Request-Method", b"POST"),
    (b"Cookie", b"a=" + b"b" * 5000),
    (b"X-Forwarded-For", b"\xff, 1e308"),
)


class Grammar:
    """The requests of one seed to the routes of one service."""

    def __init__(
        self, seed: int, routes: list[Route], knowledge: Knowledge, grpc_methods: list[str]
    ) -> None:
        self.seed, self.knowledge = seed, knowledge
        # Where there is a body or a query, more can go wrong.
        self._turns = [
            route
            for route in routes
            for _ in range(MORE_TURNS if route.query or route.method in WITH_BODY else 1)
        ]
        Random(seed).shuffle(self._turns)
        self.grpc_methods = grpc_methods
        self._bodies = Bodies(knowledge)

    def request(self, number: int) -> Request:
        """Return the request with this number."""
        draw = Random(f"{self.seed}/{number}")
        if not self.grpc_methods:
            return self._http(number, self._turns[number % len(self._turns)], draw)
        if number % GRPC_EVERY == 0:
            return self._grpc(number, draw)
        place = number - number // GRPC_EVERY - 1
        return self._http(number, self._turns[place % len(self._turns)], draw)

    def _http(self, number: int, route: Route, draw: Random) -> Request:
        valid = draw.random() < VALID_SHARE
        made: list[str] = []
        name, target = self._target(route, draw, valid, made)
        method = route.method
        if not valid and draw.random() < 0.06:
            method = draw.choice(OTHER_METHODS)
            made.append(f"method {method}")
        headers, body = self._bodies.make(route, name, draw, valid, made)
        headers = [*headers, *self._other_headers(draw, valid, made)]
        message = Message(method.encode(), target.encode("latin-1"), tuple(headers), body)
        content, ending = self._framed(message, draw, valid, made)
        head_only = method == "HEAD"
        return Request(number, route.label, ", ".join(made) or "valid", content, ending, head_only)

    def _target(self, route: Route, draw: Random, valid: bool, made: list[str]) -> tuple[str, str]:
        """Return the model's name, if the path has one, and the path with its query."""
        name = ""

        def fill(parameter: str, before: str) -> str:
            nonlocal name
            values = self.knowledge.known.get(before) or self.knowledge.known.get(parameter)
            if not values or (not valid and draw.random() < 0.15):
                made.append("path")
                return draw.choice(PATH_PARTS)
            value = str(draw.choice(values))
            name = value if parameter == "name" else name
            return quote(value, safe="")

        parts = route.path.split("/")
        filled = [
            fill(found[1], parts[place - 1]) if (found := PARAMETER.fullmatch(part)) else part
            for place, part in enumerate(parts)
        ]
        asked = [each for each in route.query if draw.random() < 0.2]
        if route.query and not valid:
            made.append("query")
            # One hostile value at a time: the first that is refused hides the others.
            asked = draw.sample(route.query, 1 if draw.random() < 0.8 else len(route.query))
        query = [f"{each}={self._query_value(each, draw, valid).format(each)}" for each in asked]
        if not valid and draw.random() < 0.05:
            query += [f"{draw.choice(('limit', 'a', '', 'follow'))}={draw.choice(QUERIES)}"] * 3
        if not name:
            # A typed path names the model itself.
            name = next((each for each in self.knowledge.records if each in parts), "")
        return name, "/".join(filled) + ("?" + "&".join(query).replace("{", "%7B") if query else "")

    def _query_value(self, name: str, draw: Random, valid: bool) -> str:
        values = self.knowledge.known.get(name)
        if values and (valid or draw.random() < 0.3):
            return quote(str(draw.choice(values)))
        return draw.choice(QUERIES)

    def _other_headers(self, draw: Random, valid: bool, made: list[str]) -> list[Header]:
        found: list[Header] = []
        # Half of the callers have no key, as is permitted on loopback for most routes.
        if self.knowledge.key and draw.random() < 0.5:
            found.append((b"Authorization", b"Bearer " + self.knowledge.key.encode()))
        if valid:
            if draw.random() < 0.1:
                found.append((b"Prefer", b"respond-async"))
                made.append("async")
            elif draw.random() < 0.1:
                found.append((b"Accept", b"text/event-stream, application/json;q=0.5"))
                made.append("events")
            return found
        if draw.random() < 0.15:
            accept = draw.choice(ACCEPTS)
            found.append((b"Accept", accept.encode("latin-1")))
            made.append("accept")
        if draw.random() < 0.15:
            found.append(draw.choice(OTHER_HEADERS))
            made.append(f"header {found[-1][0].decode()}")
        return found

    def _framed(
        self, message: Message, draw: Random, valid: bool, made: list[str]
    ) -> tuple[bytes, Ending]:
        if valid or draw.random() < 0.7:
            return framing.plain(message), "wait"
        if draw.random() < 0.5:
            kind = draw.choice(list(framing.WHOLE))
            made.append(kind)
            return framing.WHOLE[kind](message, draw), "wait"
        endings: tuple[Ending, ...] = ("shut", "reset")
        kind = draw.choice(list(framing.BROKEN))
        made.append(kind)
        return framing.BROKEN[kind](message, draw), draw.choice(endings)

    def _grpc(self, number: int, draw: Random) -> Request:
        if draw.random() < 0.1:
            bytes_sent = draw.choice(
                (
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + draw.randbytes(200),
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                    + b"\0\0\0\4\0\0\0\0\0"
                    + draw.randbytes(200),
                    b"GET / HTTP/1.1\r\n\r\n",
                    draw.randbytes(500),
                )
            )
            return Request(number, "gRPC port", "raw", bytes_sent, "shut", to_grpc_port=True)
        method = draw.choice((*self.grpc_methods, *[self.grpc_methods[0]] * 3))
        name = draw.choice(list(self.knowledge.tensors))
        valid = draw.random() < VALID_SHARE
        made, message = tensors.as_message(name, self.knowledge.tensors[name], draw, valid=valid)
        label = "gRPC " + method.rpartition("/")[2]
        return Request(number, label, made, message, grpc_method=method)
