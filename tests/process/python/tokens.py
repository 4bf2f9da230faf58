"""Checks an access token with PyJWT, and makes others of it: right ones, and wrong ones of every kind.

Reads {"secret", "token", "date"} from standard input; writes {"claims", "right": [...], "wrong": {name: token}}.
"""

import base64
import email.utils
import json
import sys

import jwt

task = json.load(sys.stdin)
secret, token = task["secret"], task["token"]
now = int(email.utils.parsedate_to_datetime(task["date"]).timestamp())
header = jwt.get_unverified_header(token)
claims = jwt.decode(token, secret, algorithms=["HS256"], audience="sageapi")


def made(claims, key=secret, algorithm="HS256", **header_changes):
    headers = {**header, **header_changes}
    return jwt.encode(claims, key, algorithm=algorithm, headers={k: v for k, v in headers.items() if v is not None})


def encoded(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


body = token.split(".")[1]
signature = token.split(".")[2]
wrong = {
    "another secret": made(claims, key="another secret of 32 bytes or so"),
    "no algorithm": jwt.encode(claims, None, algorithm="none", headers={"kid": header["kid"]}),
    "no algorithm, signed": f'{encoded({**header, "alg": "none"})}.{body}.{signature}',
    "HS384": made(claims, algorithm="HS384", alg="HS384"),
    "HS512": made(claims, algorithm="HS512", alg="HS512"),
    "HS256 by the head, HS512 by the signature": f'{token.rsplit(".", 1)[0]}.{made(claims, algorithm="HS512", alg="HS512").rsplit(".", 1)[1]}',
    "no kid": made(claims, kid=None),
    "an unknown kid": made(claims, kid="00000000"),
    "another audience": made({**claims, "aud": "other"}),
    "no audience": made({k: v for k, v in claims.items() if k != "aud"}),
    "expired": made({**claims, "exp": now - 1}),
    "no end": made({k: v for k, v in claims.items() if k != "exp"}),
    "an end that is text": made({**claims, "exp": "never"}),
    "another user": made({**claims, "sub": "somebody"}),
    "another session": made({**claims, "family": "01890a5d-ac96-774b-bcce-b302099a8057"}),
    "another security version": made({**claims, "security_version": claims["security_version"] + 1}),
    "an unknown claim": made({**claims, "admin": True}),
    "cut": token[:-1],
    "longer": token + "A",
    "signature of another body": f'{encoded(header)}.{encoded({**claims, "role": "admin"})}.{signature}',
    "an empty signature": token.rsplit(".", 1)[0] + ".",
}
# The same bytes that SageAPI makes: with the secret anyone can make tokens.
compact = {"separators": (",", ":")}
signed = ".".join(
    base64.urlsafe_b64encode(json.dumps(part, **compact).encode()).rstrip(b"=").decode()
    for part in ({"alg": "HS256", "typ": "JWT", "kid": header["kid"]}, {**claims, "iat": now, "exp": now + 60})
)
mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signed.encode(), secret.encode())
right = [f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"]
print(json.dumps({"header": header, "claims": claims, "right": right, "wrong": wrong}))
