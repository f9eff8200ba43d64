/** docs/runtimes.md: each program is the file that it is said to be, and each command runs in a newcomer's folder. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from '../servers/program.ts'
import {
  assertStoredIn,
  dependencies,
  newcomersFolder,
  root,
  startIn,
  uploadBy,
  uploadInterrupted,
} from './newcomer.ts'
import { type Section, sections } from './page.ts'
import { programs } from './programs.ts'

const run = promisify(execFile)
test('the page has a section for each runtime', () => {
  const titles = sections.map(({ title }) => title)
  for (const name of ['Node', 'Bun', 'Deno', 'Hono', 'Cloudflare Workers', 'AWS Lambda']) {
    assert.ok(titles.includes(name), name)
  }
})

for (const section of sections.filter(({ program }) => program !== '')) {
  const { title, example, program, commands, files, upload } = section
  test(`${title}: the program is examples/${example}`, async () => {
    assert.equal(program, await readFile(join(root, 'examples', example), 'utf8'))
  })
  for (const { file, example, text } of files) {
    test(`${title}: ${file} is examples/${example}`, async () => {
      assert.equal(text, await readFile(join(root, 'examples', example), 'utf8'))
    })
  }
  for (const command of commands) test(`${title}: ${command}`, () => runCommand(command, section))
  test(`${title}: a first upload, to where it listens`, () => {
    assert.match(upload, new RegExp(` --to ${places[title] ?? 'http://127\\.0\\.0\\.1:8080'}/files$`))
  })
}

/** Where others listen; examples.runs.ts and first-upload.runs.ts upload to them by these commands. */
const places: Readonly<Record<string, string>> = {
  'Cloudflare Workers': 'http://localhost:8787',
  'Next.js': 'http://localhost:3000',
  SvelteKit: 'http://localhost:3000',
  'AWS Lambda': 'https://ID\\.lambda-url\\.REGION\\.on\\.aws',
}

/** Run with an account, in an application or by first-upload.runs.ts only; examples.runs.ts builds and runs SvelteKit's. */
const elsewhere =
  /^(npx wrangler (dev|r2 bucket create uploads|deploy)|npm run (dev|build)|BODY_SIZE_LIMIT=Infinity node .*)$/

/** The newcomer's folder has the packages already: ours is not published for a test. */
const installs =
  /^(npm install|bun add) fileloft( express| fastify| aws4fetch| hono @hono\/node-server)?$|^deno add npm:fileloft$/

async function runCommand(command: string, { example, file: name, upload }: Section): Promise<void> {
  if (installs.test(command)) return
  if (elsewhere.test(command)) return
  const [runtime = '', ...args] = command.split(' ')
  const packages = ['express', 'fastify', 'aws4fetch', 'esbuild', '@esbuild'].map((each) => `node_modules/${each}`)
  await using folder = await newcomersFolder(example, [...packages, ...dependencies])
  if (runtime === 'npx') {
    await rename(join(folder.path, example), join(folder.path, name))
    await run(join(root, 'node_modules/.bin', args[0] ?? ''), args.slice(1), { cwd: folder.path })
    const keys = { AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }
    const say = `const { handler } = await import('./index.mjs'); console.log(typeof handler)`
    const { stdout } = await run(process.execPath, ['-e', say], {
      cwd: folder.path,
      env: { ...process.env, ...keys },
    })
    assert.equal(stdout, 'function\n')
    return
  }
  await rename(join(folder.path, example), join(folder.path, name))
  // As npm makes it in an empty folder; Bun's and Deno's own would say the same.
  await writeFile(join(folder.path, 'package.json'), '{ "dependencies": { "fileloft": "*" } }')
  const program = { node: programs.node24, bun: programs.bun, deno: programs.deno }[runtime]
  const file = program?.command?.[0] ?? assert.fail(`no test knows how to run ${command}`)
  const port = await freePort()
  await using _ = await startIn(folder, [file, ...args], { PORT: String(port) })
  await assertStoredIn(folder, await uploadInterrupted(port))
  await assertStoredIn(folder, await uploadBy(folder, upload, port))
}
