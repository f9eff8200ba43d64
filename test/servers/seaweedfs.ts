/** SeaweedFS in one process: master, volumes, filer and its gateway for S3. */
import { rm, writeFile } from 'node:fs/promises'
import { freePort, startProgram } from './program.ts'
import { type S3Server, s3FromEnvironment, s3Server, testAccount } from './s3.ts'
import { findProgram } from './versions.ts'

/** It takes signatures for any region. */
const ways = { takesAnyRegion: true }

/** Starts it; null where it is not installed. `TEST_SEAWEEDFS_ENDPOINT` is taken instead where set. */
export async function startSeaweedfs(): Promise<S3Server | null> {
  const elsewhere = s3FromEnvironment('TEST_SEAWEEDFS')
  if (elsewhere !== null) return { ...elsewhere, ...ways }
  const command = findProgram('seaweedfs')
  if (command === null) return null
  // Those that are not given lie 10,000 above the others, where somebody else may listen.
  const http = await freePorts(['master', 'volume', 'filer'])
  const grpc = await freePorts(['master', 'volume', 'filer', 's3'])
  const program = await startProgram({
    name: 'SeaweedFS',
    command,
    prepare: ({ folder }) => writeFile(`${folder}/accounts.json`, JSON.stringify(accounts)),
    args: ({ port, folder }) => [
      '-logtostderr=true',
      'server',
      `-dir=${folder}`,
      '-ip=127.0.0.1',
      '-ip.bind=127.0.0.1',
      '-master.telemetry=false',
      // Each bucket has volumes of its own.
      '-master.volumeSizeLimitMB=1024',
      '-volume.max=1000',
      '-filer',
      `-filer.localSocket=${folder}/filer.sock`,
      '-s3',
      `-s3.port=${port}`,
      `-s3.config=${folder}/accounts.json`,
      `-s3.localSocket=${folder}/s3.sock`,
      '-s3.iam=false',
      '-s3.port.iceberg=0',
      '-s3.port.lance=0',
      // As Amazon does; otherwise an administrator's upload makes the bucket, and a backslash in a key is a slash.
      '-s3.autoCreateBucket=false',
      '-s3.allowBackslashInKey=true',
      ...http.map(([name, number]) => `-${name}.port=${number}`),
      ...grpc.map(([name, number]) => `-${name}.port.grpc=${number}`),
    ],
    ready: { path: '/healthz' },
  })
  const stop = async () => {
    await program.stop()
    for (const [name, number] of grpc) await rm(`/tmp/seaweedfs-${name}-grpc-${number}.sock`, { force: true })
  }
  const endpoint = `http://127.0.0.1:${program.port}`
  const server = { ...program, stop, [Symbol.asyncDispose]: stop, name: 'SeaweedFS', endpoint }
  return { ...s3Server(server, testAccount), ...ways }
}

function freePorts(names: readonly string[]): Promise<(readonly [name: string, port: number])[]> {
  return Promise.all(names.map(async (name) => [name, await freePort()] as const))
}

const { accessKeyId, secretAccessKey } = testAccount
const accounts = {
  identities: [
    { name: 'tests', credentials: [{ accessKey: accessKeyId, secretKey: secretAccessKey }], actions: ['Admin'] },
  ],
}
