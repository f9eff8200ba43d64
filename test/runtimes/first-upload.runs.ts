/**
 * A newcomer's way by docs/runtimes.md, timed: from an empty folder, with nothing in any cache, to the first upload. The
 * package comes from a registry here, as if it were published; all others come from where they always do.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from '../servers/program.ts'
import { table } from './counts.ts'
import { root, startIn, uploadBy } from './newcomer.ts'
import { type Section, sections } from './page.ts'
import { startRegistry } from './registry.ts'

const run = promisify(execFile)

/** What begins to serve, and so is the last command. */
const serves = /^(node|bun|deno run|npx wrangler dev)\b(?! add)/
/** One that is known to work: the newest would make this test another one each day. */
const wrangler = 'wrangler@4.157.0'
const rows: string[][] = []

void describe('from an empty folder to the first upload', () => {
  after(() => {
    const head = ['runtime', 'commands', 'files', 'seconds', 'of these installing']
    console.log(`\n${table(head, rows, 1)}\n`)
  })
  for (const [runtime, title] of [
    ['Node', 'Node'],
    ['Bun', 'Bun'],
    ['Deno', 'Deno'],
    ['Workers', 'Cloudflare Workers'],
  ] as const) {
    void test(runtime, async () => {
      const section = sections.find((each) => each.title === title) ?? assert.fail(`no section ${title}`)
      await walk(runtime, section)
    })
  }
})

async function walk(runtime: string, section: Section): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'fileloft-first-'))
  try {
    await using registry = await startRegistry(home)
    const folder = { path: join(home, 'empty'), [Symbol.asyncDispose]: () => Promise.resolve() }
    await mkdir(folder.path)
    const port = await freePort()
    const env = environment(home, registry.origin, port)
    const last = section.commands.findIndex((command) => serves.test(command))
    const commands = section.commands.slice(0, last + 1)
    assert.ok(commands.length > 1, 'it installs and it serves')

    const started = performance.now()
    await mkdir(dirname(join(folder.path, section.file)), { recursive: true })
    await writeFile(join(folder.path, section.file), section.program)
    for (const { file, text } of section.files) await writeFile(join(folder.path, file), text)
    for (const command of commands.slice(0, -1)) {
      const [file = '', ...args] = command.split(' ')
      await run(file, args, { cwd: folder.path, env, timeout: 120_000 })
    }
    const installed = performance.now()
    await using _ = await startIn(folder, words(commands.at(-1) ?? '', port), env)
    await uploadBy(folder, section.upload, port, env)
    const seconds = (to: number) => ((to - started) / 1000).toFixed(1)
    // The upload is one.
    const counts = [commands.length + 1, 1 + section.files.length].map(String)
    rows.push([runtime, ...counts, seconds(performance.now()), seconds(installed)])
  } finally {
    await rm(home, { recursive: true, force: true, maxRetries: 5 })
  }
}

function words(command: string, port: number): string[] {
  const [file = '', ...args] = command.split(' ')
  return args[0] === 'wrangler' ? [file, '--yes', wrangler, ...args.slice(1), '--port', String(port)] : [file, ...args]
}

/** Nothing is in a cache, and each program asks our registry; nothing of an `npm run` around this test. */
function environment(home: string, registry: string, port: number): Record<string, string | undefined> {
  return {
    ...Object.fromEntries(
      Object.entries(process.env).map(([name, value]) => [name, /^npm_/i.test(name) ? undefined : value]),
    ),
    PATH: [dirname(process.execPath), join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
    PORT: String(port),
    npm_config_cache: join(home, 'npm'),
    npm_config_registry: registry,
    NPM_CONFIG_REGISTRY: registry,
    BUN_CONFIG_REGISTRY: registry,
    BUN_INSTALL_CACHE_DIR: join(home, 'bun'),
    DENO_DIR: join(home, 'deno'),
    WRANGLER_SEND_METRICS: 'false',
    XDG_CONFIG_HOME: join(home, 'config'),
  }
}
