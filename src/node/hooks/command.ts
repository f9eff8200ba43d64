import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { HookError, reasonOf } from './failure.ts'
import { maxAnswerBytes, type Message, type Transport } from './transport.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * A program for each event: the file in this folder that is named after it.
 * @param environment What the programs find in theirs, besides what is about the event.
 * @throws Error when there is no such folder.
 */
export function commandTransport(directory: string, environment: Environment): Transport {
  const folder = resolve(directory)
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Error(`The hooks cannot be run: ${folder} is no directory`)
  }
  return {
    name: folder,
    // Looked up each time: programs may come and go while the server runs.
    handles: (type) => statSync(join(folder, type), { throwIfNoEntry: false }) !== undefined,
    send: (message, signal) => run(folder, message, environment, signal),
  }
}

/**
 * Runs a program between two pipes and ends as it does. Node gives its children sockets, and what scripts do with pipes
 * fails with those on Linux: to open `/dev/stdin` or `/dev/stdout`.
 */
const betweenPipes = `exec 3>&1
code=$( { { command -p cat 2>/dev/null | "$0" 3>&- 4>&-; echo $? >&4; } | command -p cat >&3 3>&- 4>&-; } 4>&1 )
exit "$code"`

async function run(folder: string, message: Message, environment: Environment, signal: AbortSignal): Promise<string> {
  if (signal.aborted) throw new HookError(reasonOf(signal.reason))
  const program = join(folder, message.type)
  try {
    await access(program, constants.X_OK)
  } catch (error) {
    throw new HookError(`it cannot be run: ${reasonOf(error)}`, { cause: error })
  }
  // Nobody listened meanwhile.
  if (signal.aborted) throw new HookError(reasonOf(signal.reason))
  const child = spawn('/bin/sh', ['-c', betweenPipes, program], {
    cwd: folder,
    env: { ...environment, ...aboutUpload(message.body) },
    // What it writes to stderr stands beside our own log.
    stdio: ['pipe', 'pipe', 'inherit'],
    // A group of its own, so that what it has started ends with it.
    detached: true,
  })
  const end = () => {
    kill(child.pid)
    // A child in a session of its own may hold them for ever.
    child.stdout.destroy()
    child.stdin.destroy()
  }
  signal.addEventListener('abort', end, { once: true })
  const pieces: Buffer[] = []
  let size = 0
  child.stdout.on('data', (piece: Buffer) => {
    size += piece.length
    if (size > maxAnswerBytes) end()
    else pieces.push(piece)
  })
  // A program need not read what it is told.
  child.stdin.on('error', () => undefined).end(message.body)
  try {
    const [code, killed] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    if (signal.aborted) throw new HookError(reasonOf(signal.reason))
    if (size > maxAnswerBytes) throw new HookError(`its answer has more than ${maxAnswerBytes} bytes`)
    if (code !== 0) throw new HookError(`it ended with ${killed ?? `exit code ${code}`}`)
    return Buffer.concat(pieces).toString()
  } catch (error) {
    if (error instanceof HookError) throw error
    throw new HookError(`it cannot be run: ${reasonOf(error)}`, { cause: error })
  } finally {
    signal.removeEventListener('abort', end)
  }
}

function kill(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** The same as in the JSON, for shell scripts. */
function aboutUpload(body: string): Record<string, string> {
  const { Event } = JSON.parse(body) as { Event: { Upload: { ID: string; Size: number; Offset: number } } }
  const { ID, Size, Offset } = Event.Upload
  return { TUS_ID: ID, TUS_SIZE: String(Size), TUS_OFFSET: String(Offset) }
}
