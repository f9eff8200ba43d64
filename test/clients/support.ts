/** What the tests with real clients share: source files, what the server stored, and what it answered. */
import assert from 'node:assert/strict'
import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileStore } from '../../src/stores/fs.ts'
import type { TestServer } from '../support/server.ts'

export const MiB = 1024 * 1024

/** A temporary folder; `await using` removes it. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'fileloft-client-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

export interface SourceFile {
  readonly path: string
  readonly size: number
  /** In hexadecimal. */
  readonly sha256: string
}

/** Writes a file of `size` bytes that look random and are the same in every run: a key stream of AES. */
export async function makeFile(path: string, size: number): Promise<SourceFile> {
  const cipher = createCipheriv('aes-128-ctr', 'fileloft test 01', Buffer.alloc(16))
  const zeros = Buffer.alloc(4 * MiB)
  const hash = createHash('sha256')
  await using file = await open(path, 'w')
  for (let written = 0; written < size; written += zeros.length) {
    const bytes = cipher.update(zeros.subarray(0, Math.min(zeros.length, size - written)))
    hash.update(bytes)
    await file.writeFile(bytes)
  }
  return { path, size, sha256: hash.digest('hex') }
}

/** Of a file or a stream, in hexadecimal. */
export async function sha256(source: string | AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  const stream = typeof source === 'string' ? createReadStream(source, { highWaterMark: MiB }) : source
  for await (const chunk of stream) hash.update(chunk)
  return hash.digest('hex')
}

/** `count` points between `from` and `to`, ascending, the same for the same seed. */
export function seededPoints(seed: string, count: number, from: number, to: number): number[] {
  const point = (i: number) =>
    from + (createHash('sha256').update(`${seed} ${i}`).digest().readUInt32BE() / 2 ** 32) * (to - from)
  return Array.from({ length: count }, (_, i) => Math.floor(point(i))).sort((a, b) => a - b)
}

/** The upload's id, out of its URL. */
export function idOf(url: string | null): string {
  const id = new URL(url ?? assert.fail('the upload has no URL')).pathname.split('/').at(-1)
  return id === undefined || id === '' ? assert.fail(`no id in ${url}`) : id
}

/** Ids of all uploads in the server's folder. */
export async function storedIds(server: TestServer): Promise<string[]> {
  const names = await readdir(server.dataDir)
  return names.filter((name) => name.endsWith('.info')).map((name) => name.slice(0, -'.info'.length))
}

/** Asserts that the upload is completed and that its file in the server's folder is the source, byte for byte. */
export async function assertStored(server: TestServer, url: string | null, source: SourceFile): Promise<void> {
  const id = idOf(url)
  assert.equal(await sha256(join(server.dataDir, id)), source.sha256, 'sha256 of the stored file')
  const record = await fileStore({ directory: server.dataDir }).get(id)
  assert.equal(record?.length, source.size, 'length in the record')
  assert.equal(record.completed, true, 'completed in the record')
}

/** An answer that a client was given. */
export interface Answer {
  readonly method: string
  readonly url: string
  readonly status: number
  /** `Upload-Offset`, where the answer has it. */
  readonly offset: number | null
}

/** Asserts that no answer about an upload told an offset behind one told before. */
export function assertOffsetsNeverGoBack(answers: readonly Answer[]): void {
  const told = new Map<string, number>()
  for (const { method, url, status, offset } of answers) {
    if (offset === null) continue
    // A POST with data tells the offset of what its Location names, not of its own URL.
    if (method === 'POST') continue
    const before = told.get(url) ?? 0
    assert.ok(offset >= before, `${method} ${url} answered ${status} with offset ${offset}, after ${before}`)
    told.set(url, offset)
  }
}

/** How many answers there were to the method, optionally with this status. */
export function countAnswers(answers: readonly Answer[], method: string, status?: number): number {
  return answers.filter((answer) => answer.method === method && (status ?? answer.status) === answer.status).length
}

/** HEAD, asked by this test itself, past every proxy. */
export async function head(server: TestServer, url: string): Promise<{ status: number; offset: number | null }> {
  const target = server.origin + new URL(url).pathname
  const response = await fetch(target, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
  const offset = response.headers.get('upload-offset')
  return { status: response.status, offset: offset === null ? null : Number(offset) }
}
