/** The whole protocol suite inside every runtime, on every store that it has, and on mounts in frameworks. */
import { after, describe, test } from 'node:test'
import { startAzurite } from '../servers/azurite.ts'
import { startFakeGcs } from '../servers/fake-gcs.ts'
import { startMinio } from '../servers/minio.ts'
import type { Task } from './child.ts'
import { onRow, printTable } from './counts.ts'
import { plan, workerdPlan } from './plan.ts'
import { programs } from './programs.ts'
import { runInside } from './suites.ts'
import { runInWorkerd } from './workerd.ts'

after(printTable)

const [minio, gcs, azurite] = await Promise.all([startMinio(), startFakeGcs(), startAzurite()])
after(() => Promise.all([minio?.stop(), gcs?.stop(), azurite?.stop()]))

/** What opens a fresh place on a store's server; null where it is not installed. */
const open: Readonly<Record<Task['store'], (() => Promise<object>) | null>> = {
  memory: () => Promise.resolve({}),
  fs: () => Promise.resolve({}),
  s3:
    minio &&
    (async () => {
      const { endpoint, region, accessKeyId, secretAccessKey } = minio
      const credentials = { accessKeyId, secretAccessKey }
      return { bucket: await minio.newBucket(), endpoint, region, credentials, forcePathStyle: true }
    }),
  gcs: gcs && (async () => ({ bucket: await gcs.newBucket(), endpoint: gcs.endpoint })),
  azure:
    azurite && (async () => ({ container: await azurite.newContainer(), connectionString: azurite.connectionString })),
}

void describe('the protocol suite', { concurrency: 2 }, () => {
  for (const { name, store, options } of workerdPlan) {
    const place = store === 's3' ? open.s3 : null
    const skip = store === 's3' && place === null && 'its server is not installed: npm run servers'
    void test(`${name}, ${store}`, { skip }, async () => {
      const s3 = (await place?.()) as Parameters<typeof runInWorkerd>[2]['s3']
      await runInWorkerd(name, store, { ...options, ...(s3 !== undefined && { s3 }) }, onRow)
    })
  }
  for (const { runtime, task } of plan) {
    const program = Object.values(programs).find(({ name }) => name === runtime) ?? { name: runtime, command: null }
    const place = open[task.store]
    const skip =
      (program.command === null && `${runtime} is not installed: npm run runtimes`) ||
      (place === null && 'its server is not installed: npm run servers')
    void test(`${runtime}, ${task.server ?? task.store}`, { skip }, async () => {
      await runInside(program, { ...task, options: (await place?.()) ?? {} }, onRow)
    })
  }
})
