/** An upload whose multipart has parts that do not count, finished on a service that may want all of them named. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { s3Bucket } from '../../src/buckets/s3.ts'
import { objectStore } from '../../src/objects/store.ts'
import { body, data, failing, finish, get, newUpload } from '../objects/support.ts'
import type { S3Server } from '../servers/s3.ts'

const MiB = 1024 * 1024

export async function surplusParts(server: S3Server): Promise<void> {
  const bucket = await server.newBucket()
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const credentials = { accessKeyId, secretAccessKey }
  // Below the second one nothing is copied by the service.
  for (const prefix of ['', 'no copies?/']) {
    test(`${server.name}, ${prefix || 'no prefix'}: parts of a body with a wrong checksum are not in the object`, async () => {
      const driver = s3Bucket({ bucket, prefix, endpoint, region, credentials, forcePathStyle: true })
      const open = () => objectStore(driver, { partSize: 5 * MiB, partConcurrency: 2 })
      const store = open()
      const bytes = data(23 * MiB)
      await store.create(newUpload('a', bytes.byteLength))
      await store.append(await get(store, 'a'), body(bytes.subarray(0, 6 * MiB), MiB))
      const wrong = failing(data(16 * MiB, 2), new Error('wrong checksum'))
      await assert.rejects(store.append(await get(store, 'a'), wrong, { atomic: true }), /wrong checksum/)
      const { multipartId } = await get(store, 'a')
      const signal = AbortSignal.timeout(60_000)
      const listed = await driver.parts?.({ key: 'a', multipartId: multipartId ?? '' }, { signal })
      assert.ok((listed?.length ?? 0) > 1, `parts: ${JSON.stringify(listed)}`)

      await finish(open(), 'a', bytes)

      const upload = await get(store, 'a')
      assert.deepEqual([upload.completed, upload.surplus], [true, []])
      const chunks: Uint8Array[] = []
      for await (const chunk of store.read(upload, { start: 0, end: bytes.byteLength })) chunks.push(chunk)
      assert.ok(Buffer.concat(chunks).equals(bytes), 'other bytes')
      for await (const left of driver.multiparts('', { signal })) assert.fail(`left: ${left.multipartId}`)
    })
  }
}
