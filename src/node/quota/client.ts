import { isIPv6 } from 'node:net'

/**
 * What names a client that has said nothing about itself: its address; of IPv6 the network of 64 bits, all of which one
 * customer has.
 * @param trustForwarded Whether a proxy of ours says whom it asks for. What counts is the last entry of its list, the
 * only one that this proxy vouches for: clients can send the ones before. `X-Forwarded-For` counts first: most proxies set
 * it, and pass on what a client says in `Forwarded`.
 */
export function addressOf(headers: Headers, remoteAddress: string | undefined, trustForwarded: boolean): string {
  const forwarded = trustForwarded ? (lastOfList(headers) ?? lastOfForwarded(headers.get('forwarded'))) : null
  return network(forwarded ?? remoteAddress ?? 'unknown')
}

/** RFC 7239: `for=192.0.2.1`, `for="[2001:db8::1]:4711"`; null where the last element names none. */
function lastOfForwarded(value: string | null): string | null {
  const last = value?.split(',').at(-1)
  const node = /(?:^|;)\s*for="?(\[[0-9a-f:.]+\]|[^\s;":]+)/i.exec(last ?? '')?.[1]
  return node ?? null
}

function lastOfList(headers: Headers): string | null {
  const last = headers.get('x-forwarded-for')?.split(',').at(-1)?.trim()
  return last === undefined || last === '' ? null : last
}

function network(text: string): string {
  // With the port that some proxies append.
  const address = text.replace(/^\[([^\]]*)\].*$/, '$1').replace(/^(\d+(?:\.\d+){3}):\d+$/, '$1')
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  return isIPv6(address) ? `${groupsOf(address).slice(0, 4).join(':')}::/64` : address
}

function groupsOf(address: string): string[] {
  const [before = '', after] = address.split('%', 1)[0]?.split('::') ?? []
  const head = before === '' ? [] : before.split(':')
  const tail = after === undefined || after === '' ? [] : after.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0')
  return [...head, ...zeros, ...tail].map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
}
