import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo, type Server as NetServer, type Socket } from 'node:net'
import type { TusHandler } from '../src/options.ts'
import type { Platform } from '../src/platform.ts'
import { nodeListener } from '../src/node/listener.ts'
import { inviteLater, type PlatformOptions } from '../src/node/platform.ts'

/** A handler that is only its function: enough for what carries requests to it. */
export function fakeHandler(answer: (request: Request, platform: Platform) => Promise<Response>): TusHandler {
  return Object.assign((request: Request, platform: Platform = {}) => answer(request, platform), {
    extensions: [],
    sweep: () => Promise.resolve({ removed: 0, skipped: 0, concatenated: 0, leftovers: 0 }),
    close: () => Promise.resolve(),
  })
}

/** An HTTP/1.1 server around the listener, on a free port of 127.0.0.1. */
export async function serveListener(
  answer: (request: Request, platform: Platform) => Promise<Response>,
  options: PlatformOptions = {},
): Promise<{ server: Server; port: number } & AsyncDisposable> {
  const listener = nodeListener(fakeHandler(answer), options)
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, listener)
  server.on('checkContinue', (incoming, outgoing) => {
    inviteLater(incoming)
    listener(incoming, outgoing)
  })
  return { server, port: await listen(server), [Symbol.asyncDispose]: () => stop(server) }
}

export async function listen(server: NetServer): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return portOf(server)
}

export function portOf(server: NetServer): number {
  return (server.address() as AddressInfo).port
}

export async function stop(server: NetServer & { closeAllConnections?: () => void }): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections?.()
  await closed
}

/** A client that writes what it is told and remembers what it gets. */
export interface RawClient extends Disposable {
  readonly socket: Socket
  /** Everything received so far, as latin1. */
  received(): string
  /** Resolves with what was received behind `from` once it matches; rejects when the connection ends before. */
  until(pattern: RegExp, from?: number): Promise<string>
  /** Resolves when the connection is gone; the error that broke it, or null. */
  readonly closed: Promise<Error | null>
}

export async function rawClient(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<RawClient> {
  const socket = connect({ ...options, port, host: '127.0.0.1', noDelay: true })
  let text = ''
  let error: Error | null = null
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', (e) => {
    error = e
  })
  const closed = new Promise<Error | null>((resolve) => socket.once('close', () => resolve(error)))
  await once(socket, 'connect')
  return {
    socket,
    closed,
    received: () => text,
    until(pattern, from = 0) {
      return new Promise((resolve, reject) => {
        const settle = (done: () => void) => {
          socket.off('data', check).off('close', fail)
          done()
        }
        const check = () => {
          const part = text.slice(from)
          if (pattern.test(part)) settle(() => resolve(part))
        }
        const fail = () =>
          settle(() => reject(new Error(`closed (${error?.message}) with ${JSON.stringify(text.slice(from))}`)))
        socket.on('data', check).once('close', fail)
        check()
      })
    },
    [Symbol.dispose]: () => socket.destroy(),
  }
}

/** The head of a PATCH at offset 0, up to its empty line. @param more Lines of further headers, each with its end. */
export function patchHead(url: string, length: number, more = ''): string {
  return (
    `PATCH ${new URL(url).pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n${more}` +
    `Content-Type: application/offset+octet-stream\r\nContent-Length: ${length}\r\n\r\n`
  )
}

/** Sends one request in full and returns everything until the server closes the connection. */
export async function exchange(port: number, request: string): Promise<string> {
  using client = await rawClient(port)
  client.socket.write(request, 'latin1')
  await client.closed
  return client.received()
}

export async function collect(body: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body ?? []) chunks.push(chunk)
  return Buffer.concat(chunks)
}
