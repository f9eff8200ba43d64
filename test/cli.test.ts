import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { openFiles } from '../src/node/storage-fs.ts'
import { readCommandLine } from '../src/node/config.ts'
import { createUpload, makeCertificate, runCli, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { listen, rawClient } from './node-support.ts'

const curl = (...args: string[]) => execFileSync('curl', ['-s', '-i', ...args], { encoding: 'utf8' })

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
  client.socket.write(patchHead(new URL(location).pathname, 100))
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

test('secrets in headers and queries never reach the log, at any level', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_LOG: 'trace' })
  const headers = { ...tus, Authorization: 'Bearer hunter2', Cookie: 'session=hunter2', 'Upload-Length': '3' }
  await fetch(`${server.origin}/files?token=hunter2`, { method: 'POST', headers })
  await fetch(`${server.origin}/files/nope?token=hunter2`, { method: 'HEAD', headers })
  using client = await rawClient(server.port)
  client.socket.write(
    'GET http://me:hunter2@a.example/elsewhere?hunter2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  )
  await client.closed
  await server.line(({ path }) => path === '/elsewhere')
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(!server.output().includes('hunter2'), server.output())
})

test('a failure of the store is answered 5xx, and logged with its stack at level error', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const location = await createUpload(server.origin, 5)
  const id = location.slice(location.lastIndexOf('/') + 1)
  writeFileSync(join(directory.path, `${id}.info`), '{broken')
  const answer = await fetch(location, { method: 'HEAD', headers: tus })
  assert.equal(answer.status, 500)
  const failure = await server.line(({ msg }) => msg === 'failure')
  assert.equal(failure.level, 'error')
  assert.match(JSON.stringify(failure['err']), /"stack":".*StoreError/)
  assert.equal((await server.line(({ status }) => status === 500)).level, 'error')
})

test('/healthz answers while the process lives, /readyz only while the store can be used', async () => {
  using directory = temporaryDirectory()
  const data = join(directory.path, 'data')
  await using server = await startCli({ FILELOFT_DATA_DIR: data, FILELOFT_LOG: 'info' })
  assert.equal((await fetch(`${server.origin}/readyz`)).status, 200)
  execFileSync('mv', [data, `${data}.away`])
  writeFileSync(data, 'a file where the directory was')
  assert.equal((await fetch(`${server.origin}/readyz`)).status, 503)
  assert.equal((await fetch(`${server.origin}/healthz`)).status, 200)
  assert.equal((await fetch(`${server.origin}/other`, { method: 'POST', body: 'x' })).status, 404)
  await server.line(({ path }) => path === '/other')
  assert.ok(!server.output().includes('healthz'), 'probes are logged at debug only')
})

test('the log level and its format are as configured', async () => {
  using directory = temporaryDirectory()
  await using quiet = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_LOG: 'info,fileloft::http=off' })
  await fetch(`${quiet.origin}/files`, { method: 'OPTIONS' })
  quiet.process.kill('SIGTERM')
  await quiet.exit
  assert.ok(!quiet.output().includes('OPTIONS'))

  const text = await runCli(['sweep', '--data-dir', directory.path], { FILELOFT_LOG_FORMAT: 'text' })
  assert.deepEqual(text, { code: 0, stdout: 'removed 0, skipped 0, concatenated 0, leftovers 0\n', stderr: '' })
})

test('SIGTERM with a stalled body: what arrived is stored, the request answered 503, exit code 0', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const location = await createUpload(server.origin, 1_000_000)
  using idle = await rawClient(server.port)
  using client = await rawClient(server.port)
  client.socket.write(patchHead(new URL(location).pathname, 1_000_000))
  client.socket.write('x'.repeat(5000))
  const id = location.slice(location.lastIndexOf('/') + 1)
  // Stored or not by then: the shutdown has to flush it either way.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const started = performance.now()
  server.process.kill('SIGTERM')
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 503 [^]*connection: close/i)
  client.socket.destroy()
  assert.equal(await server.exit, 0)
  assert.ok(performance.now() - started < 8_000)
  assert.equal(await idle.closed, null)
  assert.equal(statSync(join(directory.path, id)).size, 5000)
  assert.match(server.output(), /"msg":"shutting down"[^]*"msg":"stopped"/)
})

test('a client that takes no notice of the shutdown is cut off when the time is over; exit code 0', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_SHUTDOWN_TIMEOUT: '0.5',
  })
  using client = await rawClient(server.port, { allowHalfOpen: true })
  client.socket.write('POST /files HTTP/1.1\r\nHost: a\r\n')
  await fetch(`${server.origin}/healthz`)
  const started = performance.now()
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  const took = performance.now() - started
  assert.ok(took > 400 && took < 5_000, `${took} ms`)
  assert.match(server.output(), /still running after 0\.5 s/)
})

test('a second signal ends the process at once with the code of the signal', async () => {
  using directory = temporaryDirectory()
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_SHUTDOWN_TIMEOUT: '60' })
    using client = await rawClient(server.port, { allowHalfOpen: true })
    client.socket.write('POST /files HTTP/1.1\r\nHost: a\r\n')
    await fetch(`${server.origin}/healthz`)
    server.process.kill(signal)
    await server.line(({ msg }) => msg === 'shutting down')
    server.process.kill(signal)
    assert.equal(await server.exit, code)
  }
})

test('an unhandled rejection is logged as fatal and ends the process with 1', async () => {
  using directory = temporaryDirectory()
  const bomb = join(directory.path, 'bomb.mjs')
  writeFileSync(bomb, `process.on('SIGUSR2', () => void Promise.reject(new Error('boom')))`)
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, NODE_OPTIONS: `--import=${bomb}` })
  server.process.kill('SIGUSR2')
  assert.equal(await server.exit, 1)
  const fatal = await server.line(({ level }) => level === 'fatal')
  assert.match(JSON.stringify(fatal['err']), /boom/)
})

test('what cannot be listened on or stored in is told in one line, exit code 1', async () => {
  using directory = temporaryDirectory()
  await using blocker = createServer()
  const port = await listen(blocker)
  const file = join(directory.path, 'file')
  writeFileSync(file, '')
  const data = ['--data-dir', join(directory.path, 'data')]
  for (const [args, expected] of [
    [[...data, '--bind', `127.0.0.1:${port}`], `Cannot listen on 127.0.0.1:${port}: another process listens there`],
    [[...data, '--bind', '192.0.2.1:80'], 'Cannot listen on 192.0.2.1:80: this machine has no such address'],
    [[...data, '--unix-socket', file], `Cannot listen on ${file}: there is a file of that name which is no socket`],
    [[...data, '--unix-socket', '/nonexistent/s'], 'Cannot listen on /nonexistent/s: there is no such directory'],
    [[...data, '--tls-cert', '/none.crt', '--tls-key', '/none.key'], '/none.crt cannot be read'],
    [['--data-dir', join(file, 'below'), '--bind', '127.0.0.1:0'], join(file, 'below')],
  ] as const) {
    const { code, stderr, stdout } = await runCli([...args])
    assert.equal(code, 1, stderr)
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    assert.ok(stderr.includes(expected), `${stderr} lacks ${expected}`)
    assert.equal(stdout, '')
  }
})

test('a wrong configuration stops every command with exit code 2 and all problems, one a line', async () => {
  for (const command of ['serve', 'check', 'sweep']) {
    const { code, stderr, stdout } = await runCli([command, '--max-size=lots'], { FILELOFT_BINDD: 'x' })
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      'fileloft: FILELOFT_BINDD is no variable of fileloft; FILELOFT_BIND may be meant',
      'fileloft: --max-size is "lots"; it must be bytes, or a size such as 10GiB, 500MB or 64KiB',
    ])
  }
})

test('check tells whether configuration and store are fine: exit codes 0 and 1', async () => {
  using directory = temporaryDirectory()
  const good = await runCli(['check', '--data-dir', directory.path])
  assert.equal(good.code, 0)
  assert.match(good.stdout, /valid and the store can be used/)
  const bad = await runCli(['check', '--data-dir', '/dev/null/nothing'])
  assert.equal(bad.code, 1)
  assert.notEqual(bad.stderr, '')
})

test('sweep removes what has expired, once, and tells how much; the server does it by itself', async () => {
  using directory = temporaryDirectory()
  const environment = {
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_ENABLE_EXPIRATION: 'true',
    FILELOFT_EXPIRATION_TTL: '1',
  }
  const records = () => readdirSync(directory.path).filter((name) => name.endsWith('.info')).length
  {
    await using server = await startCli(environment)
    await createUpload(server.origin, 5)
  }
  assert.equal(records(), 1)
  let swept = await runCli(['sweep'], environment)
  while (swept.stdout.startsWith('removed 0')) swept = await runCli(['sweep'], environment)
  assert.deepEqual([swept.code, swept.stdout], [0, 'removed 1, skipped 0, concatenated 0, leftovers 0\n'])
  assert.equal(records(), 0)

  await using server = await startCli({ ...environment, FILELOFT_SWEEP_INTERVAL: '1' })
  await createUpload(server.origin, 5)
  const line = await server.line(({ msg, removed }) => msg === 'swept' && removed === 1)
  assert.equal(line.level, 'info')
  assert.equal(records(), 0)
})

test('--help lists every setting, --version is that of the package', async () => {
  const help = await runCli(['--help'], { FILELOFT_MAX_SIZE: 'wrong, but help is help' })
  assert.equal(help.code, 0)
  assert.match(help.stdout, /FILELOFT_MAX_SIZE, --max-size VALUE/)
  assert.match(help.stdout, /FILELOFT_ENABLE_H2C, --enable-h2c\n/)
  assert.match(help.stdout, /\bcheck\b[^]*\bsweep\b/)
  const version = await runCli(['--version'])
  assert.match(version.stdout, /^\d+\.\d+\.\d+/)
})

test('without FILELOFT_DATA_DIR and with the usual place out of reach, ./fileloft-data is used and said', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'file')
  writeFileSync(file, '')
  const before = process.cwd()
  process.chdir(directory.path)
  try {
    const { config } = readCommandLine([], {})
    const storage = await openFiles(config, join(file, 'below'))
    assert.equal(storage.about.directory, join(directory.path, 'fileloft-data'))
    assert.match(storage.notice ?? '', /fileloft-data; FILELOFT_DATA_DIR says otherwise/)
    const usual = await openFiles(config, join(directory.path, 'usual'))
    assert.deepEqual([usual.about.directory, usual.notice], [join(directory.path, 'usual'), null])
  } finally {
    process.chdir(before)
  }
})

test('a Unix socket gets its mode; a stale one is replaced, one that answers is not', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 's')
  const environment = {
    FILELOFT_DATA_DIR: join(directory.path, 'data'),
    FILELOFT_UNIX_SOCKET: path,
    FILELOFT_UNIX_SOCKET_MODE: '0660',
    FILELOFT_BIND: '',
  }
  {
    await using server = await startCli(environment)
    assert.equal(server.origin, `unix:${path}`)
    assert.equal(statSync(path).mode & 0o777, 0o660)
    assert.match(curl('--unix-socket', path, 'http://x/readyz'), /^HTTP\/1\.1 200 /)
    const second = await runCli([], environment)
    assert.equal(second.code, 1)
    assert.match(second.stderr, /another process listens there/)
    assert.match(curl('--unix-socket', path, 'http://x/healthz'), /^HTTP\/1\.1 200 /)
  }
  assert.ok(existsSync(path), 'killed, it leaves its socket behind')
  await using server = await startCli(environment)
  assert.match(curl('--unix-socket', path, 'http://x/healthz'), /^HTTP\/1\.1 200 /)
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(!existsSync(path))
})

test('IPv6: [::]:0 listens, and its Location names the Host of the request', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_BIND: '[::]:0' })
  assert.match(server.origin, /^http:\/\/\[::\]:\d+$/)
  const location = await createUpload(`http://[::1]:${server.port}`, 5)
  assert.ok(location.startsWith(`http://[::1]:${server.port}/files/`))
})

test('without TLS, HTTP/2 is spoken beside HTTP/1.1 with FILELOFT_ENABLE_H2C only', async () => {
  using directory = temporaryDirectory()
  await using on = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_ENABLE_H2C: '1' })
  const headers = ['-H', 'Tus-Resumable: 1.0.0', '-H', 'Upload-Length: 3']
  const created = curl('--http2-prior-knowledge', '-X', 'POST', ...headers, `${on.origin}/files`)
  assert.match(created, /^HTTP\/2 201 /)
  const location = /^location: (.*)\r$/im.exec(created)?.[1] ?? ''
  assert.ok(location.startsWith(`${on.origin}/files/`), created)
  const patch = ['Tus-Resumable: 1.0.0', 'Upload-Offset: 0', 'Content-Type: application/offset+octet-stream']
  const args = ['-X', 'PATCH', ...patch.flatMap((header) => ['-H', header]), '-d', 'abc', location]
  assert.match(curl('--http2-prior-knowledge', ...args), /^HTTP\/2 204 /)
  assert.equal((await fetch(location, { method: 'HEAD', headers: tus })).headers.get('upload-offset'), '3')

  // The first bytes may come one at a time, and more than one request on a connection.
  using client = await rawClient(on.port)
  for (const byte of 'POST') {
    client.socket.write(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  client.socket.write(' /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1\r\n\r\n')
  await client.until(/ 201 [^]*\r\n\r\n/)
  const before = client.received().length
  client.socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until(/ 200 /, before)

  using silent = await rawClient(on.port)
  on.process.kill('SIGTERM')
  assert.equal(await on.exit, 0)
  assert.equal(await silent.closed, null)

  await using off = await startCli({ FILELOFT_DATA_DIR: directory.path })
  assert.throws(() => curl('--http2-prior-knowledge', `${off.origin}/healthz`))
  assert.match(curl(`${off.origin}/healthz`), /^HTTP\/1\.1 200 /)
})

test('HTTPS speaks HTTP/1.1 and HTTP/2, Location is https, and SIGHUP takes a new certificate but not a bad one', async () => {
  using directory = temporaryDirectory()
  const { cert, key } = makeCertificate(directory.path, 'first')
  const second = makeCertificate(directory.path, 'second')
  await using server = await startCli({
    FILELOFT_DATA_DIR: join(directory.path, 'data'),
    FILELOFT_TLS_CERT: cert,
    FILELOFT_TLS_KEY: key,
  })
  assert.match(server.origin, /^https:\/\/127/)
  const headers = ['-X', 'POST', '-H', 'Tus-Resumable: 1.0.0', '-H', 'Upload-Length: 3', `${server.origin}/files`]
  for (const version of ['--http1.1', '--http2']) {
    const answer = curl('--cacert', cert, version, ...headers)
    assert.match(answer, version === '--http2' ? /^HTTP\/2 201 / : /^HTTP\/1\.1 201 /)
    assert.match(answer, /^location: https:\/\/127\.0\.0\.1:\d+\/files\//im)
  }
  assert.equal(await subjectOf(server.port), 'first')

  writeFileSync(cert, 'no certificate')
  server.process.kill('SIGHUP')
  assert.equal((await server.line(({ msg }) => msg === 'the new certificate is not used')).level, 'error')
  assert.equal(await subjectOf(server.port), 'first')

  copyFileSync(second.cert, cert)
  copyFileSync(second.key, key)
  server.process.kill('SIGHUP')
  await server.line(({ msg }) => msg === 'certificate reloaded')
  assert.equal(await subjectOf(server.port), 'second')

  const idle = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(idle, 'secureConnect')
  const started = performance.now()
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(performance.now() - started < 8_000)
  idle.destroy()
})

test('FILELOFT_TLS_MODE decides on versions and suites', async () => {
  using directory = temporaryDirectory()
  const { cert, key } = makeCertificate(directory.path, 'mode')
  const weak = 'ECDHE-ECDSA-AES128-SHA256'
  for (const [mode, version12, version13, weak12] of [
    ['tls12', true, true, true],
    ['tls13', false, true, false],
    ['tls12-strong', true, true, false],
  ] as const) {
    await using server = await startCli({
      FILELOFT_DATA_DIR: join(directory.path, 'data'),
      FILELOFT_TLS_CERT: cert,
      FILELOFT_TLS_KEY: key,
      FILELOFT_TLS_MODE: mode,
    })
    assert.equal(await handshakes(server.port, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), version12, mode)
    assert.equal(await handshakes(server.port, { minVersion: 'TLSv1.3' }), version13, mode)
    assert.equal(await handshakes(server.port, { maxVersion: 'TLSv1.2', ciphers: weak }), weak12, mode)
    assert.equal(await handshakes(server.port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }), false, mode)
  }
})

test('headers of 60 KiB are taken, as a long Upload-Concat needs, and larger ones answered 431', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const send = (size: number) => {
    const agent = new Agent()
    return new Promise<number | undefined>((resolve, reject) => {
      get(`${server.origin}/healthz`, { agent, headers: { 'X-Long': 'x'.repeat(size) } }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      }).on('error', reject)
    })
  }
  assert.equal(await send(60 * 1024), 200)
  assert.equal(await send(66 * 1024), 431)
})

test('a reader of the log that goes away does not take the server with it', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  server.process.stdout?.destroy()
  for (let i = 0; i < 20; i += 1) assert.equal((await fetch(`${server.origin}/healthz?${i}`)).status, 200)
  for (let i = 0; i < 20; i += 1) await fetch(`${server.origin}/files`, { method: 'OPTIONS' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal((await fetch(`${server.origin}/healthz`)).status, 200)
})

function patchHead(path: string, length: number): string {
  const type = 'Content-Type: application/offset+octet-stream\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0'
  return `PATCH ${path} HTTP/1.1\r\nHost: a\r\n${type}\r\nContent-Length: ${length}\r\n\r\n`
}

async function subjectOf(port: number): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const subject = socket.getPeerCertificate().subject.CN
  socket.destroy()
  return String(subject)
}

async function handshakes(port: number, options: ConnectionOptions): Promise<boolean> {
  const socket = connectTls({ ...options, port, host: '127.0.0.1', rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
