/** What the package promises to whoever installs it. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const root = new URL('../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

/** Subpaths that run on every runtime, and so may reach neither Node nor a package. */
const neutral = [
  'src/index.ts',
  'src/stores/memory.ts',
  'src/lockers/memory.ts',
  'src/lockers/durable-object.ts',
  'src/hono.ts',
  'src/stores/r2.ts',
  'src/signed-urls.ts',
]

for (const entry of neutral) {
  test(`${entry}, bundled for no runtime in particular, imports web standards only`, async () => {
    const result = await build({
      absWorkingDir: new URL('.', root).pathname,
      entryPoints: [entry],
      bundle: true,
      write: false,
      minify: true,
      metafile: true,
      format: 'esm',
      platform: 'neutral',
      external: ['node:*'],
      logLevel: 'silent',
    })
    const outside = Object.values(result.metafile.inputs).flatMap((input) =>
      input.imports.filter(({ external, path }) => external === true || path.includes('node_modules')),
    )
    assert.deepEqual(outside, [])
    const files = Object.keys(result.metafile.inputs)
    assert.ok(files.includes(entry), `nothing was bundled: ${files.join(', ')}`)
    const [output] = result.outputFiles
    const size = gzipSync(output?.contents ?? '').byteLength
    assert.ok(size > 100 && size < 25 * 1024, `${entry} has ${size} bytes gzipped`)
  })
}

test('exports of package.json and deno.json name the same subpaths, and each has a source', () => {
  const { exports: npm, version } = JSON.parse(read('package.json')) as {
    version: string
    exports: Record<string, { default: string } | string>
  }
  const deno = JSON.parse(read('deno.json')) as { version: string; exports: Record<string, string> }
  assert.equal(deno.version, version)
  const built = Object.entries(npm).flatMap(([subpath, target]) =>
    typeof target === 'string' ? [] : [[subpath, target.default.replace('./dist/', './src/').replace(/\.js$/, '.ts')]],
  )
  assert.deepEqual(Object.fromEntries(built), deno.exports)
  for (const source of Object.values(deno.exports)) assert.ok(existsSync(new URL(source, root)), `${source} is missing`)
})

test('the changelog has an entry for the version in package.json', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  assert.match(read('CHANGELOG.md'), new RegExp(`^## ${version.replaceAll('.', '\\.')}( |$)`, 'm'))
})

test('examples of runtimes and frameworks are about 40 lines at most', () => {
  const others = ['grafana-dashboard.json', 'store/', 'deploy/', 'hooks/']
  const files = readdirSync(new URL('examples/', root), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).replace(fileURLToPath(new URL('examples/', root)), ''))
    .filter((file) => !others.some((other) => file.startsWith(other)))
  assert.ok(files.length >= 12, files.join())
  for (const file of files) {
    const lines = read(`examples/${file}`).trimEnd().split('\n').length
    assert.ok(lines <= 46, `${file} has ${lines} lines`)
  }
})
