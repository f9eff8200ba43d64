/** Runs the suites inside another runtime and tells what came out. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Task } from './child.ts'
import type { Row } from './counts.ts'
import type { Program } from './programs.ts'
import type { Outcome } from './run.ts'

const child = new URL('child.ts', import.meta.url).pathname

/** @throws with the cases that failed, after `onRow`. */
export async function runInside(program: Program, task: Task, onRow: (row: Row) => void): Promise<void> {
  assert.ok(program.command !== null)
  const [file = '', ...args] = program.command
  const running = spawn(file, [...args, child, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  running.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)))
  const exited = once(running, 'close')
  await collect(
    program.name,
    task.server ?? task.store,
    createInterface({ input: running.stdout }),
    onRow,
    () => errors,
  )
  const [code] = (await exited) as [number | null]
  assert.equal(code, 0, errors)
}

/** Reads the lines that a run of the suites writes. */
export async function collect(
  runtime: string,
  store: string,
  lines: AsyncIterable<string>,
  onRow: (row: Row) => void,
  log: () => string,
): Promise<void> {
  const started = Date.now()
  const failures: string[] = []
  let passed = 0
  let left: number | null = null
  for await (const line of lines) {
    const outcome = JSON.parse(line) as Outcome | { readonly left: number }
    if ('left' in outcome) ({ left } = outcome)
    else if (outcome.failure === null) passed++
    else failures.push(`${outcome.title}\n${outcome.failure}`)
  }
  const seconds = (Date.now() - started) / 1000
  onRow({ runtime, store, passed, failed: failures.length, left: left ?? 0, seconds })
  assert.ok(left !== null, `${runtime} ended early, after ${passed} cases: ${log()}`)
  assert.deepEqual(failures, [], failures.join('\n\n'))
}
