import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { FileUpload } from '../../src/files/record.ts'
import type { NewUpload, Store } from '../../src/store.ts'
import { planned } from '../support/planned.ts'

/** New empty folders, removed after the tests of the file. */
export function folders(): () => string {
  const root = fs.mkdtempSync(join(tmpdir(), 'fileloft-fs-'))
  after(() => fs.rmSync(root, { recursive: true, force: true }))
  let count = 0
  return () => {
    const path = join(root, String(++count))
    fs.mkdirSync(path)
    return path
  }
}

/** A file system of its own, a few MiB large, or the reason why there is none. */
export function mountTmpfs(path: string, size: string): { unmount(): void; readOnly(): void } | string {
  if (process.platform !== 'linux') return 'tmpfs needs Linux'
  if (process.getuid?.() !== 0) return 'mounting a tmpfs needs root'
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path])
  return {
    unmount: () => void execFileSync('umount', [path]),
    readOnly: () => void execFileSync('mount', ['-o', 'remount,ro', path]),
  }
}

/** A body of these chunks; an error among them is thrown in its turn. */
export async function* bodyOf(...chunks: (string | Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    if (chunk instanceof Error) throw chunk
    yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
  }
}

/** Bytes that show where they belong. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    bytes[i] = state >> 16
  }
  return bytes
}

/** A complete upload with these bytes. */
export async function stored(
  store: Store<FileUpload>,
  id: string,
  bytes: string | Uint8Array,
  more: Partial<NewUpload> = {},
): Promise<FileUpload> {
  const upload = await store.create(planned(id, { length: bytes.length, ...more }))
  return store.update(await store.append(upload, bodyOf(bytes)), { completed: true })
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Whether a failure is a `StoreError` with this code and says this. */
export function storeError(code: string, message = /./): (error: unknown) => boolean {
  return (error) =>
    error instanceof Error &&
    'code' in error &&
    error.name === 'StoreError' &&
    error.code === code &&
    message.test(error.message)
}

export async function list<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

/** Paths of all files that this process has open. Linux only. */
export function openFiles(): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // The descriptor of this very look.
      return []
    }
  })
}

/** Names of the files, without folders, in a folder. */
export function files(folder: string): string[] {
  return fs.readdirSync(folder).filter((name) => fs.statSync(join(folder, name)).isFile())
}

export const never = (): AbortSignal => new AbortController().signal
export const soon = (ms: number): AbortSignal => AbortSignal.timeout(ms)

/** Lets what is ready run. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
