/** What the servers that speak S3 have in common. */
import { AwsClient } from 'aws4fetch'
import { freshName, running, type RunningServer } from './program.ts'

export interface S3Server extends RunningServer {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Makes an empty bucket and resolves to its name. @param name @default a new one */
  newBucket(name?: string): Promise<string>
  /** Whether it completes no multipart of which some part is left out. */
  readonly wantsEveryPart?: boolean
  /** Whether it takes signatures for another region than its own. */
  readonly takesAnyRegion?: boolean
}

export interface S3Account {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** For servers that live as long as a test. */
export const testAccount: S3Account = {
  region: 'us-east-1',
  accessKeyId: 'fileloft',
  secretAccessKey: 'fileloft-secret',
}

export function s3Server(server: RunningServer, account: S3Account): S3Server {
  return { ...server, ...account, newBucket: (name) => createBucket(server, account, name) }
}

/**
 * The server that runs elsewhere: `TEST_S3_ENDPOINT`, `TEST_S3_ACCESS_KEY_ID`, `TEST_S3_SECRET_ACCESS_KEY` and
 * `TEST_S3_REGION` (@default those of `testAccount`), or the like with another prefix; null where there is no endpoint.
 */
export function s3FromEnvironment(prefix: string): S3Server | null {
  const read = (name: string) => process.env[`${prefix}_${name}`] || undefined
  const endpoint = read('ENDPOINT')
  if (endpoint === undefined) return null
  return s3Server(running(`S3 at ${endpoint}`, endpoint), {
    region: read('REGION') ?? testAccount.region,
    accessKeyId: read('ACCESS_KEY_ID') ?? testAccount.accessKeyId,
    secretAccessKey: read('SECRET_ACCESS_KEY') ?? testAccount.secretAccessKey,
  })
}

async function createBucket(server: RunningServer, account: S3Account, name = freshName()): Promise<string> {
  const client = new AwsClient({ ...account, service: 's3' })
  // AWS takes no constraint for this region and wants one for every other.
  const constraint = account.region === 'us-east-1' ? null : locationConstraint(account.region)
  const answer = await client.fetch(`${server.endpoint}/${name}`, { method: 'PUT', body: constraint })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${server.name} made no bucket: ${answer.status} ${text}\n${server.log()}`)
  return name
}

function locationConstraint(region: string): string {
  return `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`
}
