/** docs/runtimes.md: each program is the file that it is said to be, and each command runs in a newcomer's folder. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from '../servers/program.ts'
import { assertStoredIn, newcomersFolder, root, startIn, uploadInterrupted } from './newcomer.ts'
import { sections } from './page.ts'
import { programs } from './programs.ts'

const run = promisify(execFile)
test('the page has a section for each runtime', () => {
  const titles = sections.map(({ title }) => title)
  for (const name of ['Node', 'Bun', 'Deno', 'Cloudflare Workers', 'AWS Lambda']) assert.ok(titles.includes(name), name)
})

for (const { title, example, program, commands, files } of sections.filter((section) => section.program !== '')) {
  test(`${title}: the program is examples/${example}`, async () => {
    assert.equal(program, await readFile(join(root, 'examples', example), 'utf8'))
  })
  for (const { file, example, text } of files) {
    test(`${title}: ${file} is examples/${example}`, async () => {
      assert.equal(text, await readFile(join(root, 'examples', example), 'utf8'))
    })
  }
  for (const command of commands) test(`${title}: ${command}`, () => runCommand(command, example))
}

/** Run with an account, in an application or by first-upload.runs.ts only; examples.runs.ts builds and runs SvelteKit's. */
const elsewhere =
  /^(npx wrangler (dev|r2 bucket create uploads|deploy)|npm run (dev|build)|BODY_SIZE_LIMIT=Infinity node .*)$/

async function runCommand(command: string, example: string): Promise<void> {
  // The newcomer's folder has the package already: it is not published for a test.
  if (/^(npm install|bun add) fileloft( express| fastify| aws4fetch)?$|^deno add npm:fileloft$/.test(command)) return
  if (elsewhere.test(command)) return
  const [name = '', ...args] = command.split(' ')
  const packages = ['express', 'fastify', 'aws4fetch', 'fast-xml-parser', 'p-retry', 'esbuild', '@esbuild']
  await using folder = await newcomersFolder(
    example,
    packages.map((each) => `node_modules/${each}`),
  )
  if (name === 'npx') {
    await rename(join(folder.path, example), join(folder.path, 'index.ts'))
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
  await rename(join(folder.path, example), join(folder.path, 'server.ts'))
  const program = { node: programs.node24, bun: programs.bun, deno: programs.deno }[name]
  const file = program?.command?.[0] ?? assert.fail(`no test knows how to run ${command}`)
  const port = await freePort()
  await using _ = await startIn(folder, [file, ...args], { PORT: String(port) })
  await assertStoredIn(folder, await uploadInterrupted(port))
}
