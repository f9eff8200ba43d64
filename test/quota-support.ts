/** What clients send whose limits are tested. */
import { tus } from './cli-support.ts'
import { patchHead, type RawClient, rawClient } from './node-support.ts'
import type { TestServer } from './support/server.ts'

export const octets = { 'Content-Type': 'application/offset+octet-stream' }

/** A PATCH whose body stands still after its first bytes, which the server has stored or is about to. */
export async function stall(server: TestServer, url: string, headers = '', length = 1000): Promise<RawClient> {
  const client = await rawClient(server.port)
  client.socket.write(patchHead(url, length, `${headers}Expect: 100-continue\r\n`))
  // The body is asked for: the request has its place.
  await client.until(/^HTTP\/1\.1 100 /)
  client.socket.write('hello')
  return client
}

export const patch = (url: string, body: string | Buffer, headers: Record<string, string> = {}, offset = 0) =>
  fetch(url, {
    method: 'PATCH',
    headers: { ...tus, ...octets, 'Upload-Offset': String(offset), ...headers },
    body: new Uint8Array(Buffer.from(body)),
  })

/** Settings under which a client may send 64 KiB. */
export const little = { FILELOFT_MAX_BYTES_PER_CLIENT: '64KiB', FILELOFT_MAX_BYTES_PERIOD: '3600' }

/** Sends a body piece by piece until it is answered, each piece once the one before is out; tells how much that was. */
export async function pour(client: RawClient, piece: string, most: number): Promise<{ answer: string; sent: number }> {
  let sent = 0
  let answered = false
  const answer = client.until(/HTTP\/1\.1 (?!100)[^]*\r\n\r\n/).finally(() => (answered = true))
  while (!answered && sent < most) {
    sent += piece.length
    await new Promise((resolve) => client.socket.write(piece, resolve))
  }
  return { answer: await answer, sent }
}

/** What a server may read at once: of a long body. */
export const chunk = 512 * 1024
