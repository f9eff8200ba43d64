/** curl against the real command: the smoke test, uploads killed in the middle, HTTP/2, TLS and downloads. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { createWithCurl, curl, headers, offsetWithCurl, patchHeaders, startCurl } from './curl.ts'
import { assertStored, idOf, makeFile, MiB, sha256, type SourceFile, storedIds, temporaryFolder } from './support.ts'

const resources = new AsyncDisposableStack()
let folder: string
let big: SourceFile
let small: SourceFile
before(async () => {
  folder = resources.use(await temporaryFolder()).path
  big = await makeFile(join(folder, 'big.bin'), 200 * MiB)
  small = await makeFile(join(folder, 'small.bin'), 24 * MiB + 12_345)
})
after(() => resources.disposeAsync())

describe('curl over HTTP/1.1', () => {
  let server: TestServer
  before(async () => {
    server = resources.use(await startServer({ env: { FILELOFT_ENABLE_DOWNLOAD: 'true' } }))
  })

  test('the smoke test, word for word but for the port: 201 with a Location, then hello world', async () => {
    const named = { 'Upload-Length': 11, 'Upload-Metadata': 'filename aGVsbG8udHh0' }
    const created = await curl(['-X', 'POST', `http://localhost:${server.port}/files`, ...headers(named)])
    assert.equal(created.status, 201)
    assert.equal(created.headers.get('tus-resumable'), '1.0.0')
    const url = created.headers.get('location') ?? assert.fail('no Location')
    assert.ok(url.startsWith(`http://localhost:${server.port}/files/`), url)

    const patched = await curl(['-X', 'PATCH', url, ...patchHeaders(0), '--data-binary', 'hello world'])
    assert.equal(patched.status, 204)
    assert.equal(patched.headers.get('upload-offset'), '11')
    assert.equal(await readFile(join(server.dataDir, idOf(url)), 'utf8'), 'hello world')
  })

  for (const how of ['--data-binary', '--upload-file'] as const) {
    test(`200 MiB by ${how}, curl killed in the middle, resumed twice from HEAD's offset: identical`, async () => {
      await using proxy = await startBreakingProxy(server.port, [
        { kind: 'stall', at: 90 * MiB },
        { kind: 'stall', at: 150 * MiB },
      ])
      const url = await createWithCurl(`${proxy.origin}/files`, big.size)
      const data = how === '--data-binary' ? `@${big.path}` : big.path
      const first = startCurl(['-X', 'PATCH', url, ...patchHeaders(0), how, data])
      await Promise.race([proxy.reached(1), first.done])
      first.kill('SIGKILL')
      assert.equal((await first.done).signal, 'SIGKILL')

      const afterFirst = await offsetWithCurl(url)
      assert.ok(afterFirst > 60 * MiB && afterFirst < 90 * MiB, `offset ${afterFirst} after about 90 MiB`)
      // From a pipe: `--data-binary` reads it all and sends its length, `--upload-file` sends chunks as they come.
      const piped = how === '--data-binary' ? '@-' : '-'
      const source = { path: big.path, offset: afterFirst }
      const second = startCurl(['-X', 'PATCH', url, ...patchHeaders(afterFirst), how, piped], source)
      await Promise.race([proxy.reached(2), second.done])
      second.kill('SIGKILL')
      await second.done

      const afterSecond = await offsetWithCurl(url)
      assert.ok(afterSecond > afterFirst, `offset ${afterSecond} after ${afterFirst}`)
      const last = { path: big.path, offset: afterSecond }
      const third = await curl(['-X', 'PATCH', url, ...patchHeaders(afterSecond), how, piped], last)
      assert.equal(third.status, 204)
      assert.equal(third.headers.get('upload-offset'), String(big.size))
      await assertStored(server, url, big)
    })
  }

  test('PATCH with Expect: 100-continue: invited, then stored', async () => {
    const url = await createWithCurl(server.url, small.size)
    const expecting = ['-H', 'Expect: 100-continue', '--expect100-timeout', '15']
    const patched = await curl(['-X', 'PATCH', url, ...patchHeaders(0), ...expecting, '-T', small.path])
    assert.deepEqual(patched.interim, [100])
    assert.equal(patched.status, 204)
    await assertStored(server, url, small)
  })

  test('PATCH with Expect: 100-continue at a wrong offset: 409, and the body is never sent', async () => {
    await using proxy = await startBreakingProxy(server.port)
    const url = await createWithCurl(`${proxy.origin}/files`, small.size)
    const expecting = ['-H', 'Expect: 100-continue', '--expect100-timeout', '15']
    const patched = await curl(['-X', 'PATCH', url, ...patchHeaders(5), ...expecting, '-T', small.path])
    assert.deepEqual(patched.interim, [])
    assert.equal(patched.status, 409)
    assert.ok(proxy.sent < 4096, `${proxy.sent} bytes were sent`)
  })

  test('PATCH of more than the length, streamed: 413 is heard, nothing is stored', async () => {
    const url = await createWithCurl(server.url, MiB)
    const source = { path: small.path, offset: 0 }
    const patched = await curl(['-X', 'PATCH', url, ...patchHeaders(0), '-H', 'Expect:', '-T', '-'], source)
    assert.equal(patched.status, 413)
    assert.equal(await offsetWithCurl(url), 0)
  })

  test('download: whole, a range, and the rest of one that was broken off', async () => {
    const url = await createWithCurl(server.url, small.size)
    await curl(['-X', 'PATCH', url, ...patchHeaders(0), '-T', small.path])
    const bytes = await readFile(small.path)

    const target = join(folder, 'download.bin')
    await using proxy = await startBreakingProxy(server.port)
    const broken = startCurl(['-o', target, '--limit-rate', '4M', proxy.origin + new URL(url).pathname])
    await proxy.answered(5 * MiB)
    proxy.breakAll('cut')
    assert.notEqual((await broken.done).code, 0)
    const { length: had } = await readFile(target)
    assert.ok(had > 0 && had < small.size, `${had} bytes before the connection broke`)
    const rest = await startCurl(['-o', target, '-C', '-', '-f', url]).done
    assert.equal(rest.code, 0, rest.stderr)
    assert.equal(await sha256(target), small.sha256)

    const range = await startCurl(['-f', '-r', '1000000-1999999', url]).done
    assert.ok(range.stdout.equals(bytes.subarray(1_000_000, 2_000_000)), 'bytes of the range')
    const last = await curl(['-r', '-100', url])
    assert.equal(last.status, 206)
    assert.equal(last.headers.get('content-range'), `bytes ${small.size - 100}-${small.size - 1}/${small.size}`)
    const whole = await startCurl(['-f', url]).done
    assert.ok(whole.stdout.equals(bytes), 'bytes of the whole')
  })
})

describe('curl over HTTP/2', () => {
  let certificate: { cert: string; key: string }
  before(async () => {
    certificate = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost'
    const files = ['-keyout', certificate.key, '-out', certificate.cert]
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
    await promisify(execFile)('openssl', [...request.split(' '), ...files, ...names])
  })

  const transports = [
    { title: 'without TLS, prior knowledge', tls: false, version: '2', args: ['--http2-prior-knowledge'] },
    { title: 'without TLS, HTTP/1.1 on the same port', tls: false, version: '1.1', args: ['--http1.1'] },
    { title: 'TLS with ALPN', tls: true, version: '2', args: ['--http2'] },
    { title: 'TLS, HTTP/1.1', tls: true, version: '1.1', args: ['--http1.1'] },
  ]
  for (const { title, tls, version, args } of transports) {
    test(`${title}: an upload killed in the middle is resumed, identical`, async () => {
      await using server = await startServer({
        env: tls
          ? { FILELOFT_TLS_CERT: certificate.cert, FILELOFT_TLS_KEY: certificate.key }
          : { FILELOFT_ENABLE_H2C: 'true' },
      })
      await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 16 * MiB }])
      const scheme = tls ? 'https' : 'http'
      const common = tls ? [...args, '--cacert', certificate.cert] : args
      const url = await createWithCurl(`${scheme}://127.0.0.1:${proxy.port}/files`, small.size, common)
      assert.ok(url.startsWith(`${scheme}://127.0.0.1:${proxy.port}/files/`), url)

      const first = startCurl([...common, '-X', 'PATCH', url, ...patchHeaders(0), '-T', small.path])
      await Promise.race([proxy.reached(1), first.done])
      first.kill('SIGKILL')
      await first.done

      const offset = await offsetWithCurl(url, common)
      assert.ok(offset > 0 && offset < 16 * MiB, `offset ${offset} after about 16 MiB`)
      const source = { path: small.path, offset }
      const patched = await curl([...common, '-X', 'PATCH', url, ...patchHeaders(offset), '-T', '-'], source)
      assert.equal(patched.version, version)
      assert.equal(patched.status, 204)
      await assertStored(server, url, small)
      assert.deepEqual(await storedIds(server), [idOf(url)])
    })
  }
})
