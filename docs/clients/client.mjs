// A client of SageAPI in Node 18 or newer, without any packages.
//
//     node client.mjs http://127.0.0.1:8080 ak_... secret-file

import { createHash, createHmac, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

// URL and options for fetch, signed as RFC 9421 specifies. Sign path and query as they are sent.
function signed(origin, keyId, secret, method, path, { query = '', body } = {}) {
  const url = origin + path + (query && `?${query}`)
  const headers = {}
  const parts = { '@method': method, '@authority': new URL(url).host, '@path': path }
  if (query) parts['@query'] = `?${query}`
  if (body !== undefined) {
    headers['content-type'] = 'application/json'
    headers['content-digest'] = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
    parts['content-digest'] = headers['content-digest']
  }
  const names = Object.keys(parts).map(name => `"${name}"`).join(' ')
  const created = Math.floor(Date.now() / 1000)
  const nonce = randomBytes(16).toString('hex')
  const params = `(${names});created=${created};nonce="${nonce}";keyid="${keyId}";alg="hmac-sha256";tag="sageapi"`
  const base = Object.entries(parts).map(([name, value]) => `"${name}": ${value}\n`).join('') +
    `"@signature-params": ${params}`
  headers['signature-input'] = `sig1=${params}`
  headers['signature'] = `sig1=:${createHmac('sha256', secret).update(base).digest('base64')}:`
  return [url, { method, headers, body }]
}

async function show(request) {
  const answer = await fetch(...request)
  console.log(answer.status, await answer.text())
}

const [origin, keyId, secretFile] = process.argv.slice(2)
const secret = readFileSync(secretFile, 'utf8').trim()
await show(signed(origin, keyId, secret, 'GET', '/api/v1/balance'))
// If the response is lost, retry with the same transno: it is booked once.
const body = JSON.stringify({ transno: `node-${randomBytes(8).toString('hex')}`, amount: '0.01' })
await show(signed(origin, keyId, secret, 'POST', '/api/v1/accounting', { body }))
await show(signed(origin, keyId, secret, 'GET', '/api/v1/accounting', { query: 'limit=1' }))
