"""Checks an access token with PyJWT, and makes others of it: right ones, and wrong ones of every kind.

Reads {"secret", "token", "now"} from standard input; writes {"claims", "right": [...], "wrong": {name: [token, code]}}.
Each wrong token differs from a right one in what its name says and in nothing else.
"""

import base64
import json
import sys

import jwt

task = json.load(sys.stdin)
secret, token, now = task["secret"], task["token"], task["now"]
header = jwt.get_unverified_header(token)
# The server's clock may be ahead of this one's.
claims = jwt.decode(token, secret, algorithms=["HS256"], audience="sageapi", leeway=60)
HASHES = jwt.algorithms.get_default_algorithms()


def encoded(part):
    text = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def made(claims, key=secret, by="HS256", **changes):
    """A token written as SageAPI writes it."""
    head = {name: value for name, value in {**header, **changes}.items() if value is not None}
    signed = f"{encoded(head)}.{encoded(claims)}"
    return f"{signed}.{encoded(HASHES[by].sign(signed.encode(), key.encode()))}"


def without(name):
    return {other: value for other, value in claims.items() if other != name}


assert made(claims) == token, "these tokens are written as the server writes them"
head, body, signature = token.split(".")
right = [
    token,
    made({**claims, "iat": now, "exp": now + 60}),
    # A role is not taken from a token.
    made({**claims, "role": "admin"}),
    # PyJWT writes the header's members in another order, with spaces.
    jwt.encode(claims, secret, algorithm="HS256", headers={"kid": header["kid"]}),
]
wrong = {
    "another secret": (made(claims, key="another secret of 32 bytes or so"), "token_invalid"),
    "no algorithm": (jwt.encode(claims, None, algorithm="none", headers={"kid": header["kid"]}), "token_invalid"),
    "no algorithm, signed": (made(claims, alg="none"), "token_invalid"),
    "no algorithm, with a signature": (f'{encoded({**header, "alg": "none"})}.{body}.{signature}', "token_invalid"),
    "HS384": (made(claims, by="HS384", alg="HS384"), "token_invalid"),
    "HS512": (made(claims, by="HS512", alg="HS512"), "token_invalid"),
    "HS512 by the header, HS256 by the signature": (made(claims, alg="HS512"), "token_invalid"),
    "HS256 by the header, HS512 by the signature": (made(claims, by="HS512"), "token_invalid"),
    "an unknown type": (made(claims, typ="at+jwt"), "token_invalid"),
    "an unknown member of the header": (made(claims, crit=["exp"]), "token_invalid"),
    "a key in the header": (made(claims, jwk={"kty": "oct", "k": encoded(secret.encode())}), "token_invalid"),
    "no kid": (made(claims, kid=None), "token_invalid"),
    "an unknown kid": (made(claims, kid="00000000"), "token_invalid"),
    "another audience": (made({**claims, "aud": "other"}), "token_invalid"),
    "a list of audiences": (made({**claims, "aud": ["sageapi", "other"]}), "token_invalid"),
    "no audience": (made(without("aud")), "token_invalid"),
    "expired": (made({**claims, "iat": now - 901, "exp": now - 1}), "token_expired"),
    "no expiry": (made(without("exp")), "token_invalid"),
    "an expiry that is text": (made({**claims, "exp": "never"}), "token_invalid"),
    "an expiry far away": (made({**claims, "exp": now + 86_400}), "token_invalid"),
    "the last expiry that can be written": (made({**claims, "exp": 2**63 - 1}), "token_invalid"),
    "made and expiring far away": (made({**claims, "iat": now + 86_400, "exp": now + 86_460}), "token_invalid"),
    "another user": (made({**claims, "sub": "somebody"}), "token_expired"),
    "a user that cannot be": (made({**claims, "sub": ""}), "token_invalid"),
    "another session": (made({**claims, "family": "01890a5d-ac96-774b-bcce-b302099a8057"}), "token_expired"),
    "a session that cannot be": (made({**claims, "family": "x"}), "token_invalid"),
    "a generation to come": (made({**claims, "gen": claims["gen"] + 1}), "token_expired"),
    "an earlier security version": (
        made({**claims, "security_version": claims["security_version"] - 1}),
        "token_expired",
    ),
    "a later security version": (
        made({**claims, "security_version": claims["security_version"] + 1}),
        "token_expired",
    ),
    "an unknown claim": (made({**claims, "admin": True}), "token_invalid"),
    "cut": (token[:-1], "token_invalid"),
    "longer": (token + "A", "token_invalid"),
    "the signature of another body": (f'{head}.{encoded({**claims, "role": "admin"})}.{signature}', "token_invalid"),
    "an empty signature": (f"{head}.{body}.", "token_invalid"),
}
print(json.dumps({"claims": claims, "right": right, "wrong": wrong}))
