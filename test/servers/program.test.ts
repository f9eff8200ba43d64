import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type ProgramOptions, startProgram } from './program.ts'

const server = `
const server = require('node:http').createServer((req, res) => res.end(process.env.HOME + ' ' + process.pid))
server.listen(Number(process.argv[1]), '127.0.0.1', () => console.log('bound to :' + server.address().port))`

const options: ProgramOptions = {
  name: 'The program',
  command: process.execPath,
  args: ({ port }) => ['-e', server, String(port)],
  ready: { path: '/' },
}

/** Its folder and its process id. */
async function ask(port: number): Promise<{ folder: string; pid: number }> {
  const [folder = '', pid] = (await (await fetch(`http://127.0.0.1:${port}/`)).text()).split(' ')
  return { folder, pid: Number(pid) }
}

/** Whether the process runs: one that has ended, but that nobody has waited for yet, does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^\d+ \(.*\) Z/.test(existsSync('/proc/self') ? readFileSync(`/proc/${pid}/stat`, 'latin1') : '')
  } catch {
    return false
  }
}

void test('a program is up when it answers, and gone with its folder once stopped', async () => {
  const program = await startProgram(options)
  const { folder, pid } = await ask(program.port)
  assert.ok(runs(pid) && existsSync(folder))
  await program.stop()
  assert.ok(!runs(pid) && !existsSync(folder))
  await program.stop()
})

void test('a program that names its port is up when it has done so', async () => {
  await using program = await startProgram({
    ...options,
    args: () => ['-e', server, '0'],
    ready: { line: /bound to :(\d+)/ },
  })
  assert.ok((await ask(program.port)).pid > 0)
})

void test('a program that ends before it is up: an error with its output', async () => {
  const args = () => ['-e', 'console.error("no such disk"); process.exit(3)']
  await assert.rejects(startProgram({ ...options, args }), /The program ended \(3\)\. Its output:\nno such disk/)
})

void test('a program that is not there: an error', async () => {
  await assert.rejects(startProgram({ ...options, command: '/nonexistent/program' }), /The program ended \(127\)/)
})

void test('a program dies with the process that started it, however that ends, and keeps it from nothing', async () => {
  const code = `
    const { startProgram } = await import(${JSON.stringify(new URL('program.ts', import.meta.url).href)})
    const program = await startProgram({ ...${JSON.stringify(options)}, args: ({ port }) => ['-e', ${JSON.stringify(server)}, port] })
    const answer = await fetch('http://127.0.0.1:' + program.port, { headers: { Connection: 'close' } })
    console.log(await answer.text())
    if (process.argv[1] !== 'ends') setInterval(() => undefined, 1000)`
  for (const how of ['ends', 'SIGKILL', 'SIGTERM', 'SIGINT'] as const) {
    const stdio = ['ignore', 'pipe', 'inherit'] as const
    const owner = spawn(process.execPath, ['--input-type=module', '-e', code, how], { stdio: [...stdio] })
    const ended = once(owner, 'exit')
    const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string]
    const [folder = '', pid] = line.split(' ')
    if (how !== 'ends') owner.kill(how)
    await ended
    const deadline = performance.now() + 10_000
    while (runs(Number(pid)) || existsSync(folder)) {
      assert.ok(performance.now() < deadline, `${how}: the program runs on, or its folder is left`)
      await delay(10)
    }
  }
})
