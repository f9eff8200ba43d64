/** The package as it would be published, packed once and installed into empty projects of each kind. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import { temporaryDirectory } from './cli-support.ts'
import { brokenLinks } from './support/links.ts'
import { startProgram } from './servers/program.ts'
import { missing } from './servers/versions.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const fixtures = fileURLToPath(new URL('packed/', import.meta.url))
const modules = join(root, 'node_modules')
const run = promisify(execFile)

interface Manifest {
  readonly exports: Record<string, unknown>
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

void describe('the packed package', () => {
  const folder = temporaryDirectory()
  /** Where it was installed by npm; the other projects are copies of it. */
  const installed = join(folder.path, 'installed')
  let tarball = ''

  before(async () => {
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder.path]
    const { stdout } = await run('npm', pack, { cwd: root })
    const [{ filename = '' } = {}] = JSON.parse(stdout) as { filename?: string }[]
    tarball = join(folder.path, filename)
    mkdirSync(installed)
    writeFileSync(join(installed, 'package.json'), '{ "private": true, "type": "module" }')
    const quick = ['--prefer-offline', '--omit=optional', '--no-audit', '--no-fund', '--ignore-scripts']
    await run('npm', ['install', tarball, ...quick], { cwd: installed })
    return () => folder[Symbol.dispose]()
  })

  function project(name: string, packages: readonly string[] = []): string {
    const path = join(folder.path, name)
    cpSync(installed, path, { recursive: true })
    for (const file of readdirSync(fixtures)) cpSync(join(fixtures, file), join(path, file))
    for (const each of packages) link(path, each)
    return path
  }

  test('the tarball has what runs and what an editor shows, and nothing of the tests or of this machine', async () => {
    const { stdout } = await run('tar', ['-tzf', tarball])
    const files = stdout.trim().split('\n')
    const demo = ['index.html', 'page.js', 'page.css', 'licenses.txt'].map((file) => `dist/demo/${file}`)
    const own = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'dist/index.js', 'src/index.ts', ...demo]
    const linked = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/\]\(((?:docs|examples)\/[^)#]+)/g)]
    assert.ok(linked.length > 10)
    for (const file of [...own, ...linked.map(([, file = '']) => file)]) {
      assert.ok(files.includes(`package/${file}`), `${file} is not in it`)
    }
    assert.deepEqual(
      files.filter((file) => !/^package\/((dist|src|examples)\/|docs\/[\w-]+\.md$|[\w.]+$)/.test(file)),
      [],
    )
    for (const page of files.filter((file) => file.endsWith('.md'))) {
      const text = readFileSync(join(root, page.replace('package/', '')), 'utf8')
      assert.deepEqual(brokenLinks(page, text, files), [], page)
    }
    for (const map of files.filter((file) => file.endsWith('.map'))) {
      const source = map.replace('package/dist/', 'package/src/').replace(/(\.d\.ts|\.js)\.map$/, '.ts')
      assert.ok(files.includes(source), `${map} points to ${source}, which is not in it`)
    }
  })

  test('installed: no client of a storage and nothing of OpenTelemetry’s SDK comes with it', (t) => {
    const packages = installedPackages(join(installed, 'node_modules'))
    for (const name of Object.keys(manifest.dependencies)) assert.ok(packages.has(name), `${name} is missing`)
    // The metrics bring OpenTelemetry's API, which is only its interfaces.
    const optional = Object.keys(manifest.peerDependencies).filter((name) => name !== '@opentelemetry/api')
    assert.deepEqual(
      optional.filter((name) => packages.has(name)),
      [],
    )
    assert.deepEqual(
      [...packages.keys()].filter((name) => /^@(aws-sdk|azure|google-cloud|smithy)\//.test(name)),
      [],
    )
    const bytes = [...packages.values()].reduce((sum, size) => sum + size, 0)
    assert.ok(packages.size < 80 && bytes < 25e6, `${packages.size} packages of ${bytes} bytes`)
    const own = packages.get('fileloft') ?? 0
    t.diagnostic(`${packages.size} packages, ${mb(bytes)}; fileloft itself ${mb(own)}`)
  })

  test('mounted on Node: an upload on each store, and no other package is loaded', async () => {
    const path = project('node')
    const { stdout, stderr } = await run(process.execPath, ['--import', './loaded.mjs', 'upload.mjs', 'data'], {
      cwd: path,
    })
    assert.equal(stdout, uploaded)
    assert.equal(stderr, 'loaded: fileloft\n')
  })

  test('require("fileloft") in CommonJS: the same functions', async () => {
    const path = project('commonjs')
    const code = `const { createTusHandler } = require('fileloft'); console.log(typeof createTusHandler)`
    const { stdout } = await run(process.execPath, ['--input-type=commonjs', '-e', code], { cwd: path })
    assert.equal(stdout, 'function\n')
  })

  test('stores whose client is not installed: the import fails and names the package', async () => {
    const path = project('clients-missing')
    for (const [entry, client] of [
      ['fileloft/stores/s3', 'aws4fetch'],
      ['fileloft/stores/gcs', '@google-cloud/storage'],
      ['fileloft/stores/azure', '@azure/storage-blob'],
    ] as const) {
      const failed = run(process.execPath, ['--input-type=module', '-e', `import '${entry}'`], { cwd: path })
      await assert.rejects(failed, new RegExp(`Cannot find package '${client}' imported from .*fileloft`))
    }
  })

  test('the command: npx fileloft, as installed, tells its version', async () => {
    const { stdout } = await run('npx', ['--offline', 'fileloft', '--version'], { cwd: installed })
    assert.match(stdout, /^(fileloft )?\d+\.\d+\.\d+\n$/)
  })

  test('the command: fileloft --demo, as installed, shows the page and its script', async () => {
    const command = join(installed, 'node_modules/.bin/fileloft')
    await using server = await startProgram({
      name: 'fileloft --demo',
      command,
      args: ({ port, folder: data }) => ['--demo', '--bind', `127.0.0.1:${port}`, '--data-dir', data],
      ready: { path: '/healthz' },
    })
    for (const path of ['/', '/demo/page.js', '/demo/page.css']) {
      const answer = await fetch(`http://127.0.0.1:${server.port}${path}`)
      assert.equal(answer.status, 200, path)
      assert.ok((await answer.text()).length > 500, path)
    }
  })

  test('a program in TypeScript, run by Node as it is: takes an upload', async () => {
    const path = project('typescript', ['aws4fetch'])
    await using server = await startProgram({
      name: 'node node.ts',
      command: process.execPath,
      args: () => [join(path, 'node.ts')],
      ready: { line: /listening on .*port: (\d+)/ },
    })
    await upload(`http://127.0.0.1:${server.port}`)
  })

  for (const [file, packages] of [
    ['neutral.ts', []],
    ['node.ts', ['@types/node', 'undici-types']],
    ['clients.ts', ['@types/node', 'undici-types', '@azure/storage-blob', '@google-cloud/storage']],
  ] as const) {
    for (const resolution of ['node16', 'nodenext', 'bundler']) {
      test(`TypeScript, moduleResolution ${resolution}: ${file} compiles, each wrong option is told`, async () => {
        const path = project(`${file}-${resolution}`, packages)
        const compilerOptions = {
          strict: true,
          exactOptionalPropertyTypes: true,
          noEmit: true,
          target: 'es2023',
          lib: ['es2024', 'dom', 'dom.iterable', 'dom.asynciterable'],
          module: resolution === 'bundler' ? 'preserve' : resolution,
          moduleResolution: resolution,
          types: packages.length === 0 ? [] : ['node'],
          // Our declarations are checked as the program is, where no other package's are among them.
          skipLibCheck: file === 'clients.ts',
        }
        writeFileSync(join(path, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }))
        await checkTypes(path)
      })
    }
  }

  test('those programs import every subpath that package.json exports', () => {
    const texts = ['neutral.ts', 'node.ts', 'clients.ts'].map((file) => readFileSync(join(fixtures, file), 'utf8'))
    const imported = texts.flatMap((text) =>
      [...text.matchAll(/from 'fileloft(\/[^']+)?'/g)].map(([, path = '']) => path),
    )
    const exported = Object.keys(manifest.exports).filter((path) => path !== './package.json')
    assert.deepEqual([...new Set(imported)].sort(), exported.map((path) => path.slice(1)).sort())
  })

  test('bundled for Workers: the core is below 25 KiB gzipped, and with R2 it takes an upload on workerd', async (t) => {
    const path = project('worker')
    writeFileSync(join(path, 'core.ts'), `export { createTusHandler } from 'fileloft'`)
    const core = gzipSync(await bundle(path, 'core.ts')).byteLength
    const worker = await bundle(path, 'worker.ts')
    assert.ok(core > 5 * 1024 && core < 25 * 1024, `${core} bytes`)
    t.diagnostic(`gzipped: core ${core} bytes, with R2 ${gzipSync(worker).byteLength} bytes`)
    // No `nodejs_compat`: it needs nothing of Node.
    const server = startWorker(Buffer.from(worker).toString())
    try {
      await upload((await server.ready).origin)
    } finally {
      await server.dispose()
    }
  })

  const bun = join(modules, '.bin/bun')
  const deno = join(modules, '.bin/deno')
  const install = 'npm ci'

  test('added by Bun to an empty project, mounted and run by it: an upload on each store', async (t) => {
    if (!existsSync(bun) && missing('Bun', install) === null) return t.skip('Bun is not installed')
    const path = join(folder.path, 'bun')
    mkdirSync(path)
    writeFileSync(join(path, 'package.json'), '{ "private": true, "type": "module" }')
    cpSync(join(fixtures, 'upload.mjs'), join(path, 'upload.mjs'))
    await run(bun, ['add', '--ignore-scripts', '--omit=optional', tarball], { cwd: path })
    const { stdout } = await run(bun, ['upload.mjs', 'data'], { cwd: path })
    assert.equal(stdout, uploaded)
  })

  test('in a project that Deno runs: an upload on each store', async (t) => {
    if (!existsSync(deno) && missing('Deno', install) === null) return t.skip('Deno is not installed')
    const path = project('deno')
    const { stdout } = await run(deno, ['run', '--allow-all', 'upload.mjs', 'data'], { cwd: path })
    assert.equal(stdout, uploaded)
  })
})

/** What `upload.mjs` prints. */
const uploaded = '201 204 200 hello world\n201 204 200 hello world\nfunction function\n'

/** A package of this checkout in the project, as if it had been installed there. */
function link(path: string, name: string): void {
  const target = join(path, 'node_modules', name)
  mkdirSync(dirname(target), { recursive: true })
  symlinkSync(join(modules, name), target)
}

async function checkTypes(path: string): Promise<void> {
  await run(join(modules, '.bin/tsc'), ['-p', 'tsconfig.json'], { cwd: path }).catch((error: unknown) => {
    assert.fail((error as { stdout: string }).stdout)
  })
}

/** Names and sizes in bytes of all packages in the folder. */
function installedPackages(folder: string): Map<string, number> {
  const sizes = new Map<string, number>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file) ?? []
    if (name !== undefined && !name.startsWith('.')) {
      sizes.set(name, (sizes.get(name) ?? 0) + readFileSync(file).byteLength)
    }
  }
  return sizes
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

async function bundle(path: string, entry: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    absWorkingDir: path,
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser'],
    logLevel: 'silent',
  })
  return outputFiles[0]?.contents ?? new Uint8Array()
}

function startWorker(script: string): Miniflare {
  process.env['MINIFLARE_WORKERD_PATH'] ??= join(root, 'test/servers/workerd.sh')
  return new Miniflare({
    modules: true,
    script,
    compatibilityDate: '2026-07-01',
    host: '127.0.0.1',
    port: 0,
    r2Buckets: ['BUCKET'],
    cf: false,
    telemetry: { enabled: false },
  })
}

async function upload(origin: string): Promise<void> {
  const headers = { 'Tus-Resumable': '1.0.0', 'Content-Type': 'application/offset+octet-stream' }
  const post = { method: 'POST', headers: { ...headers, 'Upload-Length': '11' }, body: 'hello' }
  const created = await fetch(`${origin}/files`, post)
  assert.equal(created.status, 201, await created.text())
  const url = created.headers.get('location') ?? ''
  const patch = { method: 'PATCH', headers: { ...headers, 'Upload-Offset': '5' }, body: ' world' }
  assert.equal((await fetch(url, patch)).status, 204)
  assert.equal(await (await fetch(url)).text(), 'hello world')
}
