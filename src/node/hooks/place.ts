import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { Storage } from '../storage.ts'

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
