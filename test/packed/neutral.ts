/** A program on any runtime, type-checked in a project that has the package and no types of Node. */
import { createTusHandler, TusError, type TusHandler } from 'fileloft'
import { tus } from 'fileloft/hono'
import { durableObjectLocker, type LockNamespace, UploadLock } from 'fileloft/lockers/durable-object'
import { memoryLocker } from 'fileloft/lockers/memory'
import { createSigner, signedUrlHooks } from 'fileloft/signed-urls'
import { memoryStore } from 'fileloft/stores/memory'
import { r2Store, type R2Binding } from 'fileloft/stores/r2'
import { s3Store } from 'fileloft/stores/s3'
import { Hono } from 'hono'

const secret = 'a secret of 32 bytes, or of more than that'

export const handler: TusHandler = createTusHandler({
  path: '/files',
  store: memoryStore(),
  locker: memoryLocker(),
  onRequest: () => ({ user: 'ann' }),
  onCreate({ upload, context }) {
    const user: string | undefined = context?.user
    if (user === undefined || upload.length === null) throw new TusError('rejected')
    return { attributes: { user } }
  },
})
export const signed = createTusHandler({ path: '/signed', store: memoryStore(), ...signedUrlHooks({ secret }) })
export const signer = createSigner({ secret, url: 'https://example.com/signed' })
export const app = new Hono().all('/files/*', tus(handler))
export const inBinding = (bucket: R2Binding, locks: LockNamespace) =>
  createTusHandler({ path: '/', store: r2Store({ bucket }), locker: durableObjectLocker(locks) })
export { UploadLock }
export const inBucket = () =>
  s3Store({ bucket: 'b', region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })

// @ts-expect-error: a misspelt option is told, so the types are there at all.
createTusHandler({ path: '/files', store: memoryStore(), maxsize: 5 })
