/** Where a server listens. Port 0 takes a free one. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** `0.0.0.0:8080`, `[::]:8080`, `localhost:0`; null when it is no such thing. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || port > 65_535 ? null : { host, port }
}

/** As people write it, and as `parseAddress` understands it. */
export function formatAddress({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
