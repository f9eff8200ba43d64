/** The whole protocol suite inside every runtime, on every store that it has, and on mounts in frameworks. */
import { after, describe, test } from 'node:test'
import { startAzurite } from '../servers/azurite.ts'
import { startFakeGcs } from '../servers/fake-gcs.ts'
import { startMinio } from '../servers/minio.ts'
import type { Task } from './child.ts'
import { onRow, printTable } from './counts.ts'
import { type Program, programs } from './programs.ts'
import { runInside } from './suites.ts'
import { runInWorkerd } from './workerd.ts'

after(printTable)

const [minio, gcs, azurite] = await Promise.all([startMinio(), startFakeGcs(), startAzurite()])
after(() => Promise.all([minio?.stop(), gcs?.stop(), azurite?.stop()]))

const s3Options = async (server: NonNullable<typeof minio>) => {
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const credentials = { accessKeyId, secretAccessKey }
  return { bucket: await server.newBucket(), endpoint, region, credentials, forcePathStyle: true }
}

const noServer = 'its server is not installed: npm run servers'
const undecodable = '^ids: every method on /files/(%(c0|e0|ff|ed|zz)|%2?: |a%: )'
const backslashes = String.raw`^ids: every method on /files/\.\.\\`
/** Next.js sends these to another place. */
const slashes = '^ids: every method on /files/(a//b|/)'
/** Next.js says its own port beside such a host, and takes the scheme from them in any case. */
const forwarded =
  '^Location: POST (with forwarded headers, not|behind a prefix|with [{]"[\\w-]+":"[^"]*up.example.com(, inner)?"[}])'
const streamed =
  '^(interruption|pace): (?!PATCH quicker)|^locking: (every request|PATCH after a HEAD that gave up)|connection breaks' +
  '|broken right there|without end|stands still|gives way to|given up half-way|\\(seed |removes the upload while the' +
  '|declares one byte more than the length|(final upload|sweep\\(\\)) beside a PATCH' +
  '|is answered so and nothing is changed or disturbed|trusted: http:|behind a prefix'

const { node22, node24, node26, bun, deno } = programs

void describe('the protocol suite', { concurrency: 2 }, () => {
  void test('workerd, R2', () => runInWorkerd('workerd', 'r2', { nodejsCompat: false }, onRow))
  void test('workerd, R2, locks in Durable Objects', () =>
    runInWorkerd('workerd, Durable Objects', 'r2', { nodejsCompat: false, locks: 'durable-object' }, onRow))
  for (const nodejsCompat of [false, true]) {
    const name = nodejsCompat ? 'workerd, nodejs_compat' : 'workerd'
    void test(`${name}, S3`, { skip: minio === null && noServer }, async () => {
      if (minio !== null) {
        await runInWorkerd(name, 's3', { nodejsCompat, isQuick: true, s3: await s3Options(minio) }, onRow)
      }
    })
  }
  for (const program of [bun, deno]) {
    suite(program, { store: 'memory' })
    suite(program, { store: 'fs', isQuick: true })
    onServer(program, 's3', minio, s3Options)
    onServer(program, 'gcs', gcs, async (server) => ({ bucket: await server.newBucket(), endpoint: server.endpoint }))
    onServer(program, 'azure', azurite, async (server) => ({
      container: await server.newContainer(),
      connectionString: server.connectionString,
    }))
  }
  for (const program of [node22, node24, node26]) suite(program, { store: 'fs' })
  suite(node24, { store: 'memory', server: 'express', isQuick: true })
  // Fastify answers 400 to paths that cannot be decoded; limits.runs.ts looks at that, and at Hono's backslashes.
  suite(node24, { store: 'memory', server: 'fastify', isQuick: true, except: undecodable })
  suite(node24, { store: 'memory', server: 'hono', isQuick: true, except: backslashes })
  // apps.runs.ts looks at what Next.js and SvelteKit do by themselves.
  const nextsOwn = [undecodable, backslashes, slashes, forwarded].join('|')
  suite(node24, { store: 'memory', server: 'nextjs', isQuick: true, except: nextsOwn })
  suite(node24, { store: 'memory', server: 'sveltekit', isQuick: true, except: undecodable })
  // A request that is cut or slow reaches no function, an answer is made whole first, and the scheme is always https.
  suite(node24, { store: 'memory', server: 'lambda', isQuick: true, except: streamed })
})

function suite(program: Program, task: Task): void {
  void test(`${program.name}, ${task.server ?? task.store}`, { skip: notInstalled(program) }, () =>
    runInside(program, task, onRow),
  )
}

function onServer<S>(program: Program, store: Task['store'], server: S | null, open: (server: S) => Promise<object>) {
  void test(`${program.name}, ${store}`, { skip: server === null ? noServer : notInstalled(program) }, async () => {
    if (server !== null) await runInside(program, { store, options: await open(server), isQuick: true }, onRow)
  })
}

function notInstalled({ name, command }: Program): string | false {
  return command === null && `${name} is not installed: npm run runtimes`
}
