/** Connections of `node:net`, which Node, Bun and Deno have. */
import { connect } from 'node:net'
import type { Wire } from './wire.ts'

export function dial(port: number): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const waiting: (() => void)[] = []
    const chunks: Uint8Array[] = []
    let ended = false
    let failure: Error | null = null
    const wake = (): void => {
      for (const each of waiting.splice(0)) each()
    }
    const change = (): Promise<void> => new Promise((resolve) => waiting.push(resolve))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(new Uint8Array(chunk))
      // Taken one at a time, so that a client that stops reading is felt by the server.
      socket.pause()
      wake()
    })
    socket.on('drain', wake)
    socket.on('end', () => {
      ended = true
      wake()
    })
    socket.on('error', (error) => {
      failure ??= error
      reject(error)
      wake()
    })
    socket.on('close', () => {
      ended = true
      wake()
    })
    socket.on('connect', () =>
      resolve({
        async read() {
          for (;;) {
            const chunk = chunks.shift()
            if (chunk !== undefined) return chunk
            if (failure !== null) throw failure
            if (ended) return null
            const changed = change()
            socket.resume()
            await changed
          }
        },
        async write(bytes) {
          if (failure !== null || socket.destroyed) throw failure ?? new Error('the connection is closed')
          if (socket.write(bytes)) return
          while (socket.writableNeedDrain && !socket.destroyed) await change()
        },
        destroy: () => void socket.destroy(),
      }),
    )
  })
}
