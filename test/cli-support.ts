import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inherited } from './support/environment.ts'

/** The command, from the sources. */
export const cli = fileURLToPath(new URL('../src/node/cli.ts', import.meta.url))

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly address: string
  readonly [field: string]: unknown
}

/** A directory that goes away with the test. */
export function temporaryDirectory(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'fileloft-test-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export interface Server extends AsyncDisposable {
  readonly process: ChildProcess
  /** `http://127.0.0.1:1234` */
  readonly origin: string
  readonly port: number
  /** Resolves with the first line, also of those logged already, that the condition likes. */
  line(condition: (line: LogLine) => boolean): Promise<LogLine>
  /** Everything written to stdout and stderr. */
  output(): string
  /** Resolves with the exit code when the process is gone and its output read. */
  readonly exit: Promise<number | null>
}

/** Starts the command and waits for its start line. */
export async function startCli(environment: Record<string, string>, args: string[] = []): Promise<Server> {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...inherited, FILELOFT_BIND: '127.0.0.1:0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      for (const listener of listeners) listener()
    })
  }
  const exit = once(child, 'close').then(([code]) => code as number | null)
  const line = (condition: (line: LogLine) => boolean) =>
    new Promise<LogLine>((resolve, reject) => {
      const look = () => {
        const found = parseLines(output).find(condition)
        if (found === undefined) return
        listeners.delete(look)
        resolve(found)
      }
      listeners.add(look)
      void exit.then(() => reject(new Error(`exited without that line:\n${output}`)))
      look()
    })
  const { address } = await line(({ msg }) => msg === 'listening')
  return {
    process: child,
    origin: address,
    port: Number(/:(\d+)$/.exec(address)?.[1]),
    line,
    output: () => output,
    exit,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exit
    },
  }
}

function parseLines(output: string): LogLine[] {
  return output
    .split('\n')
    .slice(0, -1)
    .filter((text) => text.startsWith('{'))
    .map((text) => JSON.parse(text) as LogLine)
}

/** Runs the command to its end. */
export async function runCli(
  args: string[],
  environment: Record<string, string> = {},
  cwd = tmpdir(),
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [cli, ...args], {
    cwd,
    env: { ...inherited, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => void (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

/** Makes a key and a certificate for 127.0.0.1 and localhost. */
export function makeCertificate(directory: string, name: string): { cert: string; key: string } {
  const cert = join(directory, `${name}.crt`)
  const key = join(directory, `${name}.key`)
  const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'.split(' ')
  execFileSync(
    'openssl',
    [
      ...args,
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=IP:127.0.0.1,DNS:localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  )
  return { cert, key }
}

export const tus = { 'Tus-Resumable': '1.0.0' }

/** Creates an upload and returns its URL. */
export async function createUpload(
  origin: string,
  length: number,
  headers: Record<string, string> = {},
): Promise<string> {
  const answer = await fetch(`${origin}/files`, {
    method: 'POST',
    headers: { ...tus, 'Upload-Length': String(length), ...headers },
  })
  await answer.body?.cancel()
  const location = answer.headers.get('location')
  if (answer.status !== 201 || location === null) throw new Error(`POST answered ${answer.status}`)
  return location
}

/** Asks with curl, and returns the answer with its head. @throws Error when there is none. */
export const curl = (...args: string[]): string => execFileSync('curl', ['-s', '-i', ...args], { encoding: 'utf8' })
