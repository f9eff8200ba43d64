import { createHmac } from 'node:crypto'

/** The bytes of a secret as Standard Webhooks writes it. */
export type Secret = Uint8Array

/**
 * Understands secrets separated by commas: while one takes the place of another, requests are signed with both. Each is
 * `whsec_` and the base64 of 24 to 64 bytes, as the convention asks. Null when one is not.
 */
export function parseSecrets(text: string): readonly Secret[] | null {
  const secrets = text.split(',').map((each) => parseSecret(each.trim()))
  return secrets.every((secret) => secret !== null) ? secrets : null
}

/**
 * The headers by which a receiver tells that a request is ours, and new: https://www.standardwebhooks.com.
 * @param id Names the event: the same each time that it is sent.
 * @param now Milliseconds since the epoch.
 */
export function signatureHeaders(
  secrets: readonly Secret[],
  id: string,
  body: string,
  now = Date.now(),
): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000))
  const sign = (secret: Secret) => createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    ...(secrets.length > 0 && { 'webhook-signature': secrets.map((secret) => `v1,${sign(secret)}`).join(' ') }),
  }
}

function parseSecret(text: string): Secret | null {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1]
  if (encoded === undefined || encoded.length % 4 !== 0) return null
  const bytes = Buffer.from(encoded, 'base64')
  // No Buffer: worker threads get a copy, which is none.
  return bytes.length >= 24 && bytes.length <= 64 ? Uint8Array.from(bytes) : null
}
