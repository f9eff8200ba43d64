import { join } from 'node:path'
import { environmentForPrograms } from '../config.ts'
import type { Config } from '../config.ts'
import type { Storage } from '../storage.ts'
import { commandTransport } from './command.ts'
import { httpTransport } from './http.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { bucketShelf } from './shelf-bucket.ts'
import { fileShelf } from './shelf-files.ts'
import type { Transport } from './transport.ts'

/** The way to the application that is configured, or null. @throws Error when it cannot be used. */
export function openTransport({ hooksUrl, hooksDir, hooksSecret = [] }: Config): Transport | null {
  if (hooksUrl !== undefined) return httpTransport(hooksUrl, hooksSecret)
  return hooksDir === undefined ? null : commandTransport(hooksDir, environmentForPrograms())
}

/** The outbox beside the uploads. */
export function openOutbox({ bucket, place, locker }: Pick<Storage, 'bucket' | 'place' | 'locker'>): Outbox {
  return createOutbox(bucket === null ? fileShelf(join(place, '.hooks'), locker) : bucketShelf(bucket))
}
