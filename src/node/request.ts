import type { Incoming } from './platform.ts'

/** The request without its body, or null when it is none that Fetch knows (TRACE, CONNECT, a broken target). */
export function toRequest(incoming: Incoming): Request | null {
  try {
    return new Request(urlOf(incoming), { method: incoming.method ?? 'GET', headers: headersOf(incoming) })
  } catch {
    return null
  }
}

/**
 * The host a request names, or `localhost` where it names none or nothing that could be a host: it goes into
 * `Location`, and may be anything.
 */
export function hostOf(incoming: Incoming): string {
  const host = 'stream' in incoming ? incoming.authority : incoming.headers.host
  if (host === undefined) return 'localhost'
  if (host === lastHost) return host
  if (!hostPattern.test(host) || !URL.canParse(`http://${host}`)) return 'localhost'
  lastHost = host
  return host
}

/** Nearly all requests name the same one. */
let lastHost: string | undefined

/** A name, an IPv4 or a bracketed IPv6 address, with or without a port. */
const hostPattern = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

function urlOf(incoming: Incoming): string {
  const { socket } = incoming
  const scheme = 'encrypted' in socket && socket.encrypted === true ? 'https' : 'http'
  return `${scheme}://${hostOf(incoming)}${pathOf(incoming)}`
}

function pathOf(incoming: Incoming): string {
  // Express takes the mount's path off `url` and keeps the whole.
  const url =
    'originalUrl' in incoming && typeof incoming.originalUrl === 'string' ? incoming.originalUrl : incoming.url
  if (url === undefined || url === '*') return '/'
  if (url.startsWith('/')) return url
  // A proxy's absolute form.
  const { pathname, search } = new URL(url)
  return pathname + search
}

/** A plain object is the cheapest thing to make a Request of. */
function headersOf(incoming: Incoming): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(incoming.headers)) {
    // HTTP/2 sends the request line as headers.
    if (value !== undefined && !name.startsWith(':')) headers[name] = String(value)
  }
  return headers
}
