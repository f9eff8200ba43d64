import type { OutgoingHttpHeaders } from 'node:http'
import type { Outgoing } from './platform.ts'

/**
 * Writes the response; resolves when it is handed over or the client is gone.
 * @throws what the body's stream throws; the answer is then incomplete.
 */
export async function writeResponse(response: Response, outgoing: Outgoing, isHead: boolean): Promise<void> {
  const { body, status } = response
  writeHead(outgoing, status, headersOf(response))
  if (body === null || isHead || status === 204 || status === 304) {
    outgoing.end()
    await body?.cancel()
    return
  }
  await writeBody(body, outgoing)
}

function headersOf(response: Response): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {}
  for (const [name, value] of response.headers) headers[name] = value
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  return headers
}

async function writeBody(body: ReadableStream<Uint8Array>, outgoing: Outgoing): Promise<void> {
  const reader = body.getReader()
  let gone = 'stream' in outgoing ? outgoing.stream.destroyed : outgoing.destroyed
  let wake: (() => void) | null = null
  const onReady = () => {
    wake?.()
    wake = null
  }
  const onClose = () => {
    gone = true
    onReady()
    // Lets go of what the bytes come from; nobody is there to be told that it failed.
    reader.cancel().catch(() => {})
  }
  outgoing.on('drain', onReady).on('close', onClose)
  try {
    while (!gone) {
      const { done, value } = await reader.read()
      if (done) {
        if (!gone) outgoing.end()
        return
      }
      if (!write(outgoing, value) && !gone) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    outgoing.off('drain', onReady).off('close', onClose)
  }
}

// The two kinds of response overload these differently.

function writeHead(outgoing: Outgoing, status: number, headers: OutgoingHttpHeaders): void {
  if ('stream' in outgoing) outgoing.writeHead(status, headers)
  else outgoing.writeHead(status, headers)
}

function write(outgoing: Outgoing, chunk: Uint8Array): boolean {
  return 'stream' in outgoing ? outgoing.write(chunk) : outgoing.write(chunk)
}
