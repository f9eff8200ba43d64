/** The curl command, as a user types it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'

export interface CurlRun {
  readonly pid: number | undefined
  /** Settles when curl has ended. */
  readonly done: Promise<CurlResult>
  kill(signal: NodeJS.Signals): void
}

export interface CurlResult {
  /** curl's own exit code, null when it was killed. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** The headers of a PATCH. */
export function patchHeaders(offset: number): string[] {
  return headers({ 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': offset })
}

/** `-H` for each header, and for Tus-Resumable. */
export function headers(named: Readonly<Record<string, string | number>> = {}): string[] {
  return Object.entries({ 'Tus-Resumable': '1.0.0', ...named }).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
}

/** Starts `curl -sS ARGS`; stdin is the file from `offset` on, as `tail -c` would write it, or nothing. */
export function startCurl(args: readonly string[], stdin?: { path: string; offset: number }): CurlRun {
  const child = spawn('curl', ['-sS', ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  // curl may stop reading when it is refused.
  child.stdin.on('error', () => {})
  if (stdin === undefined) child.stdin.end()
  else createReadStream(stdin.path, { start: stdin.offset }).pipe(child.stdin)
  const done = new Promise<CurlResult>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(stdout), stderr }))
  })
  return { pid: child.pid, done, kill: (signal) => void child.kill(signal) }
}

/** An answer as `curl -i` prints it: status, headers in lower case, body. */
export interface CurlAnswer {
  /** `1.1` or `2` */
  readonly version: string
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
  /** Interim answers (100) before it. */
  readonly interim: readonly number[]
}

/**
 * Runs `curl -i ARGS` and reads its answer.
 * @throws AssertionError when curl fails.
 */
export async function curl(args: readonly string[], stdin?: { path: string; offset: number }): Promise<CurlAnswer> {
  const { code, stdout, stderr } = await startCurl(['-i', ...args], stdin).done
  assert.equal(code, 0, `curl ${args.join(' ')} ended with ${code}: ${stderr}`)
  const interim: number[] = []
  let rest = stdout.toString('latin1')
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    assert.ok(end > 0, `no HTTP answer: ${rest}`)
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n')
    const [, version = '', digits] = /^HTTP\/([\d.]+) (\d{3})/.exec(statusLine) ?? assert.fail(statusLine)
    const status = Number(digits)
    rest = rest.slice(end + 4)
    if (status < 200) {
      interim.push(status)
      continue
    }
    return { version, status, headers: new Map(lines.map(splitHeader)), body: rest, interim }
  }
}

/**
 * Creates an upload and returns its URL.
 * @throws AssertionError when it is not answered 201 with a Location.
 */
export async function createWithCurl(url: string, length: number, args: readonly string[] = []): Promise<string> {
  const answer = await curl([...args, '-X', 'POST', url, ...headers({ 'Upload-Length': length })])
  assert.equal(answer.status, 201, answer.body)
  return answer.headers.get('location') ?? assert.fail('no Location')
}

/** Asks HEAD for the offset. */
export async function offsetWithCurl(url: string, args: readonly string[] = []): Promise<number> {
  const answer = await curl([...args, '-I', url, ...headers()])
  assert.equal(answer.status, 200)
  return Number(answer.headers.get('upload-offset') ?? assert.fail('no Upload-Offset'))
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
}
