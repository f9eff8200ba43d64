/** Uploads to the command, under its settings. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createUpload, curl, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { patchHead, rawClient } from './node-support.ts'

test('the smoke test: POST with curl is answered 201 with a Location, and a PATCH stores the bytes', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const answer = curl(
    '-X',
    'POST',
    `${server.origin}/files`,
    ...['Tus-Resumable: 1.0.0', 'Upload-Length: 11', 'Upload-Metadata: filename aGVsbG8udHh0'].flatMap((h) => [
      '-H',
      h,
    ]),
  )
  assert.match(answer, /^HTTP\/1\.1 201 /)
  const location = /^location: (.*)\r$/im.exec(answer)?.[1] ?? ''
  assert.ok(location.startsWith(`${server.origin}/files/`), answer)

  const patched = await fetch(location, {
    method: 'PATCH',
    headers: { ...tus, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
    body: 'hello world',
  })
  assert.deepEqual([patched.status, patched.headers.get('upload-offset')], [204, '11'])
  const id = location.slice(location.lastIndexOf('/') + 1)
  assert.equal(statSync(join(directory.path, id)).size, 11)

  const line = await server.line(({ method }) => method === 'PATCH')
  const { path, status, bytes, ms } = line
  assert.deepEqual({ path, id: line['id'], status, bytes }, { path: `/files/${id}`, id, status: 204, bytes: 11 })
  assert.equal(typeof ms, 'number')
})

test('the start line tells address, backend, directory and extensions', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_DISABLE_CHECKSUM: '1' })
  const line = await server.line(({ msg }) => msg === 'listening')
  assert.match(line.address, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.deepEqual(
    [line['backend'], line['directory'], line['extensions']],
    ['fs', directory.path, ['creation', 'creation-with-upload', 'creation-defer-length', 'termination']],
  )
})

test('settings reach the handler: base path, limits, extensions, CORS, base URL, expiration', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_BASE_PATH: '/',
    FILELOFT_BASE_URL: 'https://public.example/up',
    FILELOFT_MAX_SIZE: '1KiB',
    FILELOFT_DISABLE_TERMINATION: 'true',
    FILELOFT_ENABLE_CONCATENATION: 'true',
    FILELOFT_ENABLE_EXPIRATION: 'true',
    FILELOFT_EXPIRATION_TTL: '60',
    FILELOFT_CORS_ALLOW_ORIGIN: 'https://a.example,/^https:\\/\\/[a-z]{2,3}\\.b\\.example$/',
    FILELOFT_CORS_ALLOW_CREDENTIALS: 'true',
    FILELOFT_CORS_ALLOW_HEADERS: 'X-Allowed',
    FILELOFT_CORS_EXPOSE_HEADERS: 'X-Exposed',
    FILELOFT_CORS_MAX_AGE: '77',
  })
  const about = await fetch(server.origin, { method: 'OPTIONS' })
  assert.equal(about.headers.get('tus-max-size'), '1024')
  const extensions = about.headers.get('tus-extension')?.split(',') ?? []
  assert.ok(!extensions.includes('termination'))
  assert.ok(extensions.includes('concatenation') && extensions.includes('expiration'), String(extensions))

  const preflight = await fetch(server.origin, {
    method: 'OPTIONS',
    headers: { Origin: 'https://abc.b.example', 'Access-Control-Request-Method': 'POST' },
  })
  assert.equal(preflight.headers.get('access-control-allow-origin'), 'https://abc.b.example')
  assert.equal(preflight.headers.get('access-control-allow-credentials'), 'true')
  assert.equal(preflight.headers.get('access-control-max-age'), '77')
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /X-Allowed/i)

  const created = await fetch(server.origin, {
    method: 'POST',
    headers: { ...tus, 'Upload-Length': '5', Origin: 'https://a.example' },
  })
  assert.match(created.headers.get('location') ?? '', /^https:\/\/public\.example\/up\/[0-9a-f]{32}$/)
  assert.match(created.headers.get('access-control-expose-headers') ?? '', /X-Exposed/i)
  assert.notEqual(created.headers.get('upload-expires'), null)
  const tooLarge = await fetch(server.origin, { method: 'POST', headers: { ...tus, 'Upload-Length': '1025' } })
  assert.equal(tooLarge.status, 413)
  assert.equal((await fetch(`${server.origin}/healthz`)).status, 200)
})

test('a forwarded address counts only with FILELOFT_BEHIND_PROXY, downloads only with FILELOFT_ENABLE_DOWNLOAD', async () => {
  using directory = temporaryDirectory()
  const forwarded = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'proxy.example' }
  for (const on of ['false', 'true']) {
    await using server = await startCli({
      FILELOFT_DATA_DIR: directory.path,
      FILELOFT_BEHIND_PROXY: on,
      FILELOFT_ENABLE_DOWNLOAD: on,
      FILELOFT_DISABLE_CORS: on,
    })
    const location = await createUpload(server.origin, 0, { ...forwarded, Origin: 'https://a.example' })
    assert.equal(location.startsWith('https://proxy.example/files/'), on === 'true')
    const download = await fetch(`${server.origin}${new URL(location).pathname}`, { headers: { Origin: 'https://a' } })
    assert.equal(download.status, on === 'true' ? 200 : 405)
    assert.equal(download.headers.get('access-control-allow-origin'), on === 'true' ? null : '*')
  }
})

test('each switch takes its extension away', async () => {
  using directory = temporaryDirectory()
  for (const [name, extension] of [
    ['FILELOFT_DISABLE_CREATION', 'creation'],
    ['FILELOFT_DISABLE_CREATION_WITH_UPLOAD', 'creation-with-upload'],
    ['FILELOFT_DISABLE_DEFER_LENGTH', 'creation-defer-length'],
    ['FILELOFT_DISABLE_CHECKSUM', 'checksum'],
  ] as const) {
    await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, [name]: '1' })
    const about = await fetch(`${server.origin}/files/`, { method: 'OPTIONS' })
    assert.ok(!about.headers.get('tus-extension')?.split(',').includes(extension), name)
  }
})

test('a lock that is not had in time and a body that stands still end as configured; partials are cleaned up', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_IDLE_TIMEOUT: '0.3',
    FILELOFT_LOCK_TIMEOUT: '5',
    FILELOFT_ENABLE_CONCATENATION: '1',
    FILELOFT_ENABLE_CLEANUP_CONCAT_PARTIALS: '1',
  })
  const location = await createUpload(server.origin, 100)
  using client = await rawClient(server.port)
  client.socket.write(patchHead(location, 100))
  client.socket.write('12345')
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 503 [^]*connection: close/i)
  const head = await fetch(location, { method: 'HEAD', headers: tus })
  assert.equal(head.headers.get('upload-offset'), '5')

  const partial = await createUpload(server.origin, 0, { 'Upload-Concat': 'partial' })
  const final = await fetch(`${server.origin}/files`, {
    method: 'POST',
    headers: { ...tus, 'Upload-Concat': `final;${partial}` },
  })
  assert.equal(final.status, 201)
  assert.equal((await fetch(partial, { method: 'HEAD', headers: tus })).status, 404)
})
