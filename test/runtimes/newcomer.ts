/** A newcomer's folder: an example in it, the package as npm would install it, and what the example needs beside. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { trackUpload } from '../clients/tus.ts'

const run = promisify(execFile)
export const root = resolve(import.meta.dirname, '../..')

const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { readonly dependencies: object }

/** What the `fileloft` command needs, by where it is. */
export const dependencies = Object.keys(manifest.dependencies).map((name) => `node_modules/${name}`)

export interface Folder extends AsyncDisposable {
  readonly path: string
}

/**
 * @param example Below examples/; a folder is copied whole.
 * @param packages Beside fileloft, by where they are below the repository.
 */
export async function newcomersFolder(example: string, packages: readonly string[] = []): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'fileloft-newcomer-'))
  const own = join(path, 'node_modules/fileloft')
  await mkdir(own, { recursive: true })
  // As `npm pack` does, which `prepare` has built.
  await cp(join(root, 'dist'), join(own, 'dist'), { recursive: true })
  await cp(join(root, 'package.json'), join(own, 'package.json'))
  await mkdir(join(path, 'node_modules/.bin'))
  await symlink('../fileloft/dist/node/cli.js', join(path, 'node_modules/.bin/fileloft'))
  for (const name of packages) {
    const at = join(path, 'node_modules', name.slice(name.lastIndexOf('node_modules/') + 'node_modules/'.length))
    await mkdir(resolve(at, '..'), { recursive: true })
    await symlink(join(root, name), at)
  }
  await writeFile(join(path, 'package.json'), '{ "type": "module", "dependencies": { "fileloft": "*" } }')
  const isFile = example.endsWith('.ts')
  await cp(join(root, 'examples', example), isFile ? join(path, example) : path, { recursive: true })
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

export interface Started extends AsyncDisposable {
  readonly output: () => string
}

/** Runs a command in the folder until it says that it listens. */
export async function startIn(
  { path }: Folder,
  [file = '', ...args]: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<Started> {
  const running = spawn(file, args, {
    cwd: path,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: some start the server as a child of theirs.
    detached: true,
  })
  let output = ''
  const exited = once(running, 'close')
  const stop = async (): Promise<void> => {
    if (running.pid !== undefined && running.exitCode === null) process.kill(-running.pid, 'SIGKILL')
    await exited
  }
  await new Promise<void>((resolve, reject) => {
    const onData = (chunk: Buffer) => {
      output += chunk.toString()
      if (/listening|ready (in|on) /i.test(output)) resolve()
    }
    running.stdout.on('data', onData)
    running.stderr.on('data', onData)
    exited.then(() => reject(new Error(`${file} ${args.join(' ')} ended: ${output}`)), reject)
  })
  return { output: () => output, [Symbol.asyncDispose]: stop }
}

const mib = 1 << 20

/** Uploads with tus-js-client over connections that break twice; resolves to the upload's id and its bytes' hash. */
export async function uploadInterrupted(
  port: number,
  { chunkSize = Infinity, size = 12 * mib } = {},
): Promise<{ id: string; sha256: string }> {
  const bytes = randomBytes(size)
  await using proxy = await startBreakingProxy(port, [
    { at: Math.floor(size / 3), kind: 'cut' },
    { at: Math.floor(size / 1.5), kind: 'reset' },
  ])
  const tracked = trackUpload(bytes, {
    endpoint: `${proxy.origin}/files`,
    metadata: { filename: 'a.bin' },
    chunkSize,
  })
  tracked.upload.start()
  await tracked.finished
  assert.equal(proxy.happened.length, 2)
  const heads = tracked.answers.filter(({ method }) => method === 'HEAD')
  assert.ok(heads.length >= 2 && (heads.at(-1)?.offset ?? 0) > 0, 'it went on from where it was')
  assert.equal(tracked.answers.filter(({ method }) => method === 'POST').length, 1, 'it never started over')
  const id = tracked.upload.url?.split('/').at(-1) ?? ''
  return { id, sha256: hashOf(bytes) }
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Uploads a photo by the command that a page says, to this port; resolves to the upload's id and the photo's hash. */
export async function uploadBy(
  { path }: Pick<Folder, 'path'>,
  command: string,
  port: number,
  env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: [dirname(process.execPath), join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
  },
): Promise<{ id: string; sha256: string }> {
  const photo = randomBytes(mib)
  await writeFile(join(path, 'photo.jpg'), photo)
  const [file = '', ...args] = command.replace(/ http:\/\/[\w.]+:\d+\//, ` http://127.0.0.1:${port}/`).split(' ')
  const { stdout } = await run(file, args, { cwd: path, env: { ...env, XDG_STATE_HOME: path }, timeout: 60_000 })
  const [, id = ''] = new RegExp(`^http://127\\.0\\.0\\.1:${port}/files/(\\w+)\\n$`).exec(stdout) ?? assert.fail(stdout)
  return { id, sha256: hashOf(photo) }
}

/** Asserts that the folder's store has the file. */
export async function assertStoredIn({ path }: Folder, { id, sha256 }: { id: string; sha256: string }): Promise<void> {
  assert.equal(hashOf(await readFile(join(path, 'fileloft-data', id))), sha256)
}
