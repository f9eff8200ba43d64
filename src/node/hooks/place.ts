import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import type { Storage } from '../storage.ts'
import { HookError } from './failure.ts'

/** Where an upload is kept, in tusd's terms. */
export type Place = (id: string) => Record<string, string>

/** Tells it for the backend in use. */
export function placesOf(config: Config, { place }: Pick<Storage, 'place'>): Place {
  switch (config.backend) {
    case 'fs':
      return (id) => ({ Type: 'filestore', Path: join(place, id), InfoPath: join(place, `${id}.info`) })
    case 's3':
      return inBucket('s3store', 'Bucket', config.s3Bucket, config.s3Prefix)
    case 'gcs':
      return inBucket('gcsstore', 'Bucket', config.gcsBucket, config.gcsPrefix)
    case 'azure':
      return inBucket('azurestore', 'Container', config.azureContainer, config.azurePrefix)
  }
}

function inBucket(type: string, term: string, name = '', prefix = ''): Place {
  return (id) => ({ Type: type, [term]: name, Key: prefix + id })
}

/**
 * What becomes of the place that a receiver asks for (`ChangeFileInfo.Storage`). An upload is kept under its id: on
 * object storage anything else is passed over, as tusd does. Among files tusd heeds `Path`, relative to the directory
 * or absolute, and nothing else of it.
 * @throws HookError for a path that is not the id's.
 */
export function acceptPlace(
  asked: Readonly<Record<string, string>> | null | undefined,
  id: string,
  place: Place,
  log: Logger,
): void {
  if (asked === null || asked === undefined || Object.keys(asked).length === 0) return
  const { Type, Path: path = '' } = place(id)
  if (Type !== 'filestore') {
    log.warn({ id, storage: asked }, 'ChangeFileInfo.Storage is passed over: objects are kept under their ids')
    return
  }
  const wanted = asked['Path'] ?? ''
  const directory = place('')['Path'] ?? ''
  if (wanted === '' || resolve(directory, wanted) === resolve(path)) return
  throw new HookError('it answered ChangeFileInfo.Storage.Path, which is always the id here; choose a place by an ID')
}
