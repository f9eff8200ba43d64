/** What the tests of `fileloft upload` share: the command in a folder and with a state directory of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTusHandler } from '../../src/index.ts'
import { toNodeListener } from '../../src/node/index.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import { makeFile, MiB, type SourceFile, temporaryFolder } from '../clients/support.ts'
import { listen } from '../node-support.ts'
import { inherited } from '../support/environment.ts'

/** Settings of a server that takes `--parallel`. */
export const concatenation = {
  FILELOFT_ENABLE_CONCATENATION: 'true',
  FILELOFT_ENABLE_CLEANUP_CONCAT_PARTIALS: 'true',
}

export const cli = fileURLToPath(new URL('../../src/node/cli.ts', import.meta.url))

export interface Run {
  readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<{ code: number | null; urls: string[]; stderr: string }>
}

export interface Table extends AsyncDisposable {
  readonly folder: string
  /** `big.bin` in the folder, of 32 MiB and a bit. */
  readonly big: SourceFile
  /** 100,001 bytes. */
  readonly small: SourceFile
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Starts the command in the folder; its standard input is left open. */
  start(...args: string[]): Run
  /** Runs it to its end. */
  run(...args: string[]): Run['ended']
  /** Likewise, in another environment. */
  runWith(environment: Readonly<Record<string, string>>, args: readonly string[]): Run['ended']
  /** Paths of what is remembered for the next run. */
  remembered(): Promise<string[]>
}

/** A folder with files to upload and what the command remembers. */
export async function layTable(): Promise<Table> {
  const temporary = await temporaryFolder()
  const folder = temporary.path
  const state = join(folder, 'state')
  const environment = { ...inherited, XDG_STATE_HOME: state }
  const start = (...args: string[]): Run => startWith({}, args)
  const startWith = (more: Readonly<Record<string, string>>, args: readonly string[]): Run => {
    const env = { ...environment, ...more }
    const child = spawn(process.execPath, [cli, 'upload', ...args], { cwd: folder, env })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => void (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()))
    const ended = once(child, 'close').then(([code]) => ({
      code: code as number | null,
      urls: stdout.split('\n').slice(0, -1),
      stderr,
    }))
    return { child, ended }
  }
  return {
    folder,
    big: await makeFile(join(folder, 'big.bin'), 32 * MiB + 123),
    small: await makeFile(join(folder, 'small file ü.bin'), 100_001),
    environment,
    start,
    run: (...args) => start(...args).ended,
    runWith: (more, args) => startWith(more, args).ended,
    async remembered() {
      const directory = join(state, 'fileloft', 'uploads')
      if (!existsSync(directory)) return []
      return (await readdir(directory)).map((name) => join(directory, name))
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
}

export interface Asked {
  readonly method: string
  readonly headers: Headers
}

/** A server that writes down what it is asked, and refuses what `check` throws for. */
export async function watchedServer(check: (request: Request) => void = () => {}) {
  const asked: Asked[] = []
  const store = memoryStore()
  const handler = createTusHandler({
    path: '/files',
    store,
    onRequest({ request }) {
      asked.push({ method: request.method, headers: request.headers })
      check(request)
    },
  })
  const server = createServer(toNodeListener(handler))
  const port = await listen(server)
  const url = `http://127.0.0.1:${port}/files`
  return { asked, url, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}
