/** The benchmark itself: that it runs, and that it would notice a server that loses bytes. Its figures are not tested. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { expectedHash, phaseOf, slice } from '../bench/pattern.ts'
import { verifyObjects } from '../bench/storage/verify.ts'
import { verifyServed, verifyStored } from '../bench/verify.ts'
import { findProgram } from './servers/versions.ts'

const root = join(import.meta.dirname, '..')
const bench = (...args: string[]) => promisify(execFile)(process.execPath, ['bench/run.ts', ...args], { cwd: root })

test('bench --quick, three servers and two workloads: a row for each with its figures, ratios and targets', async () => {
  const { stdout } = await bench('--quick', '--only', 'fileloft,tus-node,null,parallel,small')
  for (const heading of ['parallel: 16 uploads of 256 KiB', 'small: 40 uploads of 16 KiB']) {
    const table = stdout.slice(stdout.indexOf(heading)).split('\n\n')[0] ?? ''
    for (const server of ['fileloft', '@tus/server', 'null']) {
      assert.match(table, new RegExp(`^  ${server} .*  \\d+(\\.\\d+)?  `, 'm'), stdout)
    }
  }
  assert.match(stdout, /^ {2}(met|MISSED) +small +rate +at least 2 x @tus\/server +is \d/m)
})

test('bench --quick on Bun, Deno and Workers: a row for each with its figures, and its bytes are stored', async () => {
  const { stdout } = await bench('--quick', '--only', 'bun,deno,workers,parallel')
  for (const title of ['library, Bun', 'library, Deno', 'library, Workers']) {
    assert.match(stdout, new RegExp(`^  ${title} +\\d+(\\.\\d+)?  `, 'm'), stdout)
  }
})

if (findProgram('minio') !== null) {
  test('bench --quick --storage s3, two servers: rates, ratios, and each kind of request counted', async () => {
    const { stdout } = await bench('--quick', '--storage', 's3', '--only', 'fileloft,tus-node,big,requests')
    const tableOf = (title: string) => stdout.slice(stdout.indexOf(title)).split('\n\n')[0] ?? ''
    for (const server of ['fileloft', '@tus/s3-store']) {
      assert.match(tableOf('big: '), new RegExp(`^  ${server} .*  \\d+(\\.\\d+)?  .* \\d+ %$`, 'm'), stdout)
      const counted = new RegExp(`^  ${server} +\\d+ .*\\b3 UploadPart\\b`, 'm')
      assert.match(tableOf('requests: an upload of 24 MiB in 3 PATCH'), counted, stdout)
    }
    assert.match(tableOf('requests: a HEAD'), /^ {2}fileloft +1 +1 GetObject$/m)
    assert.match(stdout, /^ {2}(met|MISSED) +big +rate +at least 1 x @tus\/server +is \d/m)
  })
}

test('bench --storage with an unknown name: says what is known, exit code 2', async () => {
  await assert.rejects(bench('--storage', 's4'), ({ code, stderr }: { code: number; stderr: string }) => {
    assert.equal(code, 2)
    assert.match(stderr, /--storage knows no s4[\s\S]*s3, azure, gcs/)
    return true
  })
})

test('bench --quick --profile chunks: names functions of ours with their share', async () => {
  const { stdout } = await bench('--quick', '--profile', 'chunks')
  assert.match(stdout, /^ {2} *\d+\.\d %  \w+ .*(src|dist)\/[\w/-]+\.[jt]s:\d+$/m)
})

test('bench with an unknown name: says what is known, exit code 2', async () => {
  await assert.rejects(bench('--only', 'nginx'), ({ code, stderr }: { code: number; stderr: string }) => {
    assert.equal(code, 2)
    assert.match(stderr, /--only knows no nginx[\s\S]*tus-node/)
    return true
  })
})

test('stored bytes: as sent pass; one too few, one changed, two blocks swapped, a missing file do not', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'fileloft-bench-test-'))
  const block = 64 * 1024
  const upload = { id: 'a', phase: phaseOf(3), sent: 2 * block }
  const sent = Buffer.from(slice(upload.phase, 0, upload.sent))
  const changed = Buffer.from(sent)
  changed[block] = (changed[block] ?? 0) ^ 1
  const store = (bytes: Uint8Array) => writeFile(join(directory, 'a'), bytes)
  try {
    await assert.rejects(verifyStored(directory, [upload]), /stored 0 bytes of 131072 of upload a/)
    await store(sent)
    await verifyStored(directory, [upload])
    await store(sent.subarray(1))
    await assert.rejects(verifyStored(directory, [upload]), /stored 131071 bytes/)
    await store(changed)
    await assert.rejects(verifyStored(directory, [upload]), /not those that were sent/)
    await store(Buffer.concat([sent.subarray(block), sent.subarray(0, block)]))
    await assert.rejects(verifyStored(directory, [upload]), /not those that were sent/)
    await rm(join(directory, 'a'))
    await writeFile(join(directory, 'a_part_1'), sent.subarray(block))
    await writeFile(join(directory, 'a_part_0'), sent.subarray(0, block))
    await verifyStored(directory, [upload])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('served bytes: as sent pass; one too few, one changed, an offset of others do not', async () => {
  const sent = Buffer.from(slice(phaseOf(2), 0, 1000))
  const changed = Buffer.from(sent)
  changed[999] = (changed[999] ?? 0) ^ 1
  const upload = { id: 'a', phase: phaseOf(2), sent: 1000 }
  const serve = async (bytes: Buffer, isComplete = true) => {
    const server = createServer((request, response) => {
      response.setHeader('Upload-Offset', bytes.length)
      response.end(request.method === 'GET' ? bytes : '')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await verifyServed(`http://127.0.0.1:${port}/files`, [upload], isComplete).finally(() => server.close())
  }
  await serve(sent)
  await serve(changed, false)
  await assert.rejects(serve(sent.subarray(1)), /stored 999 bytes of 1000 of upload a/)
  await assert.rejects(serve(sent.subarray(1), false), /stored 999 bytes of 1000 of upload a/)
  await assert.rejects(serve(changed), /not those that were sent/)
})

test('stored objects: as sent pass, found by the id before a +; one too few, one changed do not', async () => {
  const sent = Buffer.from(slice(phaseOf(2), 0, 1000))
  const changed = Buffer.from(sent)
  changed[999] = (changed[999] ?? 0) ^ 1
  const holding = (bytes: Buffer) => ({
    size: (key: string) => (key === 'a' ? Promise.resolve(bytes.length) : Promise.reject(new Error(`no ${key}`))),
    read: () =>
      Promise.resolve(
        (async function* () {
          yield await Promise.resolve(bytes)
        })(),
      ),
  })
  const upload = { id: 'a+b', phase: phaseOf(2), sent: 1000 }
  await verifyObjects(holding(sent), [upload])
  await assert.rejects(verifyObjects(holding(sent), [{ ...upload, id: 'c' }]), /no c/)
  await assert.rejects(verifyObjects(holding(sent.subarray(1)), [upload]), /stored 999 bytes of 1000 of upload a/)
  await assert.rejects(verifyObjects(holding(changed), [upload]), /not those that were sent/)
})

test('bytes of an upload longer than the pattern: hashed as they are sent, slice after slice', () => {
  const length = 3_000_000
  const whole: Uint8Array[] = []
  for (let at = 0; at < length; at += whole.at(-1)?.length ?? length) whole.push(slice(phaseOf(5), at, length))
  assert.equal(Buffer.concat(whole).length, length)
  assert.equal(expectedHash(phaseOf(5), length), createHash('sha256').update(Buffer.concat(whole)).digest('hex'))
  assert.notEqual(expectedHash(phaseOf(5), length), expectedHash(phaseOf(6), length))
})
