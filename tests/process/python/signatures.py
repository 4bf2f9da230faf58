"""Sends requests signed by http-message-signatures, and ones that must be refused, to running SageAPI instances.

stdin:  {"bases": [URL of each instance], "key_id": ..., "secret": ..., "customer": ..., "run": text unique to this run}
stdout: one JSON object a line: {"group": "accepted"|"refused", "name", "case", "status", "code", "detail"}

The names of the group "refused" are those of the shared test vectors.
"""

import base64
import datetime
import hashlib
import hmac
import itertools
import json
import re
import sys

import requests
from http_message_signatures import ContentDigest, HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

TASK = json.load(sys.stdin)
BASES, KEY_ID, SECRET, CUSTOMER = TASK["bases"], TASK["key_id"], TASK["secret"], TASK["customer"]
NUMBERS = itertools.count(1)
BALANCE = f"/api/v1/balance?customer_id={CUSTOMER}"
GET_COVERS = ("@method", "@authority", "@path", "@query")
POST_COVERS = ("@method", "@authority", "@path", "content-digest")


class Sha512Digest(ContentDigest):
    algorithm = "sha-512"


class Sha512Signer(HTTPMessageSigner):
    content_digest_class = Sha512Digest


class Keys(HTTPSignatureKeyResolver):
    """Signs under any key id with the one secret, so that an unknown key id is all that is wrong."""

    def resolve_private_key(self, key_id):
        return SECRET.encode()


def signer(kind=HTTPMessageSigner):
    return kind(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys())


def number():
    return f"{TASK['run']}-{next(NUMBERS):04}"


def nonce():
    return f"nonce-of-a-test-{number()}"


def charge(**changes):
    item = {"transno": f"T-{number()}", "customer_id": CUSTOMER, "kind": "charge", "amount": "0.0123"}
    return json.dumps(item | changes, ensure_ascii=False).encode()


def get(target=BALANCE, headers=None, base=BASES[0]):
    return requests.Request("GET", base + target, headers=headers).prepare()


def post(body, headers=None, base=BASES[0]):
    headers = {"Content-Type": "application/json"} | (headers or {})
    return requests.Request("POST", base + "/api/v1/accounting", data=body, headers=headers).prepare()


def now(offset_s=0):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)


def sign(request, covers, kind=HTTPMessageSigner, **how):
    """Lets the library sign; a body is digested when its digest is among what is covered."""
    if "content-digest" in covers:
        how = {"body": request.body} | how
    how = {"key_id": KEY_ID, "tag": "sageapi", "created": now(), "label": "sig1"} | how
    signer(kind).sign(request, covered_component_ids=covers, **how)
    return request


def sign_edited(request, edit, covers=GET_COVERS):
    """Signs what the library would never make: its base with lines edited, under a good HMAC over the result."""
    how = {"key_id": KEY_ID, "tag": "sageapi", "created": now(), "label": "sig1"}
    prepared = signer().prepare(request, covered_component_ids=covers, **how)
    lines = prepared.signature_base.decode().split("\n")
    edited = edit(list(lines))
    assert edited != lines, "the edit changed nothing"
    tag = hmac.new(SECRET.encode(), "\n".join(edited).encode(), hashlib.sha256).digest()
    request.headers["Signature-Input"] = edited[-1].replace('"@signature-params": ', "sig1=")
    request.headers["Signature"] = f"sig1=:{base64.b64encode(tag).decode()}:"
    return request


def without(parameter):
    return lambda lines: [*lines[:-1], re.sub(rf';{parameter}=("[^"]*"|\d+)', "", lines[-1])]


def with_alg(alg):
    return lambda lines: [*lines[:-1], lines[-1].replace("hmac-sha256", alg)]


def path_twice(lines):
    path = next(line for line in lines if line.startswith('"@path"'))
    return [path, *lines[:-1], lines[-1].replace("(", '("@path" ', 1)]


def send(request):
    with requests.Session() as session:
        session.trust_env = False
        return session.send(request, timeout=30)


def tell(group, name, case, answer):
    try:
        body = answer.json()
    except ValueError:
        body = {}
    line = {"group": group, "name": name, "case": case, "status": answer.status_code}
    print(json.dumps(line | {"code": body.get("code"), "detail": body.get("detail")}), flush=True)
    return body


def accepted():
    def tell_ok(name, request):
        tell("accepted", name, "", send(request))

    tell_ok("GET with a query", sign(get(), GET_COVERS))
    tell_ok("GET without a query", sign(get("/api/v1/whoami"), ("@method", "@path")))
    tell_ok("GET under @target-uri, the library's own choice", sign(get(), ("@method", "@authority", "@target-uri")))
    tell_ok("GET under @request-target", sign(get(), ("@method", "@request-target")))
    tell_ok("GET with a nonce and expires", sign(get(), GET_COVERS, nonce=nonce(), expires=now(60)))
    tell_ok("GET without alg and tag, under the library's own label", sign(get(), GET_COVERS, include_alg=False, tag=None, label=None))
    tell_ok("GET with a header covered", sign(get(headers={"X-Trace": "a  b"}), (*GET_COVERS, "x-trace")))
    # requests would quote the space and leave the rest: the target stays as written here.
    tell_ok("GET with a quoted query", sign(get("/api/v1/users?limit=2&q=%E5%BC%A0%20a%2Bb"), GET_COVERS))
    tell_ok("HEAD", sign(requests.Request("HEAD", BASES[0] + BALANCE).prepare(), GET_COVERS))
    tell_ok("POST", sign(post(charge()), POST_COVERS, nonce=nonce()))
    tell_ok("POST with a body in UTF-8", sign(post(charge(note="余额 ✓")), POST_COVERS, nonce=nonce()))
    tell_ok("POST with a sha-512 digest", sign(post(charge()), POST_COVERS, Sha512Signer, nonce=nonce()))
    transno = f"T-{number()}"
    keyed = post(charge(transno=transno), {"Idempotency-Key": transno})
    tell_ok("POST with an idempotency key", sign(keyed, (*POST_COVERS, "idempotency-key"), nonce=nonce()))
    two = sign(post(charge()), ("@method",), tag="somebody-else", label="theirs")
    tell_ok("POST with another's signature beside ours", sign(two, POST_COVERS, nonce=nonce(), append_if_signature_exists=True))


def refused():
    def tell_no(name, request, case=""):
        return tell("refused", name, case, send(request))

    # Ahead by more than 301 s, since the time that passes on the way brings it nearer.
    for offset_s, when in ((-301, "ago"), (310, "ahead")):
        tell_no(f"created 301 s {when}", sign(get(), GET_COVERS, created=now(offset_s)), "GET")
        late = sign(post(charge()), POST_COVERS, created=now(offset_s), nonce=nonce())
        tell_no(f"created 301 s {when}", late, "POST")
    tell_no("expires in the past", sign(get(), GET_COVERS, created=now(-20), expires=now(-10)))
    tell_no("created missing", sign_edited(get(), without("created")))
    tell_no("keyid missing", sign_edited(get(), without("keyid")))
    for alg in ("hmac-sha512", "rsa-pss-sha512", ""):
        tell_no("alg is not hmac-sha256", sign_edited(get(), with_alg(alg)), alg)

    name = "query present but neither @query, @target-uri nor @request-target covered"
    tell_no(name, sign(get(), ("@method", "@authority", "@path")), "path alone")
    one_parameter = ("@method", "@path", '"@query-param";name="customer_id"')
    tell_no(name, sign(get(), one_parameter), "@query-param instead")
    tell_no("@method not covered", sign(get(), ("@authority", "@path", "@query")))
    name = "body present but content-digest not covered"
    bare = ("@method", "@authority", "@path")
    tell_no(name, sign(post(charge()), bare, nonce=nonce()), "no digest")
    body = charge()
    digested = post(body, {"Content-Digest": ContentDigest.create(body)})
    tell_no(name, sign(digested, bare, nonce=nonce(), use_existing_digest=True), "digest sent, not covered")

    name = "content-digest does not match the body"
    wrong = post(charge(), {"Content-Digest": ContentDigest.create(charge())})
    tell_no(name, sign(wrong, POST_COVERS, nonce=nonce(), body=None, use_existing_digest=True))

    name = "one byte of path, query, body or a covered header changed after signing"
    other_path = sign(get("/api/v1/users/user_demo_0001"), ("@method", "@authority", "@path"))
    other_path.url = other_path.url.replace("user_demo_0001", "user_demo_0002")
    tell_no(name, other_path, "path")
    other_query = sign(get(BALANCE + "&at="), GET_COVERS)
    other_query.url = other_query.url.removesuffix("&at=") + "&bt="
    tell_no(name, other_query, "query")
    other_body = sign(post(charge(amount="0.0123")), POST_COVERS, nonce=nonce())
    other_body.body = other_body.body.replace(b"0.0123", b"0.0124")
    tell_no(name, other_body, "body")
    other_header = sign(get(headers={"X-Trace": "abc"}), (*GET_COVERS, "x-trace"))
    other_header.headers["X-Trace"] = "abd"
    tell_no(name, other_header, "header")

    name = "unknown key id (same answer and same time as a wrong signature)"
    unknown = tell_no(name, sign(get(), GET_COVERS, key_id="ak_0000000000000000"), "well-formed")
    tell_no(name, sign(get(), GET_COVERS, key_id="nobody"), "of another shape")
    forged = sign(get(), GET_COVERS)
    forged.headers["Signature"] = "sig1=:" + base64.b64encode(bytes(32)).decode() + ":"
    wrong = tell_no(name, forged, "a wrong signature")
    varies = {"request_id", "instance"}
    assert {k: v for k, v in unknown.items() if k not in varies} == {k: v for k, v in wrong.items() if k not in varies}

    tell_no("a component is covered twice", sign_edited(get(), path_twice))
    name = "two signatures, neither tagged sageapi"
    for tags in (("theirs", "others"), (None, None)):
        both = sign(get(), GET_COVERS, tag=tags[0], label="a")
        tell_no(name, sign(both, GET_COVERS, tag=tags[1], label="b", append_if_signature_exists=True), str(tags))
    tell_no("a write without a nonce", sign(post(charge()), POST_COVERS))

    name = "nonce used before (write), on another instance too"
    once = nonce()
    first = send(sign(post(charge()), POST_COVERS, nonce=once))
    assert first.status_code == 201, first.text
    for index, base in enumerate(BASES):
        again = sign(post(charge(), base=base), POST_COVERS, nonce=once)
        tell_no(name, again, f"instance {index + 1}")


accepted()
refused()
