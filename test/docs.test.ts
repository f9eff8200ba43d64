/** Every snippet in the README and docs/ runs: TypeScript as a program of its own, commands against a real server. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { createUpload, tus } from './cli-support.ts'
import { toServerCommand } from './docs-deploy.ts'
import { startAzurite } from './servers/azurite.ts'
import { startFakeGcs } from './servers/fake-gcs.ts'
import { startMinio } from './servers/minio.ts'
import { freePort } from './servers/program.ts'

const root = new URL('../', import.meta.url).pathname
const run = promisify(execFile)
const scratch = join(root, '.cache', `docs-${process.pid}`)
// The page on runtimes is run inside of them, by test/runtimes/docs.runs.ts.
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...(await readdir(join(root, 'docs'))).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md') && name !== 'docs/runtimes.md')

interface Snippet {
  readonly title: string
  readonly language: string
  readonly code: string
  /** The program that the page shows before it. */
  readonly program: string
  /** The plain text that the page shows behind it. */
  shown: string
}

const snippets: Snippet[] = []
for (const page of pages) {
  const text = await readFile(join(root, page), 'utf8')
  let program = ''
  for (const match of text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)) {
    const line = text.slice(0, match.index).split('\n').length
    const [, language = '', code = ''] = match
    if (language === 'ts') program = code.trim()
    const last = snippets.at(-1)
    if (language === 'text' && last?.title.startsWith(page) === true) last.shown = code.trim()
    snippets.push({ title: `${page}:${line}`, language, code: code.trim(), program, shown: '' })
  }
}

before(() => mkdir(scratch, { recursive: true }))
after(() => rm(scratch, { recursive: true, force: true }))

for (const { title, language, code, program, shown } of snippets) {
  if (language === 'ts') test(`${title}, run as a program, does what it says`, () => runProgram(title, code, { shown }))
  else if (language === 'sh')
    for (const line of code.split('\n')) test(`${title}: ${line}`, (t) => runCommand(line, program, t))
}

test('the pages have snippets to run', () => {
  assert.ok(snippets.filter(({ language }) => language === 'ts').length >= 4)
  assert.ok(snippets.filter(({ language }) => language === 'sh').length >= 4)
})

for (const example of (await readdir(join(root, 'examples'))).filter(isServer)) {
  test(`examples/${example}, started, takes an upload`, async () => {
    const port = await freePort()
    await withServer(join(root, 'examples', example), { PORT: String(port) }, () =>
      example === 'authorize.ts' ? uploadSigned(port) : upload(port),
    )
  })
}

/** One only hears of uploads, and test/hooks/example.test.ts runs it; others are not for Node: test/runtimes does. */
function isServer(name: string): boolean {
  return name.endsWith('.ts') && !['webhook-receiver.ts', 'bun.ts', 'deno.ts', 'aws-lambda.ts'].includes(name)
}

async function runProgram(title: string, code: string, { extension = '.ts', shown = '' } = {}): Promise<void> {
  const file = join(scratch, title.replaceAll(/\W/g, '-') + extension)
  if (code.includes('listen(8080)')) {
    const port = await freePort()
    await writeFile(file, `${code.replace('8080', String(port))}.on('listening', () => console.log('listening'))\n`)
    await withServer(file, {}, async () => {
      await upload(port)
      if (code.includes("'/metrics'")) await expectMetrics(port, shown)
    })
    return
  }
  await writeFile(file, code)
  const { stdout } = await run(process.execPath, [file], { cwd: scratch })
  const expected = [...code.matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm)].map((match) => match[1] ?? '')
  assert.equal(stdout.trim().split('\n').length, expected.length, stdout)
  for (const [index, line] of stdout.trim().split('\n').entries()) {
    const [start = ''] = (expected[index] ?? '').split('…')
    assert.ok(line.startsWith(start), `printed ${line}, the page says ${expected[index]}`)
  }
}

async function runCommand(text: string, program: string, t: TestContext): Promise<void> {
  // The package is this one.
  if (text === 'npm install fileloft') return
  if (text === 'node server.mts') return runProgram('server', program, { extension: '.mts' })
  // What a page calls its folder is a temporary one here.
  const line = (await toServerCommand(text))?.replace(/FILELOFT_DATA_DIR=\S+ /, '') ?? null
  if (line === null) return
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object }
  const words = line.split(' ')
  if (line === 'npm install') return
  if (words[0] === 'npm' && (words[1] === 'test' || words[1] === 'run')) {
    const script = words[1] === 'test' ? 'test' : (words[2] ?? '')
    assert.ok(Object.hasOwn(scripts, script), `package.json has no script ${script}`)
    return
  }
  const data = await mkdtemp(join(tmpdir(), 'fileloft-docs-'))
  const port = await freePort()
  const bind = { FILELOFT_BIND: `127.0.0.1:${port}` }
  const storage = await storageFor(line)
  const environment = { ...bind, ...(storage === null ? { FILELOFT_DATA_DIR: data } : storage.environment) }
  try {
    if (words[0] === 'curl') {
      await withServer('npm start', environment, async () => {
        const { stdout } = await run('bash', ['-c', line.replaceAll('localhost:8080', `127.0.0.1:${port}`)])
        assert.match(stdout, /^HTTP\/1\.1 201 Created\r\n[\s\S]*^Location: http/im)
      })
    } else if (line.includes('fileloft upload')) {
      await withServer('npm start', { ...environment, FILELOFT_ENABLE_CONCATENATION: 'true' }, () =>
        uploadByCommand(line.replaceAll('localhost:8080', `127.0.0.1:${port}`)),
      )
    } else {
      assert.match(line, /^((FILELOFT|OTEL)_\w+=\S+ )*(npm start|npx fileloft)/, `no test knows how to run ${line}`)
      if (line.includes('fileloft sign')) {
        const { stdout } = await run('bash', ['-c', line], { cwd: root })
        assert.match(stdout, /^http:\/\/localhost:8080\/files\?grant=[\w-]+\.[\w-]+\.[\w-]+\n$/)
        return
      }
      if (line.includes('fileloft import')) {
        const { stdout } = await run('bash', ['-c', line], { cwd: root, env: { ...process.env, ...environment } })
        assert.match(stdout, /^(would import|imported) nothing\n$/)
        return
      }
      if (storage?.missing === true) return t.skip('its storage server is not installed')
      const token = /FILELOFT_AUTH_TOKENS=([^\s,]+)/.exec(line)?.[1]
      const headers = token === undefined ? undefined : { Authorization: `Bearer ${token}` }
      // Whoever is asked for its keys there is nobody's; without a token it does not come to that.
      const isRefused = line.includes('FILELOFT_AUTH_JWKS_URL')
      await withReceiver(line, async (command) => {
        if (command.includes('fileloft hooks')) {
          await run('bash', ['-c', command], { cwd: root, env: { ...process.env, ...environment } })
          return
        }
        await withServer(command, environment, () => (isRefused ? expectRefusal(port) : upload(port, { headers })))
      })
    }
  } finally {
    await storage?.stop()
    await rm(data, { recursive: true, force: true })
  }
}

/** Runs `fileloft upload` in a folder that has the files which it names. */
async function uploadByCommand(line: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'fileloft-docs-'))
  try {
    const files = [...line.matchAll(/ (\w+\.(?:jpg|mp4))/g)].map(([, name = '']) => name)
    await mkdir(join(folder, 'photos'))
    for (const name of [...files, 'photos/1.jpg']) await writeFile(join(folder, name), randomBytes(5_000_000))
    const command = line.replace('npx fileloft', `"${process.execPath}" "${join(root, 'dist/node/cli.js')}"`)
    const environment = { ...process.env, TOKEN: 'a-token', XDG_STATE_HOME: folder }
    const { stdout } = await run('bash', ['-c', command], { cwd: folder, env: environment })
    assert.match(
      stdout,
      new RegExp(`^(http://127\\.0\\.0\\.1:\\d+/files/[0-9a-f]{32}\n){${Math.max(1, files.length)}}$`),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Runs a command that tells somebody of uploads while the example of a receiver listens there. */
async function withReceiver(line: string, work: (line: string) => Promise<void>): Promise<void> {
  const [url = ''] = /http:\/\/localhost:3000/.exec(line) ?? []
  if (url === '') return work(line)
  const port = String(await freePort())
  const [, secret] = /FILELOFT_HOOKS_SECRET=(\S+)/.exec(line) ?? []
  const environment = { PORT: port, ...(secret !== undefined && { HOOKS_SECRET: secret }) }
  await withServer(join(root, 'examples/webhook-receiver.ts'), environment, () =>
    work(line.replace(url, `http://127.0.0.1:${port}`)),
  )
}

interface Storage {
  readonly environment: Record<string, string>
  /** Its server is not installed. */
  readonly missing: boolean
  readonly stop: () => Promise<void>
}

/** The bucket that a command names, on a server that stands for the real storage; null where it names none. */
async function storageFor(line: string): Promise<Storage | null> {
  const [, kind = '', bucket = ''] = /FILELOFT_(S3_BUCKET|GCS_BUCKET|AZURE_CONTAINER)=(\S+)/.exec(line) ?? []
  const none = { environment: {}, missing: true, stop: () => Promise.resolve() }
  if (kind === 'S3_BUCKET') {
    const region = /FILELOFT_S3_REGION=(\S+)/.exec(line)?.[1]
    const server = await startMinio(region)
    if (server === null) return none
    await server.newBucket(bucket)
    const { endpoint, accessKeyId, secretAccessKey } = server
    const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
    return { environment: { ...keys, AWS_ENDPOINT_URL_S3: endpoint }, missing: false, stop: () => server.stop() }
  }
  if (kind === 'GCS_BUCKET') {
    const server = await startFakeGcs()
    if (server === null) return none
    await server.newBucket(bucket)
    return { environment: { STORAGE_EMULATOR_HOST: server.endpoint }, missing: false, stop: () => server.stop() }
  }
  if (kind === 'AZURE_CONTAINER') {
    const server = await startAzurite()
    if (server === null) return none
    await server.newContainer(bucket)
    const environment = { AZURE_STORAGE_CONNECTION_STRING: server.connectionString }
    return { environment, missing: false, stop: () => server.stop() }
  }
  return null
}

/** Runs a program, and ends its group when this process is gone, be it by SIGKILL: standard input ends then. */
const withParent = `
exec 3<&0 </dev/null
{ cat <&3; kill -s TERM 0; } >/dev/null 2>&1 &
exec 3<&-
exec "$@"
`

/** Runs a program (a file) or a command line until it says that it listens, then `work`, then ends it. */
async function withServer(command: string, environment: Record<string, string>, work: () => Promise<void>) {
  const isFile = /\.m?ts$/.test(command)
  const program = isFile ? process.execPath : 'bash'
  // In its own folder npx would build the package anew, under the hands of the other tests.
  const built = `"${process.execPath}" "${join(root, 'dist/node/cli.js')}"`
  const line = command.replace('npx fileloft', () => `exec ${built}`).replace('npm start', 'exec npm start')
  const words = isFile ? [command] : ['-c', line]
  // A group of its own: npm and npx start the server as a child of theirs.
  const server = spawn('sh', ['-c', withParent, 'sh', program, ...words], {
    cwd: isFile ? scratch : root,
    env: { ...process.env, ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  const exited = new Promise<void>((resolve) => server.once('close', () => resolve()))
  try {
    await new Promise<void>((resolve, reject) => {
      const onData = (chunk: Buffer) => {
        output += chunk.toString()
        if (/listening/i.test(output)) resolve()
      }
      server.stdout.on('data', onData)
      server.stderr.on('data', onData)
      server.once('close', (code) => reject(new Error(`${command} ended with ${code}: ${output}`)))
    })
    await work()
  } finally {
    if (server.pid !== undefined && server.exitCode === null) process.kill(-server.pid, 'SIGTERM')
    server.stdin.destroy()
    await exited
  }
}

/** Signs in at the example, has it sign a URL and uploads with nothing but that. */
async function uploadSigned(port: number): Promise<void> {
  const ask = (cookie: string) =>
    fetch(`http://127.0.0.1:${port}/avatar-url`, { method: 'POST', headers: { Cookie: cookie } })
  assert.equal((await ask('session=other')).status, 401)
  await expectRefusal(port)
  const { url } = (await (await ask('session=demo')).json()) as { url: string }
  await upload(port, { url, headers: { 'Upload-Metadata': `filetype ${btoa('image/png')}` } })
}

async function expectRefusal(port: number): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${port}/files`, {
    method: 'POST',
    headers: { ...tus, 'Upload-Length': '11' },
  })
  assert.ok([401, 403].includes(answer.status), await answer.text())
}

/** Behind an upload: removes another one, has a third refused, and looks whether that is counted as the page says. */
async function expectMetrics(port: number, shown: string): Promise<void> {
  const origin = `http://127.0.0.1:${port}`
  const removed = await fetch(await createUpload(origin, 11), { method: 'DELETE', headers: tus })
  assert.equal(removed.status, 204)
  await assert.rejects(createUpload(origin, 11, { 'X-Blocked': '1' }), /403/)
  const answer = await fetch(`${origin}/metrics`)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const counted = (await answer.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  assert.deepEqual(counted.toSorted(), shown.split('\n').toSorted())
}

/** Uploads a few bytes in two steps and checks the offset. */
async function upload(port: number, more: { url?: string; headers?: Record<string, string> | undefined } = {}) {
  const headers = { ...tus, ...more.headers }
  const created = await fetch(more.url ?? `http://127.0.0.1:${port}/files`, {
    method: 'POST',
    headers: { 'Upload-Metadata': 'filename aGVsbG8udHh0', ...headers, 'Upload-Length': '11' },
  })
  assert.equal(created.status, 201, await created.text())
  const location = created.headers.get('location') ?? ''
  const patched = await fetch(location, {
    method: 'PATCH',
    headers: { ...headers, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
    body: 'hello world',
  })
  assert.equal(patched.status, 204, await patched.text())
  const head = await fetch(location, { method: 'HEAD', headers })
  assert.equal(head.headers.get('upload-offset'), '11')
}
