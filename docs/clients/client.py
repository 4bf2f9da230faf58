"""A client of SageAPI in Python 3.9 or newer, without any packages.

    python3 client.py http://127.0.0.1:8080 ak_... secret-file
"""

import base64, hashlib, hmac, json, secrets, sys, time, urllib.error, urllib.parse, urllib.request


def b64(raw):
    return base64.b64encode(raw).decode()


def signed(origin, key_id, secret, method, path, query="", body=None):
    """The request, signed as RFC 9421 specifies. Sign path and query as they are sent."""
    url = f"{origin}{path}" + (f"?{query}" if query else "")
    headers = {}
    parts = {"@method": method, "@authority": urllib.parse.urlsplit(url).netloc, "@path": path}
    if query:
        parts["@query"] = f"?{query}"
    if body is not None:
        headers["Content-Type"] = "application/json"
        headers["Content-Digest"] = f"sha-256=:{b64(hashlib.sha256(body).digest())}:"
        parts["content-digest"] = headers["Content-Digest"]
    names = " ".join(f'"{name}"' for name in parts)
    params = (
        f'({names});created={int(time.time())};nonce="{secrets.token_hex(16)}"'
        f';keyid="{key_id}";alg="hmac-sha256";tag="sageapi"'
    )
    base = "".join(f'"{name}": {value}\n' for name, value in parts.items()) + f'"@signature-params": {params}'
    tag = hmac.new(secret.encode(), base.encode(), hashlib.sha256).digest()
    headers["Signature-Input"] = f"sig1={params}"
    headers["Signature"] = f"sig1=:{b64(tag)}:"
    return urllib.request.Request(url, method=method, headers=headers, data=body)


def show(request):
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as refusal:
        answer = refusal  # a problem document; read it like any response
    print(answer.status, answer.read().decode())


origin, key_id, secret_file = sys.argv[1:]
secret = open(secret_file).read().strip()
show(signed(origin, key_id, secret, "GET", "/api/v1/balance"))
# If the response is lost, retry with the same transno: it is booked once.
charge = json.dumps({"transno": f"python-{secrets.token_hex(8)}", "amount": "0.01"}).encode()
show(signed(origin, key_id, secret, "POST", "/api/v1/accounting", body=charge))
show(signed(origin, key_id, secret, "GET", "/api/v1/accounting", query="limit=1"))
