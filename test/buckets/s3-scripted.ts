/** An S3 driver whose service is a function, for answers that no server here gives. */
import { s3Bucket } from '../../src/buckets/s3.ts'
import type { Bucket, Multipart } from '../../src/objects/bucket.ts'
import type { S3Credentials, S3Options, S3RequestInit } from '../../src/stores/s3.ts'

export interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: Headers
  readonly body: string
}

export type Script = (asked: Asked, count: number) => Response | Promise<Response>

export const keys: S3Credentials = { accessKeyId: 'AKID', secretAccessKey: 'hidden-secret' }
export const multipart: Multipart = { key: 'key', multipartId: 'm1' }
export const bytes = new TextEncoder().encode('hello')

/** A bucket whose service answers by `script`; `asked` has what it was asked. */
export function scripted(script: Script, more: Partial<S3Options> = {}): { bucket: Bucket; asked: Asked[] } {
  const asked: Asked[] = []
  const fetch = (url: string, { method, headers, body }: S3RequestInit): Promise<Response> => {
    const text = body === undefined ? '' : typeof body === 'string' ? body : new TextDecoder().decode(body)
    asked.push({ method, url, headers, body: text })
    return Promise.resolve().then(() => script({ method, url, headers, body: text }, asked.length))
  }
  const bucket = s3Bucket({
    bucket: 'box',
    prefix: 'p/',
    endpoint: 'http://s3.test',
    credentials: keys,
    fetch,
    ...more,
  })
  return { bucket, asked }
}

export function answer(status: number, body: string | null = null, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers })
}

export function refuse(status: number, code: string, more = '', headers: Record<string, string> = {}): Response {
  return answer(
    status,
    `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>Why</Message>${more}</Error>`,
    headers,
  )
}

export const stored = (etag: string): Response => answer(200, null, { etag })
