/** Lines of the log on their way, gathered. */
import assert from 'node:assert/strict'
import { openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { mock, test } from 'node:test'
import { parseFilter } from '../src/node/filter.ts'
import { lineBatches } from '../src/node/line-batches.ts'
import { createLogs } from '../src/node/logger.ts'
import { temporaryDirectory } from './cli-support.ts'

test('lineBatches: all lines, whole and in order, of any length and script; what was sent stays as it was', () => {
  const sent: Uint8Array[] = []
  const lines = lineBatches((batch) => sent.push(batch))
  const written: string[] = []
  for (let n = 0; n < 2000; n++) {
    const text = ['x', 'ü', '€', '😀'][n % 4]!.repeat(n === 500 ? 100_000 : n % 97)
    const line = `${n} ${text}\n`
    written.push(line)
    lines.write(n % 3 === 0 ? Buffer.from(line) : line)
  }
  lines.flush()
  lines.flush()
  assert.equal(Buffer.concat(sent).toString(), written.join(''))
  assert.ok(sent.length > 3 && sent.length < 50, `${sent.length} batches`)
  for (const batch of sent) assert.equal(batch.at(-1), '\n'.charCodeAt(0), 'a batch ends within a line')
})

test('lineBatches: a line that is alone is sent after a tenth of a second', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const sent: string[] = []
    const lines = lineBatches((batch) => sent.push(Buffer.from(batch).toString()))
    lines.write('one\n')
    mock.timers.tick(99)
    lines.write('two\n')
    assert.deepEqual(sent, [])
    mock.timers.tick(1)
    assert.deepEqual(sent, ['one\ntwo\n'])
  } finally {
    mock.timers.reset()
  }
})

for (const format of ['text', 'json'] as const) {
  test(`lines that another thread has logged, as ${format}: written like those of this one`, async () => {
    using directory = temporaryDirectory()
    const file = join(directory.path, 'log')
    const logs = createLogs({ filter: parseFilter('info'), format, colors: false, fd: openSync(file, 'w') })
    const line = (id: string) => `{"level":"info","time":"2026-11-27T00:00:00.000Z","id":"${id}","msg":"request"}\n`
    logs.server.info({ id: 'größe' }, 'here')
    logs.write(Buffer.from(line('größe') + line('two')))
    await logs.end()
    const written = readFileSync(file, 'utf8').trimEnd().split('\n')
    assert.equal(written.length, 3, written.join('\n'))
    const expected =
      format === 'json' ? /"id":"größe".*"msg":"(here|request)"\}$/ : /INFO: (here|request) \{"id":"größe"\}$/
    for (const each of written.slice(0, 2)) assert.match(each, expected)
    assert.match(written[2] ?? '', /two/)
  })
}
