/** Connections of workerd. */
// @ts-expect-error: the module has no types here; `Sockets` says what is used of it.
import * as untyped from 'cloudflare:sockets'
import type { Wire } from './wire.ts'

interface Sockets {
  readonly connect: (address: { readonly hostname: string; readonly port: number }) => {
    readonly opened: Promise<unknown>
    readonly closed: Promise<unknown>
    readonly readable: ReadableStream<Uint8Array>
    readonly writable: WritableStream<Uint8Array>
    close(): Promise<void>
  }
}

const { connect } = untyped as Sockets

export async function dial(port: number): Promise<Wire> {
  const socket = connect({ hostname: '127.0.0.1', port })
  socket.closed.catch(() => {})
  await socket.opened
  const reader = socket.readable.getReader()
  const writer = socket.writable.getWriter()
  writer.closed.catch(() => {})
  return {
    async read() {
      const { done, value } = await reader.read()
      return done ? null : value
    },
    write: (bytes) => writer.write(bytes),
    destroy() {
      // Only the end of what is written reaches the other side at once.
      writer.close().catch(() => {})
      reader.cancel().catch(() => {})
    },
  }
}
