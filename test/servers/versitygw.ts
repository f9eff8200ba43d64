/** Versity S3 Gateway over a folder. */
import { mkdir } from 'node:fs/promises'
import { startProgram } from './program.ts'
import { type S3Server, s3FromEnvironment, s3Server, testAccount } from './s3.ts'
import { findProgram } from './versions.ts'

/** Starts it; null where it is not installed. `TEST_VERSITYGW_ENDPOINT` is taken instead where set. */
export async function startVersitygw(): Promise<S3Server | null> {
  const elsewhere = s3FromEnvironment('TEST_VERSITYGW')
  if (elsewhere !== null) return elsewhere
  const command = findProgram('versitygw')
  if (command === null) return null
  const program = await startProgram({
    name: 'Versity S3 Gateway',
    command,
    prepare: async ({ folder }) => {
      await mkdir(`${folder}/data`)
      await mkdir(`${folder}/attributes`)
    },
    args: ({ port, folder }) => {
      const server = ['--port', `127.0.0.1:${port}`, '--keep-alive', '--quiet', '--health', '/health']
      // Attributes in files: not every temporary folder is on a filesystem that has extended attributes.
      return [...server, 'posix', '--sidecar', `${folder}/attributes`, `${folder}/data`]
    },
    env: {
      ROOT_ACCESS_KEY: testAccount.accessKeyId,
      ROOT_SECRET_KEY: testAccount.secretAccessKey,
      VGW_REGION: testAccount.region,
    },
    ready: { path: '/health' },
  })
  return s3Server({ ...program, name: 'Versity S3 Gateway', endpoint: `http://127.0.0.1:${program.port}` }, testAccount)
}
