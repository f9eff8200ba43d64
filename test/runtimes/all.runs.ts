/** The whole protocol suite inside every runtime, on every store that it has, and the mounts in frameworks. */
import { after, describe, test } from 'node:test'
import { startAzurite } from '../servers/azurite.ts'
import { startFakeGcs } from '../servers/fake-gcs.ts'
import { startMinio } from '../servers/minio.ts'
import type { Task } from './child.ts'
import { table, type Row } from './counts.ts'
import { type Program, programs } from './programs.ts'
import { runInside } from './suites.ts'

const rows: Row[] = []
const onRow = (row: Row): void => void rows.push(row)
after(() => console.log(`\n${table(rows)}`))

const [minio, gcs, azurite] = await Promise.all([startMinio(), startFakeGcs(), startAzurite()])
after(() => Promise.all([minio?.stop(), gcs?.stop(), azurite?.stop()]))

const { node22, node24, node26, bun, deno } = programs

void describe('the protocol suite', { concurrency: 2 }, () => {
  for (const program of [bun, deno]) {
    suite(program, { store: 'memory' })
    suite(program, { store: 'fs', isQuick: true })
    onServer(program, 's3', minio, async ({ newBucket, endpoint, region, accessKeyId, secretAccessKey }) => {
      const credentials = { accessKeyId, secretAccessKey }
      return { bucket: await newBucket(), endpoint, region, credentials, forcePathStyle: true }
    })
    onServer(program, 'gcs', gcs, async ({ newBucket, endpoint }) => ({ bucket: await newBucket(), endpoint }))
    onServer(program, 'azure', azurite, async ({ newContainer, connectionString }) => ({
      container: await newContainer(),
      connectionString,
    }))
  }
  for (const program of [node22, node24, node26]) suite(program, { store: 'fs' })
  suite(node24, { store: 'memory', server: 'express', isQuick: true })
  // Fastify answers 400 to paths that cannot be decoded; frameworks.runs.ts looks at that.
  suite(node24, { store: 'memory', server: 'fastify', isQuick: true, except: '^ids: every method on /files/\\S*%' })
})

function suite(program: Program, task: Task): void {
  void test(`${program.name}, ${task.server ?? task.store}`, { skip: notInstalled(program) }, () =>
    runInside(program, task, onRow),
  )
}

function onServer<S>(
  program: Program,
  store: Task['store'],
  server: S | null,
  open: (server: S) => Promise<object>,
): void {
  const skip = server === null ? 'its server is not installed: npm run servers' : notInstalled(program)
  void test(`${program.name}, ${store}`, { skip }, async () => {
    if (server !== null) await runInside(program, { store, options: await open(server), isQuick: true }, onRow)
  })
}

function notInstalled({ name, command }: Program): string | false {
  return command === null && `${name} is not installed: npm run runtimes`
}
