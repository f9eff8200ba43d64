/**
 * A TCP proxy that breaks connections on purpose, at exact points of what the clients send. It stands for the mobile
 * network, the proxy and the sleeping laptop between a client and the server.
 */
import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * What happens to a connection:
 * - `cut`: both sides are closed, as by a proxy that restarts;
 * - `reset`: both sides get a TCP reset;
 * - `vanish`: the client's side is reset while the server's stays open and silent for good, as when a phone changes
 *   its network;
 * - `stall`: nothing the client sends is passed on any more, its going away included, while answers still are;
 * - `half-close`: the server sees the end of what the client sends, answers still pass.
 */
export type FaultKind = 'cut' | 'reset' | 'vanish' | 'stall' | 'half-close'

export interface Fault {
  readonly kind: FaultKind
  /**
   * Bytes sent by all clients over all connections, counted from the proxy's start, after which it happens to the
   * connection that carries the next one. Exactly so many have been passed on by then.
   */
  readonly at: number
}

export interface BreakingProxy extends AsyncDisposable {
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  /** Bytes passed on from clients to the server so far, over all connections. */
  readonly sent: number
  /** Connections accepted so far. */
  readonly connections: number
  /** Faults that have happened, in order. */
  readonly happened: readonly Fault[]
  /** Adds faults; those at points that have passed already happen with the next byte. */
  plan(...faults: Fault[]): void
  /** Resolves when so many faults have happened, at once if they have already. */
  reached(count: number): Promise<void>
  /** Resolves when so many bytes have been passed on from the server to clients, over all connections. */
  answered(bytes: number): Promise<void>
  /** Does this to every connection that is open now, without being counted as a fault. */
  breakAll(kind: FaultKind): void
  /** Closes everything. `await using` calls it. */
  close(): Promise<void>
}

/** Starts a proxy before `127.0.0.1:targetPort`. Connections are made one to one, so the target may come and go. */
export async function startBreakingProxy(targetPort: number, faults: readonly Fault[] = []): Promise<BreakingProxy> {
  const planned: Fault[] = []
  const happened: Fault[] = []
  const links = new Set<Link>()
  const events = new EventEmitter()
  let sent = 0
  let received = 0
  let connections = 0

  const plan = (...more: readonly Fault[]) => {
    planned.push(...more)
    planned.sort((a, b) => a.at - b.at)
  }
  plan(...faults)

  /** Takes a chunk on its way: how much of it may pass, and what happens then. */
  const take = (length: number): { pass: number; fault: Fault | null } => {
    const [next] = planned
    const fault = next !== undefined && sent + length > next.at ? next : null
    const pass = fault === null ? length : Math.max(0, fault.at - sent)
    sent += pass
    if (fault !== null) planned.shift()
    return { pass, fault }
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    connections++
    const upstream = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true })
    const link: Link = { client, upstream, blocked: false, orphaned: false }
    links.add(link)
    join(link, () => links.delete(link))
    upstream.on('data', (chunk: Buffer) => {
      received += chunk.length
      events.emit('answer')
    })
    // Not before: what is sent towards a server that is down has not been passed on.
    upstream.once('connect', () => {
      client.on('data', (chunk: Buffer) => {
        const { pass, fault } = take(chunk.length)
        const flows = upstream.write(chunk.subarray(0, pass))
        if (!flows || fault !== null) client.pause()
        if (fault === null) return
        link.blocked = true
        // What was passed on leaves before the connection breaks.
        upstream.write('', () => {
          breakLink(link, fault.kind)
          happened.push(fault)
          events.emit('fault')
        })
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A test that failed must not hang for a proxy that it never closed.
  server.unref()
  const { port } = server.address() as AddressInfo

  const close = async () => {
    for (const { client, upstream } of links) {
      client.destroy()
      upstream.destroy()
    }
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    get sent() {
      return sent
    },
    get connections() {
      return connections
    },
    happened,
    plan,
    async reached(count) {
      while (happened.length < count) await once(events, 'fault')
    },
    async answered(bytes) {
      const enough = () => received >= bytes
      while (!enough()) await once(events, 'answer')
    },
    breakAll(kind) {
      for (const link of links) breakLink(link, kind)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Link {
  readonly client: Socket
  readonly upstream: Socket
  /** Nothing more goes from the client to the server. */
  blocked: boolean
  /** The server's side lives on without the client. */
  orphaned: boolean
}

/** Passes on all but the client's data, and lets a side that ends or breaks take the other one along. */
function join(link: Link, onClose: () => void): void {
  const { client, upstream } = link
  const onSideClose = () => {
    if (client.destroyed && upstream.destroyed) onClose()
  }
  client.setNoDelay(true)
  upstream.setNoDelay(true)
  client.on('drain', () => upstream.resume())
  client.on('end', () => upstream.end())
  client.on('error', ignore)
  client.on('close', () => {
    if (!link.orphaned) upstream.destroy()
    onSideClose()
  })
  upstream.on('data', (chunk: Buffer) => {
    if (!client.destroyed && !client.write(chunk)) upstream.pause()
  })
  upstream.on('drain', () => {
    if (!link.blocked) client.resume()
  })
  upstream.on('end', () => (link.orphaned ? upstream.end() : client.end()))
  upstream.on('error', ignore)
  upstream.on('close', () => {
    client.destroy()
    onSideClose()
  })
}

function breakLink(link: Link, kind: FaultKind): void {
  const { client, upstream } = link
  link.blocked = true
  client.pause()
  if (kind === 'cut') {
    client.destroy()
    upstream.destroy()
  } else if (kind === 'reset') {
    client.resetAndDestroy()
    upstream.resetAndDestroy()
  } else if (kind === 'vanish') {
    link.orphaned = true
    client.resetAndDestroy()
  } else if (kind === 'half-close') {
    upstream.end()
  }
}

/** Broken connections are what this is for. */
function ignore(): void {}
