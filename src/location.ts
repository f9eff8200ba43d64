/** URLs of uploads, as a client sees them: made for `Location`, and understood in `Upload-Concat`. */
import { decodeId, encodeId } from './id.ts'
import type { LocationOptions } from './options.ts'
import type { Platform } from './platform.ts'

/** What one request tells about the server's address. Nothing is computed before it is asked. */
export interface Locator {
  /** The upload's URL, absolute or a path as the options say. */
  locate(id: string): string
  /** The id that an upload's URL stands for, or null when it is no URL of an upload here. */
  idOf(url: string): string | null
}

/** @param mount The handler's path without a trailing slash: `/files`, or `` for the root. */
export function createLocator(
  mount: string,
  options: LocationOptions,
  request: Request,
  platform: Platform | undefined,
): Locator {
  let known: Forwarded | undefined
  const forwarded = () => (known ??= options.trustForwarded === true ? readForwarded(request.headers) : {})
  return {
    locate(id) {
      const path = `/${encodeId(id)}`
      if (options.baseUrl !== undefined) return trimSlash(options.baseUrl) + path
      const { proto, host, port, prefix = '' } = forwarded()
      if (options.relative === true) return prefix + mount + path
      const own = new URL(request.url)
      const scheme = proto ?? (platform?.encrypted === true ? 'https' : own.protocol.slice(0, -1))
      return `${scheme}://${joinPort(host ?? own.host, port, scheme)}${prefix}${mount}${path}`
    },
    idOf(url) {
      let path: string
      try {
        // Resolves dot segments, and drops origin, query and fragment.
        path = new URL(url, request.url).pathname
      } catch {
        return null
      }
      const publicBase = options.baseUrl === undefined ? null : new URL(trimSlash(options.baseUrl)).pathname
      const { prefix } = forwarded()
      const bases = [publicBase ?? mount, (prefix ?? '') + mount, mount].map(trimSlash)
      // The longest first: a short one would take the rest of a longer one for a part of the id.
      const base = bases.sort((a, b) => b.length - a.length).find((each) => path.startsWith(`${each}/`))
      return base === undefined ? null : decodeId(path.slice(base.length + 1))
    },
  }
}

interface Forwarded {
  proto?: string | undefined
  host?: string | undefined
  port?: string | undefined
  prefix?: string | undefined
}

/** The client's side of the outermost proxy: the first entry of each list. What does not look right is left out. */
function readForwarded(headers: Headers): Forwarded {
  const standard = parseForwarded(headers.get('forwarded'))
  const first = (name: string) => headers.get(`x-forwarded-${name}`)?.split(',', 1)[0]?.trim()
  const proto = (standard.get('proto') ?? first('proto'))?.toLowerCase()
  const host = standard.get('host') ?? first('host')
  const port = first('port')
  const prefix = first('prefix')
  return {
    proto: proto === 'http' || proto === 'https' ? proto : undefined,
    host: host !== undefined && hostPattern.test(host) && URL.canParse(`http://${host}`) ? host : undefined,
    port: port !== undefined && /^\d{1,5}$/.test(port) && Number(port) <= 65_535 ? port : undefined,
    prefix: prefix !== undefined && prefixPattern.test(prefix) ? trimSlash(prefix) : undefined,
  }
}

/** A name, an IPv4 or a bracketed IPv6 address, with or without a port. */
const hostPattern = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/
/** A path without a second slash at its start, which would make it a host, and without dot segments. */
const prefixPattern = /^(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)*\/?$/

/** The first element of `Forwarded` (RFC 7239), by parameter. No value we use can hold a comma or semicolon. */
function parseForwarded(value: string | null): Map<string, string> {
  const [element = ''] = (value ?? '').split(',', 1)
  return new Map(
    element.split(';').map((pair) => {
      const [name = '', text = ''] = pair.split('=', 2)
      return [name.trim().toLowerCase(), text.trim().replace(/^"|"$/g, '')]
    }),
  )
}

function joinPort(host: string, port: string | undefined, scheme: string): string {
  if (port === undefined || /:\d+$/.test(host)) return host
  return port === (scheme === 'https' ? '443' : '80') ? host : `${host}:${port}`
}

function trimSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}
