/** fake-gcs-server, an emulator of Google Cloud Storage. */
import { Storage } from '@google-cloud/storage'
import { freshName, type RunningServer, running, startProgram } from './program.ts'
import { findProgram } from './versions.ts'

/** Clients need no credentials: `new Storage({ apiEndpoint: server.endpoint, projectId: 'test' })`. */
export interface GcsServer extends RunningServer {
  /** Makes an empty bucket and resolves to its name. @param name @default a new one */
  newBucket(name?: string): Promise<string>
}

/** Starts it in memory; null where it is not installed. `TEST_GCS_ENDPOINT` is taken instead where set. */
export async function startFakeGcs(): Promise<GcsServer | null> {
  const given = process.env['TEST_GCS_ENDPOINT']
  if (given !== undefined && given !== '') return gcsServer(running(`GCS at ${given}`, given))
  const command = findProgram('fake-gcs-server')
  if (command === null) return null
  const program = await startProgram({
    name: 'fake-gcs-server',
    command,
    args: ({ port }) => {
      const place = ['-scheme', 'http', '-host', '127.0.0.1', '-port', String(port)]
      return [...place, '-backend', 'memory', '-log-level', 'warn']
    },
    ready: { path: '/_internal/healthcheck' },
  })
  return gcsServer({ ...program, name: 'fake-gcs-server', endpoint: `http://127.0.0.1:${program.port}` })
}

function gcsServer(server: RunningServer): GcsServer {
  const newBucket = async (name = freshName()) => {
    await new Storage({ apiEndpoint: server.endpoint, projectId: 'test' }).createBucket(name)
    return name
  }
  return { ...server, newBucket }
}
