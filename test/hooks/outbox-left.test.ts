/** Events that are kept and that a server leaves which dies: in a directory, and in buckets on the storages' own servers. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { runCli } from '../cli-support.ts'
import { startAzurite } from '../servers/azurite.ts'
import { startFakeGcs } from '../servers/fake-gcs.ts'
import { startMinio } from '../servers/minio.ts'
import { startServer } from '../support/server.ts'
import { idOf, post, remove, upload } from './client.ts'
import { eventIds, histories, type Say, startReceiver } from './receiver.ts'

const kept = 'post-create,post-finish,post-terminate'

interface Bucket extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>
  /** What `Event.Upload.Storage` says, but for the key. */
  readonly storage: Readonly<Record<string, string>>
}

/** Null where the server is not installed. */
const buckets: Readonly<Record<string, () => Promise<Bucket | null>>> = {
  async S3() {
    const server = await startMinio()
    if (server === null) return null
    const bucket = await server.newBucket()
    const env = {
      FILELOFT_S3_BUCKET: bucket,
      FILELOFT_S3_PREFIX: 'up/',
      FILELOFT_S3_ENDPOINT: server.endpoint,
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    }
    return { env, storage: { Type: 's3store', Bucket: bucket }, [Symbol.asyncDispose]: () => server.stop() }
  },
  async 'Google Cloud Storage'() {
    const server = await startFakeGcs()
    if (server === null) return null
    const bucket = await server.newBucket()
    const env = {
      FILELOFT_GCS_BUCKET: bucket,
      FILELOFT_GCS_PREFIX: 'up/',
      FILELOFT_GCS_ENDPOINT: server.endpoint,
    }
    return { env, storage: { Type: 'gcsstore', Bucket: bucket }, [Symbol.asyncDispose]: () => server.stop() }
  },
  async Azure() {
    const server = await startAzurite()
    if (server === null) return null
    const container = await server.newContainer()
    const env = {
      FILELOFT_AZURE_CONTAINER: container,
      FILELOFT_AZURE_PREFIX: 'up/',
      FILELOFT_AZURE_CONNECTION_STRING: server.connectionString,
    }
    return { env, storage: { Type: 'azurestore', Container: container }, [Symbol.asyncDispose]: () => server.stop() }
  },
}

// Each waits for what a dead server has left: they wait together.
describe('what a dead server has left', { concurrency: true }, () => {
  for (const [name, open] of Object.entries(buckets)) {
    test(`on ${name}: kill -9 loses no event, two servers send none twice, and dead ones are replayed`, async (t) => {
      await using bucket = await open()
      if (bucket === null) return t.skip('its server is not installed')
      await run(bucket)
    })
  }

  test('two servers on one directory deliver each event once, and one takes over when the other dies', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'fileloft-'))
    let answer: Say = {}
    await using receiver = await startReceiver(() => answer)
    try {
      const options = { dataDir, env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: kept } }
      await using one = await startServer(options)
      await using two = await startServer(options)
      // Long enough that each has looked at the other's events.
      await Promise.all(Array.from({ length: 40 }, (_, index) => upload(index % 2 === 0 ? one.url : two.url, 'hello')))
      await receiver.until(() => receiver.taken.length === 80)
      assert.equal(receiver.deliveries.length, 80)
      assert.equal(new Set(eventIds(receiver)).size, 80)

      answer = 'nothing'
      const location = await upload(one.url, 'hello')
      await receiver.until(() => receiver.deliveries.length === 81)
      await one.stop('SIGKILL')
      answer = {}
      await receiver.until(() => receiver.taken.length === 82, 45_000)
      assert.deepEqual(histories(receiver.taken).get(idOf(location)), ['post-create', 'post-finish'])
      await two.logged(({ msg }) => msg === 'hooks taken over that wait in the outbox')
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})

async function run(bucket: Bucket): Promise<void> {
  let answer: Say = {}
  await using receiver = await startReceiver(() => answer)
  const env = {
    FILELOFT_HOOKS_URL: receiver.url,
    FILELOFT_HOOKS_EVENTS: kept,
    // As long as a receiver takes that has little to say about its time; the same event would come again.
    FILELOFT_HOOKS_TIMEOUT: '5',
    FILELOFT_HOOKS_RETRIES: '0',
    FILELOFT_HOOKS_GIVE_UP_AFTER: '60',
    ...bucket.env,
    FILELOFT_DATA_DIR: '',
  }
  await using one = await startServer({ env })
  await using two = await startServer({ env })
  await Promise.all(Array.from({ length: 20 }, (_, index) => upload(index % 2 === 0 ? one.url : two.url, 'hello')))
  await receiver.until(() => receiver.taken.length === 40)
  assert.equal(new Set(receiver.deliveries.map(({ hook }) => hook.EventID)).size, receiver.deliveries.length)
  const { Key: key = '', ...storage } = receiver.of('post-finish')[0]!.hook.Event.Upload.Storage ?? {}
  assert.deepEqual(storage, bucket.storage)
  assert.match(key, /^up\/[0-9a-f]{32}$/)

  answer = 'nothing'
  const location = await upload(one.url, 'hello')
  assert.equal((await remove(location)).status, 204)
  await one.stop('SIGKILL')
  answer = {}
  // It looks for what others have left when it starts, and again when their time is over.
  await two.restart()
  await receiver.until(() => histories(receiver.taken).get(idOf(location))?.length === 3, 60_000)
  assert.deepEqual(histories(receiver.taken).get(idOf(location)), ['post-create', 'post-finish', 'post-terminate'])
  await untilListed(env, '0 waiting, 0 dead')

  answer = 500
  await two.restart({ env: { FILELOFT_HOOKS_GIVE_UP_AFTER: '0' } })
  assert.equal((await post(two.url, { 'Upload-Length': '5' })).status, 201)
  const { event } = await two.logged(({ msg }) => String(msg).startsWith('hook given up'))
  await untilListed(env, '0 waiting, 1 dead')
  answer = {}
  const replayed = await runCli(['hooks', 'replay', String(event)], env)
  assert.deepEqual([replayed.code, replayed.stdout], [0, `delivered  ${String(event)}\n1 delivered, 0 failed\n`])
}

/** What was delivered leaves the outbox in the moment after. */
async function untilListed(env: Record<string, string>, last: string): Promise<void> {
  const end = Date.now() + 20_000
  for (;;) {
    const { stdout } = await runCli(['hooks'], env)
    if (stdout.endsWith(`${last}\n`)) return
    assert.ok(Date.now() < end, stdout)
  }
}
