/** `fileloft upload`: a tus client for terminals. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { stateDirectory } from '../config.ts'
import { readUploadArguments, type UploadArguments, uploadHelp } from './arguments.ts'
import { createDisplay, type Display } from './display.ts'
import { explainError, UploadError } from './explain.ts'
import { createHttpStack } from './http-stack.ts'
import { createPlaces } from './places.ts'
import { send, type Sent } from './send.ts'
import { askServer, checkAbilities, type ServerInfo } from './server-info.ts'
import { openSource, type Source } from './source.ts'
import { formatDuration, formatSize } from './units.ts'

const codes = { SIGINT: 130, SIGTERM: 143 } as const

/**
 * Uploads what the arguments name, one file after the other; a failure does not keep the others from going.
 * @returns the exit code: 0 all uploaded, 1 an upload failed, 130 or 143 interrupted.
 * @throws ConfigError for wrong use.
 */
export async function upload(words: readonly string[]): Promise<number> {
  // What cannot be written must not end it: an upload is worth more.
  for (const output of [process.stdout, process.stderr]) output.on('error', () => {})
  const args = readUploadArguments(words)
  if (args === null) {
    process.stdout.write(uploadHelp)
    return 0
  }
  const interruption = new AbortController()
  let code = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // The second one does not wait for anything.
      if (interruption.signal.aborted) process.exit(codes[signal])
      code = codes[signal]
      interruption.abort()
    })
  }
  const failed = await uploadAll(args, interruption.signal)
  // A producer that goes on writing would keep this process.
  process.stdin.destroy()
  return code === 0 && failed > 0 ? 1 : code
}

/** @returns how many were not uploaded. */
async function uploadAll(args: UploadArguments, signal: AbortSignal): Promise<number> {
  const stack = createHttpStack(args.checksum)
  const server = await askServer(stack, args, signal).catch((error: unknown) => {
    process.stderr.write(`fileloft: ${explainError(error)}\n`)
    return null
  })
  if (server === null) return args.files.length
  let failed = 0
  for (const path of args.files) {
    if (signal.aborted) break
    const isDone = await uploadOne(path, { args, stack, server, signal })
    if (!isDone) failed++
  }
  return failed
}

async function uploadOne(
  path: string,
  {
    args,
    stack,
    server,
    signal,
  }: Pick<Parameters<typeof send>[1], 'args' | 'stack' | 'signal'> & { server: ServerInfo },
): Promise<boolean> {
  const display = createDisplay(path === '-' ? 'standard input' : path, process.stderr)
  const started = performance.now()
  try {
    const source = openSource(path)
    checkAbilities(server, args)
    checkSize(source, server)
    let isRemembered = true
    const places = createPlaces(join(stateDirectory(), 'uploads'), (error) => {
      // With parts it is written again and again.
      if (isRemembered)
        display.note(`where it is cannot be remembered: ${error instanceof Error ? error.message : String(error)}`)
      isRemembered = false
    })
    const sent = await send(source, { args, stack, places, display, signal })
    if (sent === null) {
      const goesOn = source.size !== null && isRemembered
      display.end(goesOn ? 'interrupted; the same command goes on' : 'interrupted')
      return false
    }
    checkSame(path, source)
    display.end(`uploaded, ${formatSize(sent.size)} in ${describe(sent, performance.now() - started)}`)
    return await tell(sent.url, display)
  } catch (error) {
    display.end(`not uploaded: ${explainError(error)}`)
    return false
  }
}

/** Writes the URL where programs expect it; false when nobody takes it. */
async function tell(url: string, display: Display): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<Error | null | undefined>()
  process.stdout.write(`${url}\n`, resolve)
  const error = await promise
  if (error === null || error === undefined) return true
  display.note(`${url} cannot be written to standard output: ${explainError(error)}`)
  return false
}

/** How long it took and how fast that was. */
function describe({ size, before }: Sent, ms: number): string {
  const seconds = ms / 1000
  const duration = seconds < 10 ? `${seconds.toFixed(1)} s` : formatDuration(seconds)
  const isMuch = size - before >= 1024 * 1024
  return isMuch ? `${duration} (${formatSize((size - before) / seconds)}/s)` : duration
}

function checkSize({ size }: Source, { maxSize }: ServerInfo): void {
  if (size !== null && maxSize !== null && size > maxSize) {
    throw new UploadError(`it has ${formatSize(size)}; the server takes ${formatSize(maxSize)} at most`)
  }
}

/** Parts of two versions of a file are no file. Of one that is gone by now all was read before. */
function checkSame(path: string, source: Source): void {
  if (source.identity !== null && existsSync(path) && openSource(path).identity !== source.identity) {
    throw new UploadError('it was changed while it was sent; what the server has may be of both versions')
  }
}
