/** What Next.js and SvelteKit do by themselves, in production, as docs/runtimes.md and the table in the README say. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { freePort } from '../servers/program.ts'
import { type Init, until } from '../suites/support.ts'
import { buildNext, buildSvelte, nextApp, nextCommand, svelteApp } from './apps.ts'
import { exchange } from './client.ts'
import { type Folder, startIn } from './newcomer.ts'
import { dial } from './wire-node.ts'

const octets = 'application/offset+octet-stream'
const tus = { 'Tus-Resumable': '1.0.0' }
const creation = { ...tus, 'Upload-Length': '5' }
const hello = Uint8Array.from('hello', (character) => character.charCodeAt(0))

/** Sends a request to a server that runs for the test alone. */
type Ask = (
  method: string,
  path: string,
  headers?: Readonly<Record<string, string>>,
  body?: Init['body'],
) => Promise<Response>

/** Has the server say what Node is to cut requests after, and Node do so earlier where `REQUEST_TIMEOUT` is set. */
const preloaded = encodeURIComponent(`
  import http from 'node:http'
  const { createServer } = http
  http.createServer = (...args) => {
    const server = createServer({ connectionsCheckingInterval: 100 }, ...args)
    console.log('requestTimeout=' + server.requestTimeout)
    // Node wants no shorter time for the whole than for the head.
    if ('REQUEST_TIMEOUT' in process.env) {
      server.requestTimeout = server.headersTimeout = Number(process.env.REQUEST_TIMEOUT)
    }
    return server
  }
`)

/** Starts the folder's server when the tests begin, and stops it after them. */
function serving(command: readonly string[], make: () => Promise<Folder>, env: Readonly<Record<string, string>> = {}) {
  let port = 0
  let output = (): string => ''
  let stop = (): Promise<void> => Promise.resolve()
  before(async () => {
    const folder = await make()
    port = await freePort()
    const place = { PORT: String(port), HOST: '127.0.0.1', NODE_OPTIONS: `--import=data:text/javascript,${preloaded}` }
    const started = await startIn(folder, command, { ...env, ...place })
    output = started.output
    stop = async () => {
      await started[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    }
  })
  after(() => stop())
  const ask: Ask = (method, path, headers = {}, body) =>
    exchange(dial, port, path, { method, headers, ...(body && { body }) }, new Set())
  return { ask, port: () => port, output: () => output() }
}

const location = (answer: Response): string => answer.headers.get('Location') ?? ''

void describe('Next.js', () => {
  const { ask, port, output } = serving(nextCommand('start'), async () => {
    const folder = await nextApp()
    const app = join(folder.path, 'app')
    // The same without the line about Location, with downloads.
    const route = await readFile(join(app, 'files/[[...path]]/route.js'), 'utf8')
    const other = route
      .replace(/location: \{ relative: true \}/, 'downloads: true')
      .replace(/path: "\/files"/, 'path: "/absolute"')
    assert.ok(other.includes('"/absolute"') && other.includes('downloads: true'), other)
    await mkdir(join(app, 'absolute/[[...path]]'), { recursive: true })
    await writeFile(join(app, 'absolute/[[...path]]/route.js'), other)
    // It looks at no body.
    const proxy = "export const config = { matcher: '/absolute/:path*' }; export function proxy() {}"
    await writeFile(join(folder.path, 'proxy.js'), proxy)
    await buildNext(folder)
    return folder
  })

  void test('POST under a name of the world: Location is a path', async () => {
    assert.match(location(await ask('POST', '/files', { ...creation, Host: 'up.example.com' })), /^\/files\/\w+$/)
  })

  void test('POST under a name of the world, without location.relative: Location is on localhost', async () => {
    const answer = await ask('POST', '/absolute', { ...creation, Host: 'up.example.com' })
    assert.equal(new URL(location(answer)).origin, `http://localhost:${port()}`)
  })

  void test('POST with X-Forwarded-Proto, without location.relative: Location has that scheme, asked or not', async () => {
    const answer = await ask('POST', '/absolute', { ...creation, 'X-Forwarded-Proto': 'https' })
    assert.match(location(answer), /^https:/)
  })

  void test('GET of a download: its bytes in chunks, without Content-Length', async () => {
    const created = await ask('POST', '/absolute', { ...creation, 'Content-Type': octets }, hello)
    const answer = await ask('GET', new URL(location(created)).pathname)
    assert.equal(answer.headers.get('Content-Length'), null)
    assert.equal(answer.headers.get('Transfer-Encoding'), 'chunked')
    assert.equal(await answer.text(), 'hello')
  })

  void test('PATCH of 12 MiB on a path that proxy.js matches: cut at about 10 MB, 503, kept so far', async () => {
    const length = 12 << 20
    const path = new URL(location(await ask('POST', '/absolute', { ...tus, 'Upload-Length': String(length) }))).pathname
    const headers = { ...tus, 'Upload-Offset': '0', 'Content-Type': octets }
    const answer = await ask('PATCH', path, headers, new Uint8Array(length))
    assert.equal(answer.status, 503)
    assert.match(await answer.text(), /did not arrive whole/)
    const offset = Number((await ask('HEAD', path, tus)).headers.get('Upload-Offset'))
    assert.ok(offset > 10e6 && offset < 10.5e6, String(offset))
  })

  void test('a request takes five minutes at most, as Node says by default', () => {
    assert.match(output(), /requestTimeout=300000$/m)
  })

  void test('POST to /files/: an upload is made, as next.config.mjs says', async () => {
    assert.equal((await ask('POST', '/files/', creation)).status, 201)
  })

  void test('a path that cannot be decoded: 500 by Next.js, in words', async () => {
    const answer = await ask('HEAD', '/files/%ff', tus)
    assert.equal(answer.status, 500)
    assert.equal(await (await ask('GET', '/files/%ff', tus)).text(), 'Internal Server Error')
  })

  for (const [path, place] of [
    ['/files/a//b', '/files/a/b'],
    ['/files/..\\..\\secret', '/secret'],
  ] as const) {
    void test(`${path}: 308 to ${place} by Next.js`, async () => {
      const answer = await ask('HEAD', path, tus)
      assert.equal(answer.status, 308)
      assert.equal(new URL(location(answer), 'http://localhost').pathname, place)
    })
  }

  void test('a checksum announced as a trailer: 400 in words, and OPTIONS does not offer it', async () => {
    await refusesTrailers(ask)
  })
})

const svelte = [process.execPath, 'build/index.js']
const built = async (config?: string) => {
  const folder = await svelteApp({}, config)
  const routes = join(folder.path, 'src/routes')
  // The same without the line about Location.
  const route = await readFile(join(routes, 'files/[...path]/+server.ts'), 'utf8')
  const other = route.replace('location: { relative: true },', '').replace("path: '/files'", "path: '/absolute'")
  assert.ok(other.includes('/absolute') && !other.includes('relative'), other)
  await mkdir(join(routes, 'absolute/[...path]'), { recursive: true })
  await writeFile(join(routes, 'absolute/[...path]/+server.ts'), other)
  await buildSvelte(folder)
  return folder
}

void describe('SvelteKit with adapter-node, as in examples/sveltekit', () => {
  const { ask, output } = serving(svelte, () => built())

  void test('POST without Content-Type from a client that is no page, and from a page elsewhere: 201', async () => {
    assert.equal((await ask('POST', '/files', creation)).status, 201)
    assert.equal((await ask('POST', '/files', { ...creation, Origin: 'https://elsewhere.example' })).status, 201)
  })

  void test('POST: Location is a path; without location.relative it is https under the name that was asked', async () => {
    const headers = { ...creation, Host: 'up.example.com' }
    assert.match(location(await ask('POST', '/files', headers)), /^\/files\/\w+$/)
    assert.match(location(await ask('POST', '/absolute', headers)), /^https:\/\/up\.example\.com\/absolute\/\w+$/)
  })

  void test('a request takes five minutes at most, as Node says by default', () => {
    assert.match(output(), /requestTimeout=300000$/m)
  })

  void test('POST to /files/: an upload is made', async () => {
    assert.equal((await ask('POST', '/files/', creation)).status, 201)
  })

  void test('BODY_SIZE_LIMIT not set, a body of 1 MiB: 413 in words', async () => {
    const headers = { ...tus, 'Upload-Length': String(1 << 20), 'Content-Type': octets }
    const answer = await ask('POST', '/files', headers, new Uint8Array(1 << 20))
    assert.equal(answer.status, 413)
    assert.match(await answer.text(), /longer than this server takes/)
  })

  void test('a path that cannot be decoded: 400 by SvelteKit', async () => {
    assert.equal((await ask('HEAD', '/files/%ff', tus)).status, 400)
  })

  void test('a checksum announced as a trailer: 400 in words, and OPTIONS does not offer it', async () => {
    await refusesTrailers(ask)
  })
})

void describe('SvelteKit with adapter-node, with one origin in csrf.trustedOrigins', () => {
  const config = `
    import adapter from '@sveltejs/adapter-node'
    import { sveltekit } from '@sveltejs/kit/vite'
    const csrf = { trustedOrigins: ['https://app.example.com'] }
    const paths = { origin: 'https://up.example.com' }
    export default { plugins: [sveltekit({ adapter: adapter(), csrf, paths })] }
  `
  const { ask } = serving(svelte, () => built(config), { BODY_SIZE_LIMIT: 'Infinity', REQUEST_TIMEOUT: '3000' })
  const own = { Origin: 'https://up.example.com' }
  const foreign = { Origin: 'https://elsewhere.example' }

  for (const [from, origin] of [
    ['a client that is no page', {}],
    ['a page elsewhere', foreign],
  ] as const) {
    void test(`POST and DELETE without Content-Type from ${from}: 403 in words, by SvelteKit`, async () => {
      const created = await ask('POST', '/files', { ...creation, ...own })
      for (const [method, path] of [
        ['POST', '/files'],
        ['DELETE', location(created)],
      ] as const) {
        const answer = await ask(method, path, { ...creation, ...origin })
        assert.equal(answer.status, 403)
        assert.match(await answer.text(), new RegExp(`Cross-site ${method} form submissions are forbidden`))
      }
    })

    void test(`POST, PATCH and DELETE of ${octets} from ${from}: not concerned`, async () => {
      const headers = { ...tus, 'Content-Type': octets, ...origin }
      const created = await ask('POST', '/files', { ...headers, 'Upload-Length': '9' })
      assert.equal(created.status, 201)
      const patched = await ask('PATCH', location(created), { ...headers, 'Upload-Offset': '0' }, hello)
      assert.equal(patched.status, 204)
      assert.equal((await ask('DELETE', location(created), headers)).status, 204)
    })
  }

  void test('POST without Content-Type from its own pages and from those named: 201', async () => {
    assert.equal((await ask('POST', '/files', { ...creation, ...own })).status, 201)
    assert.equal((await ask('POST', '/files', { ...creation, Origin: 'https://app.example.com' })).status, 201)
  })

  void test('PATCH that takes longer than Node waits: 408, which tus-js-client does not retry; what came is kept', async () => {
    const path = location(await ask('POST', '/files', { ...creation, ...own, 'Upload-Length': '100' }))
    const headers = { ...tus, 'Upload-Offset': '0', 'Content-Type': octets, 'Content-Length': '100' }
    const answer = await ask('PATCH', path, headers, new ReadableStream({ start: (body) => body.enqueue(hello) }))
    assert.equal(answer.status, 408)
    await until(async () => (await ask('HEAD', path, tus)).headers.get('Upload-Offset') === '5', 'it is stored')
  })

  void test('POST, without location.relative: Location is on paths.origin', async () => {
    assert.match(location(await ask('POST', '/absolute', { ...creation, ...own })), /^https:\/\/up\.example\.com\//)
  })
})

async function refusesTrailers(ask: Ask): Promise<void> {
  const path = location(await ask('POST', '/files', creation))
  const headers = { ...tus, 'Upload-Offset': '0', 'Content-Type': octets, Trailer: 'Upload-Checksum' }
  const answer = await ask('PATCH', path, headers, hello)
  assert.equal(answer.status, 400)
  assert.match(await answer.text(), /trailer/i)
  assert.equal((await ask('HEAD', path, tus)).headers.get('Upload-Offset'), '0')
  const extensions = (await ask('OPTIONS', '/files')).headers.get('Tus-Extension')?.split(',') ?? []
  assert.ok(extensions.includes('checksum') && !extensions.includes('checksum-trailer'), extensions.join())
}
