/** `npm run build:binary`: the single executable, built and run where there is nothing else. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { makeFile, MiB, sha256, type SourceFile, temporaryFolder } from './clients/support.ts'
import { run, trackUpload } from './clients/tus.ts'
import { startMinio } from './servers/minio.ts'
import { startServer, type TestServer } from './support/server.ts'

const root = join(import.meta.dirname, '..')
const shell = promisify(execFile)

for (const runtime of ['node', 'bun'] as const)
  describe(`the single executable with ${runtime}`, () => {
    let folder: Awaited<ReturnType<typeof temporaryFolder>>
    let executable = ''
    let file: SourceFile

    before(async () => {
      folder = await temporaryFolder()
      const { stdout } = await shell(process.execPath, [join(root, 'scripts/binary/build.ts'), '--with', runtime], {
        cwd: root,
      })
      executable = join(folder.path, 'fileloft')
      // Away from node_modules, which it could find where it was built.
      await copyFile(stdout.trim().split('\n').at(-1) ?? '', executable)
      file = await makeFile(join(folder.path, 'source'), 24 * MiB)
      console.log(`${((await stat(executable)).size / MiB).toFixed(1)} MiB`)
    })
    after(() => folder[Symbol.asyncDispose]())

    const tell = (...args: string[]) =>
      shell(executable, args, { cwd: folder.path, env: { PATH: '' } }).then(
        ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
        (error: { code: number; stdout: string; stderr: string }) => error,
      )

    test('tells its version and its settings, and refuses wrong ones, on an empty PATH', async () => {
      const { stdout } = await shell(process.execPath, [join(root, 'src/node/cli.ts'), '--version'])
      assert.equal((await tell('--version')).stdout, stdout)
      assert.match((await tell('--help')).stdout, /FILELOFT_DATA_DIR/)
      const wrong = await tell('--max-sise', '1')
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, /--max-size may be meant/)
    })

    /** An upload with a stop and a start of the server in its middle. */
    async function uploadThrough(server: TestServer): Promise<void> {
      // As long as a start of Bun may take on a busy machine.
      const retryDelays = Array<number>(20).fill(800)
      const tracked = trackUpload(file.path, { endpoint: server.url, chunkSize: 4 * MiB, retryDelays })
      tracked.upload.start()
      await tracked.during(tracked.progress(9 * MiB))
      const stopping = performance.now()
      assert.deepEqual(await server.stop(), { code: 0, signal: null })
      // Without waiting out `FILELOFT_SHUTDOWN_TIMEOUT`.
      assert.ok(performance.now() - stopping < 5000, 'a stop while an upload runs')
      await server.restart()
      await tracked.finished
      const answer = await fetch(tracked.upload.url ?? '')
      assert.equal(answer.status, 200)
      assert.ok(answer.body !== null)
      assert.equal(await sha256(answer.body), file.sha256)
    }

    const env = { FILELOFT_ENABLE_DOWNLOAD: 'true', FILELOFT_METRICS: 'true' }

    const threads = runtime === 'node' ? 2 : 1
    test(`stores on a disk, in ${threads === 2 ? 'two threads' : 'one thread'}, through a restart`, async () => {
      await using server = await startServer({ executable, env: { ...env, FILELOFT_WORKERS: '2' } })
      assert.equal(server.records().find(({ msg }) => msg === 'listening')?.['workers'], threads)
      await uploadThrough(server)
      // Several at a time, so that all threads have some.
      await Promise.all(Array.from({ length: 8 }, () => run(trackUpload(Buffer.alloc(MiB), { endpoint: server.url }))))
      const metrics = await (await fetch(`${server.origin}/metrics`)).text()
      assert.match(metrics, /fileloft_uploads_finished_total\{type="plain"\} [1-9]/)
      assert.ok((await readdir(server.dataDir)).length > 16)
      assert.deepEqual(await server.stop(), { code: 0, signal: null })
    })

    test('upload: the file is there, and nothing is said but that', async () => {
      await using server = await startServer({ executable, env })
      const options = { cwd: folder.path, env: { PATH: '', XDG_STATE_HOME: join(folder.path, 'state') } }
      const { stdout, stderr } = await shell(executable, ['upload', 'source', '--to', server.url], options)
      assert.match(stderr, /^source: uploaded, 24 MiB in .*\n$/)
      const answer = await fetch(stdout.trim())
      assert.ok(answer.body !== null)
      assert.equal(await sha256(answer.body), file.sha256)
    })

    test('stores on S3, through a restart', async (t) => {
      const minio = await startMinio()
      if (minio === null) return t.skip('MinIO is not installed')
      await using _ = minio
      const s3 = {
        FILELOFT_S3_BUCKET: await minio.newBucket(),
        FILELOFT_S3_ENDPOINT: minio.endpoint,
        AWS_REGION: minio.region,
        AWS_ACCESS_KEY_ID: minio.accessKeyId,
        AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
        FILELOFT_DATA_DIR: '',
      }
      await using server = await startServer({ executable, env: { ...env, ...s3 } })
      await uploadThrough(server)
      assert.deepEqual(await server.stop(), { code: 0, signal: null })
    })

    test('says that it has no other storage', async () => {
      for (const args of [
        ['check', '--gcs-bucket', 'bucket'],
        ['check', '--azure-container', 'container', '--azure-connection-string', 'UseDevelopmentStorage=true'],
      ]) {
        const { code, stderr } = await tell(...args)
        assert.equal(code, 1, stderr)
        assert.match(stderr, /The single executable has no @(google-cloud|azure)\/.*; use the package or an image\n$/)
      }
      const demo = await tell('--demo', '--enable-download')
      assert.deepEqual([demo.code, /has no page for FILELOFT_DEMO/.test(demo.stderr)], [1, true], demo.stderr)
    })
  })
