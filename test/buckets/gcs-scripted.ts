/** A service that answers as a test says, to see what the driver sends and makes of it. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  /** Path and query, decoded. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Answers by itself, or returns status and body. */
export type Script = (asked: Asked, response: ServerResponse) => readonly [status: number, body?: unknown] | void

export interface ScriptedServer extends AsyncDisposable {
  readonly endpoint: string
  /** What was asked, in order. */
  readonly asked: Asked[]
}

export async function scripted(script: Script): Promise<ScriptedServer> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      const one = { method, url: decodeURIComponent(url), headers, body: Buffer.concat(pieces).toString() }
      asked.push(one)
      const answer = script(one, response)
      if (answer === undefined) return
      const [status, body = ''] = answer
      response.writeHead(status, { 'x-goog-generation': '7' })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** An error as the service words it. */
export function refusal(code: number, reason: string, message: string): [number, unknown] {
  return [code, { error: { code, message, errors: [{ message, domain: 'global', reason }] } }]
}
