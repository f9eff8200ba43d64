/** FILELOFT_DEMO: what the server answers, and where it refuses to start. */
import assert from 'node:assert/strict'
import { cp, mkdir, readFile, symlink } from 'node:fs/promises'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { promisify } from 'node:util'
import { readCommandLine } from '../../src/node/config.ts'
import { runCli } from '../cli-support.ts'
import { temporaryFolder } from '../clients/support.ts'
import { startServer } from '../support/server.ts'
import { buildPage } from './support.ts'

const root = join(import.meta.dirname, '../..')
before(buildPage)

test('npm run demo: for this machine alone, with all that the page can show', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: { demo: string } }
  const [, flags = ''] = scripts.demo.split('src/node/cli.ts ')
  const { config } = readCommandLine(flags.split(' '), {})
  assert.deepEqual(config.bind, { host: '127.0.0.1', port: 8080 })
  const { demo, enableDownload, enableConcatenation, disableTermination } = config
  assert.deepEqual([demo, enableDownload, enableConcatenation, disableTermination], [true, true, true, false])
  assert.deepEqual(config.warnings, [])
})

test('off by default: nothing at /', async () => {
  await using server = await startServer()
  assert.equal(server.records().find(({ msg }) => msg === 'listening')?.['page'], undefined)
  for (const path of ['/', '/demo/page.js']) assert.equal((await fetch(server.origin + path)).status, 404)
})

test('on: a page that may load nothing from elsewhere, with its parts and their licenses', async () => {
  await using server = await startServer({
    env: { FILELOFT_DEMO: '1', FILELOFT_BASE_PATH: '/up', FILELOFT_BASE_URL: 'https://b.example/"up/' },
  })
  assert.equal(server.records().find(({ msg }) => msg === 'listening')?.['page'], `${server.origin}/`)
  const page = await fetch(`${server.origin}/`)
  const html = await page.text()
  assert.equal(page.headers.get('content-type'), 'text/html; charset=UTF-8')
  assert.match(html, /data-settings="\{&quot;endpoint&quot;:&quot;https:\/\/b\.example\/\\&quot;up\/&quot;,/)
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; /)
  assert.match(policy, /; connect-src 'self' https:\/\/b\.example; /)
  assert.doesNotMatch(policy, /unsafe|\*/)
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff')

  const parts = [...html.matchAll(/(?:src|href)="(demo\/[^"]+)"/g)].map(([, path = '']) => path)
  assert.deepEqual(parts, ['demo/page.css', 'demo/page.js', 'demo/licenses.txt'])
  for (const part of parts) assert.equal((await fetch(`${server.origin}/${part}`)).status, 200, part)
  const licenses = await (await fetch(`${server.origin}/demo/licenses.txt`)).text()
  for (const name of ['@uppy/core', '@uppy/dashboard', 'preact', 'tus-js-client']) {
    assert.match(licenses, new RegExp(`^${name} \\d`, 'm'))
  }
  assert.equal((await fetch(`${server.origin}/demo/index.html`)).status, 404)
})

test('the page was not built: the server and `check` stop with words that say what to run', async () => {
  // An image has the sources' output alone, as this folder has the sources.
  await using folder = await temporaryFolder()
  await mkdir(join(folder.path, 'src'))
  await cp(join(root, 'src'), join(folder.path, 'src'), { recursive: true })
  await cp(join(root, 'package.json'), join(folder.path, 'package.json'))
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'))
  for (const command of ['serve', 'check']) {
    const args = [join(folder.path, 'src/node/cli.ts'), command, '--demo', '--data-dir', join(folder.path, 'data')]
    const run = promisify(execFile)(process.execPath, [...args, '--bind', '127.0.0.1:0'])
    await assert.rejects(run, {
      code: 1,
      stderr: 'fileloft: FILELOFT_DEMO needs its page, which is not built: npm run build:demo\n',
    })
  }
})

test('with authorization, which the page has no credentials for: refused, exit code 2', async () => {
  const { code, stderr } = await runCli(['--demo'], { FILELOFT_AUTH_TOKENS: 'a-token-of-16-letters' })
  assert.deepEqual([code, stderr], [2, 'fileloft: FILELOFT_DEMO and FILELOFT_AUTH_TOKENS cannot both be set\n'])
})

test('images have neither the page nor what it is made of', async () => {
  const ignored = await readFile(join(root, '.dockerignore'), 'utf8')
  assert.match(ignored, /^\*\n/)
  assert.doesNotMatch(ignored, /demo/)
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { dependencies: object }
  assert.deepEqual(
    Object.keys(dependencies).filter((name) => name.includes('uppy')),
    [],
  )
})
