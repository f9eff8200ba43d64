/** fileloft as a route of SvelteKit: src/routes/files/[...path]/+server.ts. With adapter-node, set BODY_SIZE_LIMIT=Infinity. */
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { fileStore } from 'fileloft/stores/fs'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  // Lets any number of processes serve one directory.
  locker: fsLocker({ directory: './fileloft-data/.locks' }),
  // A route is told the server's address by ORIGIN only.
  location: { relative: true },
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

interface Event {
  readonly request: Request
  readonly getClientAddress: () => string
}

/** Every method. */
export const fallback = ({ request, getClientAddress }: Event): Promise<Response> =>
  handler(request, { remoteAddress: getClientAddress() })
