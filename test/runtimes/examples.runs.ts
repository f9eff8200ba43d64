/** The examples, as a newcomer runs them, each with an upload of tus-js-client that is interrupted twice. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort } from '../servers/program.ts'
import { brokenLinks } from '../support/links.ts'
import { buildSvelte, nextApp, nextCommand, svelteApp } from './apps.ts'
import {
  assertStoredIn,
  dependencies,
  type Folder,
  hashOf,
  newcomersFolder,
  root,
  startIn,
  uploadBy,
  uploadInterrupted,
} from './newcomer.ts'
import { sections } from './page.ts'
import { programs } from './programs.ts'
import { startWorker } from './workerd.ts'

const run = promisify(execFile)
const { node22, node24, node26, bun, deno } = programs

void describe('an upload that is interrupted twice', () => {
  for (const [program, example, packages] of [
    [node22, 'node.ts', []],
    [node24, 'node.ts', []],
    [node26, 'node.ts', []],
    [bun, 'bun.ts', []],
    [deno, 'deno.ts', []],
    [node24, 'express.ts', ['node_modules/express']],
    [node24, 'fastify.ts', ['node_modules/fastify']],
    [node24, 'hono.ts', ['node_modules/hono', 'node_modules/@hono/node-server']],
  ] as const) {
    const skip = program.command === null && `${program.name} is not installed: npm run runtimes`
    void test(`${program.name}, examples/${example}`, { skip }, async () => {
      await using folder = await newcomersFolder(example, packages)
      await uploadTo(folder, [...(program.command ?? []), example])
    })
  }

  void test('workerd, examples/cloudflare', async () => {
    await using folder = await newcomersFolder('cloudflare')
    const miniflare = await startWorker(join(folder.path, 'src/worker.ts'), false)
    try {
      const { port } = await miniflare.ready
      // R2 takes about one write a second of the record.
      const { id, sha256 } = await uploadInterrupted(Number(port), { chunkSize: 6 << 20 })
      const stored = await storedIn(await miniflare.getR2Bucket('BUCKET'), id)
      assert.equal(hashOf(stored), sha256)
    } finally {
      await miniflare.dispose()
    }
  })

  void test('Next.js as in development, examples/nextjs', async () => {
    await using folder = await nextApp()
    await uploadTo(folder, nextCommand('dev', '--webpack'), { NEXT_TELEMETRY_DISABLED: '1' }, 'Next.js')
  })

  void test('SvelteKit with adapter-node, examples/sveltekit', async () => {
    await using folder = await svelteApp()
    await buildSvelte(folder)
    await uploadTo(folder, [process.execPath, 'build/index.js'], { BODY_SIZE_LIMIT: 'Infinity' }, 'SvelteKit')
  })
})

void test('deno check examples/deno.ts: no errors against the types of the package', async () => {
  await using folder = await newcomersFolder('deno.ts')
  await run(denoFile(), ['check', 'deno.ts'], { cwd: folder.path })
})

void test('deno publish --dry-run: nothing to complain about, and each link of its pages leads to a file of it', async () => {
  const { stdout, stderr } = await run(denoFile(), ['publish', '--dry-run', '--allow-dirty'], { cwd: root })
  assert.match(stdout + stderr, /Dry run complete/)
  const files = [...(stdout + stderr).matchAll(/ (file:\S+) \(/g)].map(([, url = '']) =>
    relative(root, fileURLToPath(url)),
  )
  assert.ok(files.length > 100, String(files.length))
  for (const page of files.filter((file) => file.endsWith('.md'))) {
    assert.deepEqual(brokenLinks(page, await readFile(join(root, page), 'utf8'), files), [], page)
  }
})

function denoFile(): string {
  return deno.command?.[0] ?? assert.fail('Deno is not installed: npm ci')
}

/** The binding's own types are at odds with those of the other runtimes. */
async function storedIn(bucket: unknown, key: string): Promise<Uint8Array> {
  const { get } = bucket as { readonly get: (key: string) => Promise<Response | null> }
  const stored = await get(key)
  return new Uint8Array((await stored?.arrayBuffer()) ?? assert.fail(`${key} is not in the bucket`))
}

/** @param title Of a section of docs/runtimes.md, whose first upload is made as well. */
async function uploadTo(
  folder: Folder,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
  title?: string,
): Promise<void> {
  const port = await freePort()
  await using server = await startIn(folder, command, { ...env, PORT: String(port), HOST: '127.0.0.1' })
  const done = await uploadInterrupted(port)
  await assertStoredIn(folder, done)
  assert.match(server.output(), new RegExp(`${done.id} is complete: \\d+ bytes`))
  if (title === undefined) return
  const section = sections.find((each) => each.title === title) ?? assert.fail(`no section ${title}`)
  await using installed = await newcomersFolder('node.ts', dependencies)
  await assertStoredIn(folder, await uploadBy(installed, section.upload, port))
}
