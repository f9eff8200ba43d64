/** Writing objects, on conditions. */
import type { PutOptions } from '../objects/bucket.ts'
import { versionOf } from './s3-answers.ts'
import type { S3Client } from './s3-client.ts'
import { headObject } from './s3-get.ts'

export interface Puts {
  /** @see Bucket.put */
  readonly put: (key: string, bytes: Uint8Array, put: PutOptions, signal: AbortSignal) => Promise<string | null>
  /** From now on conditions are looked up before a write, as the service takes no notice of them. */
  readonly unfence: () => void
}

/** @param allowUnfenced Whether to go on where the service refuses conditions as something that it doesn't know. */
export function conditionalPuts(client: S3Client, allowUnfenced: boolean): Puts {
  let fenced = true
  /** How the service wants ETags in If-Match: as it gives them, or (Ceph) without the quotes. */
  let quotes: 'unknown' | 'kept' | 'dropped' = 'unknown'

  return {
    async put(key, bytes, { contentType, contentDisposition, ifNoneMatch, ifMatch }, signal) {
      const conditional = ifNoneMatch !== undefined || ifMatch !== undefined

      /** Whether the condition holds, as far as a look can tell. */
      async function holds(): Promise<boolean> {
        const info = await headObject(client, key, signal)
        return ifNoneMatch === undefined ? info?.version === ifMatch : info === null
      }

      for (;;) {
        if (conditional && !fenced && !(await holds())) return null
        const drops = quotes === 'dropped'
        const { response, refusal, failure } = await client.send({
          action: 'PutObject',
          method: 'PUT',
          key,
          headers: {
            'content-type': contentType,
            'content-disposition': contentDisposition,
            ...(fenced && {
              'if-none-match': ifNoneMatch,
              'if-match': drops ? ifMatch?.replaceAll('"', '') : ifMatch,
            }),
          },
          body: bytes,
          signal,
        })
        if (refusal === null) {
          await client.receive({ action: 'PutObject', signal }, () => response.arrayBuffer())
          if (ifMatch !== undefined && !drops) quotes = 'kept'
          return versionOf(response, client.name)
        }
        if (refusal.status === 412) {
          if (drops && quotes === 'kept') continue
          // Where no such write has succeeded with them yet, this may be about the quotes.
          if (ifMatch === undefined || drops || quotes === 'kept' || !(await holds())) return null
          quotes = 'dropped'
        } else if (refusal.code === 'NoSuchKey' && ifMatch !== undefined) {
          return null
        } else if (refusal.status === 501 && conditional && fenced && allowUnfenced) {
          fenced = false
        } else {
          throw failure()
        }
      }
    },

    unfence() {
      fenced = false
    },
  }
}
