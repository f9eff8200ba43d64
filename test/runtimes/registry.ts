/** A registry that has this checkout's package, as `npm pack` makes it, and sends for all others to the one configured. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './newcomer.ts'

const run = promisify(execFile)

/** @param folder For the tarball. */
export async function startRegistry(folder: string): Promise<{ origin: string } & AsyncDisposable> {
  const pack = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: root })
  const [{ filename, integrity, shasum }] = JSON.parse(pack.stdout) as [Record<string, string>]
  const tarball = await readFile(join(folder, filename ?? ''))
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const others = (await run('npm', ['config', 'get', 'registry'])).stdout.trim().replace(/\/$/, '')

  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?')
    if (path === '/fileloft.tgz') response.end(tarball)
    else if (path === '/fileloft') {
      const dist = { tarball: `${origin}/fileloft.tgz`, integrity, shasum }
      const { version } = manifest
      response.setHeader('Content-Type', 'application/json')
      const versions = { [version]: { ...manifest, scripts: {}, dist } }
      response.end(JSON.stringify({ name: 'fileloft', 'dist-tags': { latest: version }, versions }))
    } else response.writeHead(302, { Location: others + path }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    [Symbol.asyncDispose]() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
