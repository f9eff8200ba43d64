/**
 * The images, built and run: each against the real server of its backend, with a read-only root filesystem, by curl and
 * tus-js-client, through a SIGTERM in the middle of an upload.
 */
import assert from 'node:assert/strict'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { openAsBlob } from 'node:fs'
import { type ClientRequest, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { backendPackages } from '../../src/node/packages.ts'
import { curl, headers } from '../clients/curl.ts'
import { makeFile, MiB, sha256, type SourceFile, temporaryFolder } from '../clients/support.ts'
import { run, trackUpload } from '../clients/tus.ts'
import { type ImageStorage, storages } from './backends.ts'
import { freePort } from '../servers/program.ts'
import { findEngine, type RunningImage } from './engine.ts'

const root = new URL('../../', import.meta.url)
const tus = { 'Tus-Resumable': '1.0.0' }
const engine = await findEngine()

interface Manifest {
  readonly version: string
  readonly devDependencies: Readonly<Record<string, string>>
}

const { version, devDependencies } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as Manifest

for (const [backend, openStorage] of Object.entries(storages)) {
  describe(`the ${backend} image`, { skip: engine === null }, () => {
    let image = ''
    let storage: ImageStorage | null = null
    let folder: Awaited<ReturnType<typeof temporaryFolder>>
    let volume = ''
    let file: SourceFile

    before(async () => {
      const since = performance.now()
      image = (await engine?.build(backend)) ?? ''
      console.log(`${backend}: built in ${((performance.now() - since) / 1000).toFixed(1)} s`)
      storage = await openStorage()
      folder = await temporaryFolder()
      file = await makeFile(join(folder.path, 'source'), 40 * MiB)
      volume = await mkdtemp(join(tmpdir(), 'fileloft-volume-'))
      await chown(volume, 1000, 1000)
    })
    after(async () => {
      await rm(volume, { recursive: true, force: true })
      await folder[Symbol.asyncDispose]()
      await storage?.[Symbol.asyncDispose]()
    })

    /** Starts it on a port; resolves when it listens. */
    const start = async (port: number): Promise<RunningImage> => {
      if (engine === null || storage === null) throw new Error('nothing to run')
      const env = { ...storage.env, FILELOFT_BIND: `127.0.0.1:${port}`, FILELOFT_ENABLE_DOWNLOAD: 'true' }
      const container = await engine.run(image, volume, env)
      await container.logged(/"listening"/)
      return container
    }

    test('says what it is: user, port, volume, variables, health check, labels', async () => {
      const config = await engine?.inspect(image)
      assert.ok(config !== undefined)
      assert.equal(config.User, '1000:1000')
      assert.deepEqual(Object.keys(config.ExposedPorts), ['8080/tcp'])
      assert.deepEqual(Object.keys(config.Volumes), ['/var/lib/fileloft'])
      assert.deepEqual(config.Entrypoint, ['tini', '-s', '--', 'fileloft'])
      assert.deepEqual(config.Healthcheck?.Test, ['CMD', 'fileloft', 'health'])
      const { Labels: labels } = config
      assert.equal(labels['org.opencontainers.image.title'], 'fileloft')
      assert.equal(labels['org.opencontainers.image.version'], version)
      assert.equal(labels['org.opencontainers.image.licenses'], 'MIT')
      assert.equal(labels['org.opencontainers.image.base.name'], 'docker.io/library/debian:trixie-slim')
      assert.match(labels['org.opencontainers.image.description'] ?? '', /tus server/)
      assert.ok('org.opencontainers.image.revision' in labels)
      const variables = config.Env.filter((each) => each.startsWith('FILELOFT_')).sort()
      assert.deepEqual(variables, [
        ...(backend === 'fs' ? [] : [`FILELOFT_BACKEND=${backend}`]),
        'FILELOFT_BASE_PATH=/files/',
        'FILELOFT_BIND=0.0.0.0:8080',
        'FILELOFT_DATA_DIR=/var/lib/fileloft',
      ])
    })

    test('is small', async () => {
      const mebibytes = ((await engine?.sizeAboveBase(image)) ?? 0) / MiB
      console.log(`${backend}: ${mebibytes.toFixed(1)} MiB above its base`)
      assert.ok(mebibytes > 50 && mebibytes < (backend === 'fs' ? 120 : 150), `${mebibytes} MiB above the base`)
    })

    test('takes uploads by curl and tus-js-client with nothing but its volume and /tmp to write to', async () => {
      const port = await freePort()
      await using container = await start(port)
      const metadata = 'filename aGVsbG8udHh0'
      const wanted = headers({ 'Upload-Length': 11, 'Upload-Metadata': metadata })
      const created = await curl(['-X', 'POST', `http://localhost:${port}/files`, ...wanted])
      assert.equal(created.status, 201)
      assert.match(created.headers.get('location') ?? '', new RegExp(`^http://localhost:${port}/files/`))

      const { upload } = await run(trackUpload(file.path, { endpoint: `http://127.0.0.1:${port}/files` }))
      await assertDownload(upload.url, file)

      const inside = async (...command: string[]) => (await container.exec(command)).output.trim()
      assert.equal(await inside('id', '-u'), '1000')
      assert.match(await inside('cat', '/proc/1/cmdline'), /^tini/)
      assert.match(await inside('touch', '/opt/fileloft/x'), /Read-only/)
      assert.equal(await inside('find', '/tmp', '-type', 'f'), '')
      const stored = await inside('find', '/var/lib/fileloft', '-type', 'f')
      assert.equal(stored === '', backend !== 'fs', `the volume has:\n${stored}`)
    })

    test('has the packages of its backend, at the versions they are tested in, and neither others nor npm', async () => {
      await using container = await start(await freePort())
      for (const [owner, names] of Object.entries(backendPackages)) {
        for (const name of names) {
          const found = await container.exec(['cat', `/opt/fileloft/node_modules/${name}/package.json`])
          assert.equal(found.code === 0, owner === backend, `${name}: ${found.output}`)
          if (found.code !== 0) continue
          assert.equal((JSON.parse(found.output) as { version: string }).version, devDependencies[name])
        }
      }
      const listing = await container.exec(['ls', '/opt/fileloft/node_modules'])
      for (const name of ['hono', 'valibot', 'pino']) assert.match(listing.output, new RegExp(`^${name}$`, 'm'))
      for (const name of ['typescript', '@types/node', 'azurite', 'oxlint']) {
        assert.doesNotMatch(listing.output, new RegExp(`^${name}$`, 'm'))
      }
      const programs = await container.exec(['ls', '/usr/local/bin', '/usr/local/lib'])
      assert.doesNotMatch(programs.output, /npm|npx|node_modules/)
    })

    test('its health check asks the server; what is left behind by others is reaped', async () => {
      await using container = await start(await freePort())
      const health = await container.exec(['fileloft', 'health'])
      assert.equal(health.code, 0, health.output)
      const sick = await container.exec(['env', 'FILELOFT_BIND=127.0.0.1:1', 'fileloft', 'health'])
      assert.equal(sick.code, 1, sick.output)

      // Its parent is gone at once, which makes process 1 its parent.
      const orphan = (await container.exec(['sh', '-c', 'sleep 0.2 >/dev/null 2>&1 & echo $!'])).output.trim()
      const gone = `while kill -0 ${orphan} 2>/dev/null; do sleep 0.05; done`
      assert.equal((await container.exec(['timeout', '10', 'sh', '-c', gone])).code, 0, 'a zombie stays')
    })

    test('SIGTERM during an upload: what arrived is stored, the client answered, exit code 0, resumed later', async () => {
      const port = await freePort()
      const url = `http://127.0.0.1:${port}/files`
      let location = ''
      {
        await using container = await start(port)
        const asked = { ...tus, 'Upload-Length': String(file.size) }
        location = (await fetch(url, { method: 'POST', headers: asked })).headers.get('location') ?? ''
        const half = startPatch(location)
        await half.write(await openAsBlob(file.path).then((blob) => blob.slice(0, 20 * MiB).bytes()))
        const since = performance.now()
        container.terminate()
        assert.equal(await half.status, 503)
        assert.equal(await container.exited, 0, container.log())
        assert.ok(performance.now() - since < 8000, 'it took until the end of its time')
      }
      await using container = await start(port)
      const head = await fetch(location, { method: 'HEAD', headers: tus })
      const offset = Number(head.headers.get('upload-offset'))
      assert.ok(offset > MiB && offset <= 20 * MiB, `offset ${offset}`)

      const resumed = await run(trackUpload(file.path, { uploadUrl: location }))
      const [first] = resumed.answers
      assert.deepEqual([first?.method, first?.offset], ['HEAD', offset])
      await assertDownload(location, file)
      container.terminate()
      assert.equal(await container.exited, 0)
    })

    test('without its storage it does not start, and says why', async () => {
      if (engine === null) return
      // The one for the disk has no other's packages; others have none of their names.
      const env: Record<string, string> = backend === 'fs' ? { FILELOFT_S3_BUCKET: 'b' } : {}
      await using container = await engine.run(image, volume, env)
      assert.equal(await container.exited, backend === 'fs' ? 1 : 2)
      const expected = backend === 'fs' ? /backend s3 needs packages/ : new RegExp(`FILELOFT_BACKEND is "${backend}"`)
      assert.match(container.log(), expected)
    })
  })
}

async function assertDownload(url: string | null, { sha256: expected }: SourceFile): Promise<void> {
  const answer = await fetch(url ?? '')
  assert.equal(answer.status, 200)
  assert.ok(answer.body !== null)
  assert.equal(await sha256(answer.body), expected)
}

/** A PATCH whose body comes piece by piece. */
function startPatch(location: string): { status: Promise<number>; write: (bytes: Uint8Array) => Promise<void> } {
  const outgoing: ClientRequest = request(location, {
    method: 'PATCH',
    headers: { ...tus, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
  })
  const status = new Promise<number>((resolve, reject) => {
    outgoing.on('response', (answer) => resolve(answer.resume().statusCode ?? 0)).on('error', reject)
  })
  const write = (bytes: Uint8Array) => new Promise<void>((resolve) => outgoing.write(bytes, () => resolve()))
  return { status, write }
}
