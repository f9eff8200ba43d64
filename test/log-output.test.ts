/** The log where it cannot be written as fast as it comes, or not at all. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type LogOutput, openLogOutput } from '../src/node/log-output.ts'
import { createLogs } from '../src/node/logger.ts'
import { temporaryDirectory } from './cli-support.ts'
import { inherited } from './support/environment.ts'

const linux = process.platform === 'linux' ? {} : { skip: 'needs /dev/full' }

/** A pipe that this process reads when it likes; it takes 64 KiB, and waits for nobody. */
function openPipe() {
  const directory = temporaryDirectory()
  const path = join(directory.path, 'pipe')
  execFileSync('mkfifo', [path])
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const buffer = Buffer.alloc(1024 * 1024)
  return {
    fd,
    read(most = buffer.length): string {
      try {
        return buffer.toString('utf8', 0, readSync(fd, buffer, 0, most, null))
      } catch {
        return ''
      }
    },
    [Symbol.dispose]() {
      closeSync(fd)
      directory[Symbol.dispose]()
    },
  }
}

/** Reads until nothing waits: what goes on after a test would be in the way of the next one. */
async function readAll(pipe: ReturnType<typeof openPipe>, output: LogOutput): Promise<string> {
  let isDone = false
  const done = output.flush().then(() => (isDone = true))
  let text = ''
  while (!isDone) {
    text += pipe.read()
    await new Promise(setImmediate)
  }
  await done
  return text + pipe.read()
}

function lines(from: number, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, index) => `${from + index} ${'x'.repeat(1000)}\n`).join(''))
}

test('a reader that comes back late: all that fits is there, whole and in order; what did not is told', async () => {
  using pipe = openPipe()
  const lost: number[] = []
  const output = openLogOutput({ fd: pipe.fd, mostBytes: 256 * 1024, onLost: (count) => lost.push(count) })
  for (let from = 0; from < 1000; from += 20) output.write(lines(from, 20))
  const text = await readAll(pipe, output)
  const [count = 0] = lost
  const numbers = text.trimEnd().split('\n')
  assert.ok(count > 500 && count < 1000, `${count} of 1000 are lost`)
  assert.deepEqual(
    numbers,
    lines(0, 1000 - count)
      .toString()
      .trimEnd()
      .split('\n'),
  )
  assert.deepEqual(lost, [count], 'told once')
})

test('a reader that is slow, and one that stands still: only for the latter no flush waits', async () => {
  using pipe = openPipe()
  const output = openLogOutput({ fd: pipe.fd, onLost: () => {} })
  for (let from = 0; from < 400; from += 20) output.write(lines(from, 20))
  const slow = setInterval(() => pipe.read(), 70)
  assert.equal(await output.flush(300), true)
  clearInterval(slow)
  for (let from = 0; from < 200; from += 20) output.write(lines(from, 20))
  assert.equal(await output.flush(300), false)
  await readAll(pipe, output)
})

test('lines that keep coming while a slow reader reads: at the end they are not taken any more', async () => {
  using pipe = openPipe()
  const output = openLogOutput({ fd: pipe.fd, onLost: () => {} })
  output.write(lines(0, 200))
  output.end()
  let text = ''
  const busy = setInterval(() => {
    text += pipe.read(20_000)
    output.write(lines(0, 20))
  }, 5)
  const isDone = await Promise.race([output.flush(), delay(5_000, false, { ref: false })])
  clearInterval(busy)
  text += await readAll(pipe, output)
  assert.equal(isDone, true)
  assert.equal(text, lines(0, 200).toString())
})

test('a reader that takes bit by bit from a pipe that waits for nobody: it is not kept waiting', async () => {
  using pipe = openPipe()
  const output = openLogOutput({ fd: pipe.fd, onLost: () => {} })
  const started = performance.now()
  for (let n = 0; n < 64; n++) output.write(Buffer.from(`${'x'.repeat(65_535)}\n`))
  let size = 0
  while (size < 64 * 65_536) {
    size += pipe.read(16 * 1024).length
    await delay(1)
  }
  await output.flush()
  const tookMs = performance.now() - started
  assert.ok(tookMs < 2000, `4 MiB took ${tookMs} ms`)
})

test('the end of the process while a reader is slow: what waits is tried for a second, and no longer', async () => {
  using pipe = openPipe()
  const output = openLogOutput({ fd: pipe.fd, onLost: () => {} })
  for (let from = 0; from < 200; from += 20) output.write(lines(from, 20))
  const since = performance.now()
  output.flushNow()
  assert.ok(performance.now() - since < 5_000)
  await readAll(pipe, output)
})

test('the end of the process while a reader takes bit by bit: a second for all that waits', async (t) => {
  using pipe = openPipe()
  const fs = (await import('node:fs')).default
  let tries = 0
  const mocked = t.mock.method(fs, 'writeSync', ((_fd: number, bytes: Uint8Array) => {
    if (tries++ % 2 === 0) throw Object.assign(new Error('EAGAIN'), { code: 'EAGAIN' })
    return Math.min(bytes.byteLength, 5_000)
  }) as never)
  const output = openLogOutput({ fd: pipe.fd, onLost: () => {} })
  for (let from = 0; from < 400; from += 20) output.write(lines(from, 20))
  const since = performance.now()
  output.flushNow()
  const tookMs = performance.now() - since
  assert.ok(tookMs > 500 && tookMs < 2_000, `${tookMs} ms`)
  mocked.mock.restore()
  await readAll(pipe, output)
})

test('lines that are lost before the end: their number is told after it', async () => {
  using pipe = openPipe()
  const output: LogOutput = openLogOutput({
    fd: pipe.fd,
    mostBytes: 256 * 1024,
    onLost: (count) => output.write(Buffer.from(`lost ${count}\n`)),
  })
  for (let from = 0; from < 1000; from += 20) output.write(lines(from, 20))
  output.end()
  assert.match(await readAll(pipe, output), /\nlost \d{3}\n$/)
})

test('a full disk: what is logged is lost and not kept, and nobody waits for it', linux, async () => {
  const fd = openSync('/dev/full', 'w')
  const lost: number[] = []
  const output = openLogOutput({ fd, mostBytes: 64 * 1024, onLost: (count) => lost.push(count) })
  for (let from = 0; from < 1000; from += 20) {
    output.write(lines(from, 20))
    await output.flush()
  }
  output.write(lines(0, 20))
  assert.deepEqual(lost, [], 'there is nowhere to tell it')
  output.flushNow()
  assert.deepEqual(lost, [1000], 'tried at the end')
  closeSync(fd)
})

test('a line that broke off for want of space: the next one begins on a line of its own', async (t) => {
  using pipe = openPipe()
  const fs = (await import('node:fs')).default
  type Write = (fd: number, bytes: Uint8Array, done: (error: Error | null, count: number) => void) => void
  const write = fs.write as Write
  const codes = ['', 'ENOSPC', 'ENOSPC', 'EAGAIN', 'EAGAIN']
  const failing: Write = (fd, bytes, done) => {
    const code = codes.shift()
    if (code !== undefined && code !== '') setImmediate(() => done(Object.assign(new Error(code), { code }), 0))
    else write(fd, code === '' ? bytes.subarray(0, 3) : bytes, done)
  }
  t.mock.method(fs, 'write', failing as never)
  const lost: number[] = []
  const output = openLogOutput({ fd: pipe.fd, onLost: (count) => lost.push(count) })
  output.write(Buffer.from('first\nsecond\n'))
  output.write(Buffer.from('third\n'))
  output.write(Buffer.from('fourth\n'))
  await output.flush()
  assert.equal(pipe.read(), 'fir\nfourth\n')
  assert.deepEqual(lost, [3])
})

test('the log of a process with a slow reader: each line is there, or counted as lost', async () => {
  using pipe = openPipe()
  const logs = createLogs({ filter: [], format: 'json', colors: false, fd: pipe.fd })
  let written = 0
  let text = ''
  for (let round = 0; round < 60; round++) {
    for (let count = 0; count < 200; count++)
      logs.server.info({ n: written++, x: 'x'.repeat((written * 37) % 4000) }, 'line')
    text += pipe.read(4000)
    await delay(2)
  }
  let isDone = false
  const done = logs.end().then(() => (isDone = true))
  while (!isDone) {
    text += pipe.read()
    await new Promise(setImmediate)
  }
  await done
  text += pipe.read()
  const found = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string; n?: number; lines?: number })
  const told = found.filter(({ msg }) => msg.startsWith('lines of the log are lost'))
  assert.ok(told.length > 0 && told.length < 5, `told ${told.length} times`)
  const lost = told.reduce((sum, { lines: count = 0 }) => sum + count, 0)
  assert.equal(found.filter(({ msg }) => msg === 'line').length + lost, written)
})

test('a process that ends by itself while the thread pool is busy: the last lines are written', () => {
  const logger = new URL('../src/node/logger.ts', import.meta.url).href
  const { stdout } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { pbkdf2 } from 'node:crypto'
       import { createLogs } from '${logger}'
       process.on('exit', () => {
         for (let n = 0; n < 8; n++) pbkdf2('a', 'b', 100_000, 64, 'sha512', () => {})
       })
       createLogs({ filter: [], format: 'json', colors: false, fd: 1 }).server.info('the last line')`,
    ],
    { encoding: 'utf8', env: inherited },
  )
  assert.match(stdout, /"msg":"the last line"/)
})
