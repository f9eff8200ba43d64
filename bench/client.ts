/** The requests of a tus client, each checked to be answered as it should be. */
import type { Connection } from './connection.ts'

export interface CreatedUpload {
  readonly id: string
  /** Path of its URL. */
  readonly path: string
  /** Where its bytes start in the noise. */
  readonly phase: number
}

/** Creates an upload. @param path where uploads are created, such as `/files/` */
export async function createUpload(
  connection: Connection,
  { path, length, phase }: { readonly path: string; readonly length: number; readonly phase: number },
): Promise<CreatedUpload> {
  const { status, head } = await connection.request(
    `POST ${path} HTTP/1.1\r\n${common}Upload-Length: ${length}\r\nContent-Length: 0\r\n\r\n`,
  )
  const location = /\r\nlocation: *(?:https?:\/\/[^/\r]+)?(\/[^\r]*)/i.exec(head)?.[1]
  if (status !== 201 || location === undefined) throw new Error(`POST was answered ${head}`)
  return { id: location.slice(location.lastIndexOf('/') + 1), path: location, phase }
}

/** Sends the first `sent` bytes of an upload in requests of `patch` bytes, one after the other. */
export async function patchUpload(
  connection: Connection,
  upload: CreatedUpload,
  { sent, patch }: { readonly sent: number; readonly patch: number },
): Promise<void> {
  for (let start = 0; start < sent;) {
    const end = Math.min(start + patch, sent)
    const { status, head } = await connection.request(
      `PATCH ${upload.path} HTTP/1.1\r\n${common}Upload-Offset: ${start}\r\n` +
        `Content-Type: application/offset+octet-stream\r\nContent-Length: ${end - start}\r\n\r\n`,
      { phase: upload.phase, start, end },
    )
    if (status !== 204 || offsetOf(head) !== end) throw new Error(`PATCH up to ${end} was answered ${head}`)
    start = end
  }
}

/** Asks for the offset, which must be `sent`. */
export async function headUpload(connection: Connection, upload: CreatedUpload, sent: number): Promise<void> {
  const { status, head } = await connection.request(`HEAD ${upload.path} HTTP/1.1\r\n${common}\r\n`)
  // 204 is what the Rust fileloft says.
  if ((status !== 200 && status !== 204) || offsetOf(head) !== sent) throw new Error(`HEAD was answered ${head}`)
}

const common = 'Host: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n'

function offsetOf(head: string): number {
  return Number(/\r\nupload-offset: *(\d+)/i.exec(head)?.[1] ?? Number.NaN)
}
