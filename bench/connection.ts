/**
 * HTTP/1.1 over a raw socket, as little of it as the load needs: one request at a time, keep-alive, answers whose
 * bodies are not looked at. Node's own client would cost more than the servers that are measured.
 */
import { connect, type Socket } from 'node:net'
import { slice } from './pattern.ts'

export interface Answer {
  readonly status: number
  /** Status line and headers as they came. */
  readonly head: string
}

export interface Body {
  /** Where the upload starts in the noise. */
  readonly phase: number
  readonly start: number
  readonly end: number
}

export interface Connection {
  /** Sends a request and waits for its answer. Throws when the connection breaks or the answer comes too early. */
  request(head: string, body?: Body): Promise<Answer>
  close(): void
}

export function openConnection(port: number): Connection {
  let socket: Socket | undefined
  let received = ''
  let waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void; isHead: boolean } | undefined
  let sending = false
  let wake: (() => void) | undefined

  function open(): Socket {
    const made = connect({ port, host: '127.0.0.1', noDelay: true })
    made.on('data', (chunk) => {
      received += chunk.toString('latin1')
      take(made)
    })
    made.on('drain', () => wake?.())
    made.on('error', (error) => lose(made, error))
    made.on('close', () => lose(made, new Error('the server closed the connection')))
    return made
  }

  function lose(lost: Socket, error: Error): void {
    if (lost !== socket) return
    socket = undefined
    received = ''
    waiting?.reject(error)
    waiting = undefined
    wake?.()
  }

  function take(from: Socket): void {
    if (waiting === undefined || from !== socket) return
    const headEnd = received.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const head = received.slice(0, headEnd)
    const status = Number(head.slice(9, 12))
    if (!hasArrived(received, headEnd + 4, head, waiting.isHead || status === 204)) return
    const { resolve, reject } = waiting
    waiting = undefined
    received = ''
    if (/\r\nconnection: *close/i.test(head)) {
      socket = undefined
      from.destroy()
    }
    if (sending) reject(new Error(`answered ${status} before the body was sent`))
    else resolve({ status, head })
  }

  async function send(to: Socket, head: string, body: Body): Promise<void> {
    sending = true
    to.cork()
    to.write(head, 'latin1')
    let corked = true
    for (let position = body.start; position < body.end;) {
      const part = slice(body.phase, position, body.end)
      position += part.length
      const hasRoom = to.write(part)
      if (corked) to.uncork()
      corked = false
      // The last part need not have left: the answer says that it did.
      if (position === body.end) sending = false
      else if (!hasRoom) await new Promise<void>((resolve) => (wake = resolve))
      if (to !== socket) return
    }
    if (corked) to.uncork()
    sending = false
  }

  return {
    request(head, body) {
      return new Promise((resolve, reject) => {
        waiting = { resolve, reject, isHead: head.startsWith('HEAD') }
        socket ??= open()
        if (body === undefined) socket.write(head, 'latin1')
        else send(socket, head, body).catch(reject)
      })
    },
    close() {
      const open = socket
      socket = undefined
      open?.destroy()
    },
  }
}

/** Whether the answer's body, if any, is there. */
function hasArrived(received: string, bodyStart: number, head: string, isBodiless: boolean): boolean {
  if (isBodiless) return true
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return received.length - bodyStart >= Number(length)
  return !/\r\ntransfer-encoding: *chunked/i.test(head) || received.endsWith('0\r\n\r\n')
}
