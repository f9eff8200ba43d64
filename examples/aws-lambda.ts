/**
 * fileloft on AWS Lambda behind a Function URL or an HTTP API (payload 2.0), storing in S3. Lambda takes 6 MB of a request,
 * bytes in base64 among it: have clients send chunks of 4 MiB (`chunkSize` of tus-js-client). It knows no interrupted
 * request: what did not arrive whole does not arrive.
 */
import { createTusHandler, type TusHandler } from 'fileloft'
import { s3Store } from 'fileloft/stores/s3'

interface Event {
  readonly rawPath: string
  readonly rawQueryString: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly isBase64Encoded: boolean
  readonly requestContext: { readonly domainName: string; readonly http: { method: string; sourceIp: string } }
}

const { BUCKET = 'uploads', AWS_REGION = '' } = process.env
const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_SESSION_TOKEN = '' } = process.env
const keys = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY, sessionToken: AWS_SESSION_TOKEN }
const store = s3Store({ bucket: BUCKET, region: AWS_REGION, credentials: keys })

export const handler = toLambda(createTusHandler({ path: '/files', store }))

export function toLambda(tus: TusHandler) {
  return async ({ rawPath, rawQueryString, headers, body, isBase64Encoded, requestContext }: Event) => {
    const { domainName, http } = requestContext
    const url = `https://${domainName}${rawPath}${rawQueryString === '' ? '' : `?${rawQueryString}`}`
    const bytes = body === undefined ? null : Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8')
    const request = new Request(url, { method: http.method, headers, body: bytes })
    const response = await tus(request, { remoteAddress: http.sourceIp })
    const answer = Buffer.from(await response.arrayBuffer()).toString('base64')
    return {
      statusCode: response.status,
      headers: Object.fromEntries(response.headers),
      body: answer,
      isBase64Encoded: true,
    }
  }
}
