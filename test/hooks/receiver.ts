/**
 * A receiver of hooks over HTTP, written from tusd's documentation alone:
 * https://tus.github.io/tusd/advanced-topics/hooks/.
 */
import { EventEmitter, once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

/** A hook request as the documentation shows it. */
export interface Hook {
  readonly Type: string
  readonly EventID: string
  readonly Event: {
    readonly Upload: {
      readonly ID: string
      readonly Size: number
      readonly SizeIsDeferred: boolean
      readonly Offset: number
      readonly MetaData: Record<string, string>
      readonly IsPartial: boolean
      readonly IsFinal: boolean
      readonly PartialUploads: string[] | null
      readonly Storage: Record<string, string> | null
    }
    readonly HTTPRequest: {
      readonly Method: string
      readonly URI: string
      readonly RemoteAddr: string
      readonly Header: Record<string, string[]>
    }
  }
}

/** One that came in. */
export interface Delivery {
  readonly hook: Hook
  /** The body as it came. */
  readonly raw: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, spelled as they came. */
  readonly rawHeaders: readonly string[]
  readonly method: string
}

interface RawAnswer {
  readonly raw: string
  readonly type: string
}

/** What is answered: JSON with status 200, a status, or anything raw; 'nothing' leaves the sender waiting. */
export type Say = object | number | 'nothing' | RawAnswer

export interface Receiver extends AsyncDisposable {
  readonly url: string
  /** Everything that came, in order; also what was answered with a failure. */
  readonly deliveries: readonly Delivery[]
  /** What has been taken: answered with success. */
  readonly taken: readonly Delivery[]
  /** What came of this type. */
  of(type: string): Delivery[]
  /** Resolves once the condition holds, asked again whenever something has come. */
  until(condition: () => boolean, timeoutMs?: number): Promise<void>
  /** Closes the port, and cuts what is on its way. */
  down(): Promise<void>
  /** Opens the same port again. */
  up(): Promise<void>
}

export async function startReceiver(answer: (hook: Hook, delivery: Delivery) => Say = () => ({})): Promise<Receiver> {
  const deliveries: Delivery[] = []
  const taken: Delivery[] = []
  const events = new EventEmitter()
  let server = listenTo()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let raw = ''
    for await (const chunk of request) raw += String(chunk)
    const { headers, rawHeaders, method = '' } = request
    const delivery: Delivery = { hook: JSON.parse(raw) as Hook, raw, headers, rawHeaders, method }
    deliveries.push(delivery)
    const said = answer(delivery.hook, delivery)
    if (said !== 'nothing') {
      const { raw: text, type } = rawAnswer(said)
      response.writeHead(typeof said === 'number' ? said : 200, { 'Content-Type': type }).end(text)
      if (response.statusCode < 300) taken.push(delivery)
    }
    events.emit('delivery')
  }

  function listenTo(): Server {
    // A sender that goes away while it sends has delivered nothing.
    return createServer((request, response) => void take(request, response).catch(() => undefined))
  }

  async function down(): Promise<void> {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  return {
    url: `http://127.0.0.1:${port}/hooks`,
    deliveries,
    taken,
    of: (type) => deliveries.filter(({ hook }) => hook.Type === type),
    async until(condition, timeoutMs = 30_000) {
      const signal = AbortSignal.timeout(timeoutMs)
      while (!condition()) {
        await once(events, 'delivery', { signal }).catch(() => {
          const got = deliveries.map(({ hook }) => hook.EventID).join('\n')
          throw new Error(`Not within ${timeoutMs} ms. What came:\n${got}`)
        })
      }
    },
    down,
    async up() {
      server = listenTo()
      await once(server.listen(port, '127.0.0.1'), 'listening')
    },
    [Symbol.asyncDispose]: down,
  }
}

function rawAnswer(said: object | number): RawAnswer {
  if (typeof said === 'number') return { raw: '', type: 'text/plain' }
  return 'raw' in said ? (said as RawAnswer) : { raw: JSON.stringify(said), type: 'application/json' }
}

/** Ids of what was taken. */
export function eventIds(receiver: Receiver): string[] {
  return receiver.taken.map(({ hook }) => hook.EventID)
}

/** Each upload's events that were taken, without those that came again. */
export function histories(deliveries: readonly Delivery[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  const seen = new Set<string>()
  for (const { hook } of deliveries) {
    if (seen.has(hook.EventID)) continue
    seen.add(hook.EventID)
    const { ID } = hook.Event.Upload
    found.set(ID, [...(found.get(ID) ?? []), hook.Type])
  }
  return found
}
